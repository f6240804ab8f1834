/**
 * What each symbol has to do with the market's factors, and with its nearest peers among the references: two ridge
 * regressions on sums of ten minutes within its runs, so that a quote that lags a few minutes still counts.
 */
import { freshShared } from '../base/index.ts';
import { solvePenalised } from './linear-algebra.ts';
import { type FitSpan, placesOf } from './market-factors.ts';
import { SESSION_MINUTES } from './rows.ts';
import { visitReturns } from './run-returns.ts';

/** Peers of a symbol. */
export const PEERS = 4;

const SUM_MINUTES = 10;
/** Every so many minutes a sum is used: neighbours overlap and say little new. */
const STRIDE = 2;
/** Fewer sums than this fit nothing. */
const LEAST_SUMS = 60;
/** Ridge penalty of the loadings: as much as this many minutes of observations that say 0. */
const LOADING_PENALTY = (400 * SUM_MINUTES) / STRIDE;
/** Ridge penalty of the shares: this share of the observations, and as many more, that say 0. */
const PEER_PENALTY = { share: 0.3, sums: 300 };

const SYMBOLS_A_BLOCK = 8;

/** What both steps look at. Every array is over shared memory. */
interface LoadingsBase {
  readonly blocks: number;
  readonly span: FitSpan;
  /** K */
  readonly factors: number;
  /** `[T, K]` the factors' sums over ten minutes. */
  readonly sums: Float64Array;
  /** `[K, K]` products of the sums at every other place. */
  readonly gram: Float64Array;
  /** n, by their index in the bars. */
  readonly references: readonly number[];
  /** `[T, n]` sums over ten minutes that the factors leave over of the references' returns, each of mean square 1. */
  readonly residuals: Float32Array;
  /** `[n]` root mean square of each before that. */
  readonly sizes: Float64Array;
}

/** Loadings and residuals of the references. */
export interface ReferencesStep extends LoadingsBase {
  readonly kind: 'references';
  /** `[n, T]` one-minute returns. */
  readonly returns: Float64Array;
}

/** Loadings and peers of all symbols. */
export interface SymbolsStep extends LoadingsBase {
  readonly kind: 'symbols';
  /** `[symbols]` receives 1 for those that could be fitted. */
  readonly fitted: Uint8Array;
  /** `[symbols, K]` */
  readonly loadings: Float32Array;
  /** `[symbols, PEERS, 2]`: index among the references, share; share 0 where there is none. */
  readonly peers: Float32Array;
}

/** @param series `[T, K]` factor returns of each minute, each of mean square 1 */
export function referencesStep(
  span: FitSpan,
  series: Float64Array,
  factors: number,
  references: readonly number[],
  returns: Float64Array,
): ReferencesStep {
  const T = placesOf(span);
  const sums = new Float64Array(freshShared(8 * T * factors));
  for (let k = 0; k < factors; k++) sessionSums(series, k, factors, T, sums);
  const gram = new Float64Array(freshShared(8 * factors * factors));
  for (let t = 0; t < T; t += STRIDE) addProduct(gram, sums, t * factors, factors, 1);
  const n = references.length;
  const residuals = new Float32Array(freshShared(4 * T * n));
  const sizes = new Float64Array(freshShared(8 * n));
  const blocks = Math.ceil(n / SYMBOLS_A_BLOCK);
  return { kind: 'references', blocks, span, factors, sums, gram, references, residuals, sizes, returns };
}

export function symbolsStep({ returns: _, ...base }: ReferencesStep): SymbolsStep {
  const symbols = base.span.bars.symbols.length;
  return {
    ...base,
    kind: 'symbols',
    blocks: Math.ceil(symbols / SYMBOLS_A_BLOCK),
    fitted: new Uint8Array(freshShared(symbols)),
    loadings: new Float32Array(freshShared(4 * symbols * base.factors)),
    peers: new Float32Array(freshShared(4 * symbols * PEERS * 2)),
  };
}

/** Sums over the last ten minutes that stay within a session, of every `stride`-th number from `first` on. */
function sessionSums(row: Float64Array, first: number, stride: number, T: number, out: Float64Array): void {
  for (let start = 0; start < T; start += SESSION_MINUTES) {
    let sum = 0;
    for (let m = 0, at = first + start * stride; m < SESSION_MINUTES; m++, at += stride) {
      sum += row[at];
      if (m >= SUM_MINUTES) sum -= row[at - SUM_MINUTES * stride];
      out[at] = m >= SUM_MINUTES - 1 ? sum : 0;
    }
  }
}

/** Adds x x' times `sign` to the lower triangle, where x is `[K]` from `at` on. */
function addProduct(gram: Float64Array, sums: Float64Array, at: number, K: number, sign: number): void {
  for (let i = 0; i < K; i++) {
    const x = sign * sums[at + i];
    if (x === 0) continue;
    for (let j = 0, to = i * K; j <= i; j++) gram[to + j] += x * sums[at + j];
  }
}

/** A symbol's sums over ten minutes within its runs, at every other place. */
class OwnSums {
  /** `[T]` of which the first `count` say where there is one, ascending, and what it is. */
  readonly places: Int32Array;
  readonly values: Float64Array;
  count = 0;
  readonly #span: FitSpan;
  readonly #slots: ReadonlyMap<number, number>;
  readonly #path: Float64Array;

  constructor(span: FitSpan) {
    const T = placesOf(span);
    this.places = new Int32Array(T);
    this.values = new Float64Array(T);
    this.#span = span;
    this.#slots = new Map(span.opens.map((open, i) => [open, i * SESSION_MINUTES]));
    this.#path = new Float64Array(T);
  }

  read(symbol: number): void {
    const { bars, from, to, longestQuietRun } = this.#span;
    const path = this.#path;
    this.count = 0;
    let start = 0; // of the run
    let at = -1;
    let price = 0;
    let session = 0;
    let slot = 0;
    visitReturns(bars, symbol, longestQuietRun, from, to, (minute, r, begins, open) => {
      if (open !== session) {
        session = open;
        slot = this.#slots.get(open)!;
      }
      const now = slot + minute - open;
      if (begins) {
        this.#use(start, at);
        start = now;
        price = 0;
      } else for (let t = at + 1; t < now; t++) path[t] = price;
      price += r;
      path[now] = price;
      at = now;
    });
    this.#use(start, at);
  }

  #use(start: number, last: number): void {
    const path = this.#path;
    const first = start + SUM_MINUTES;
    for (let t = Math.ceil(first / STRIDE) * STRIDE; t <= last; t += STRIDE) {
      this.places[this.count] = t;
      this.values[this.count++] = path[t] - path[t - SUM_MINUTES];
    }
  }
}

/** Loadings of symbols, one after another. */
class Loadings {
  readonly own: OwnSums;
  readonly #base: LoadingsBase;

  constructor(base: LoadingsBase) {
    this.#base = base;
    this.own = new OwnSums(base.span);
  }

  /** `[K]`; undefined for a symbol with too few sums. */
  of(symbol: number): Float64Array | undefined {
    const { factors: K, sums, gram: all } = this.#base;
    const { places, values } = this.own;
    this.own.read(symbol);
    const { count } = this.own;
    if (count < LEAST_SUMS) return undefined;
    const products = new Float64Array(K);
    for (let i = 0; i < count; i++) {
      const y = values[i];
      for (let k = 0, at = places[i] * K; k < K; k++) products[k] += sums[at + k] * y;
    }
    const solved = solvePenalised(this.#gram(all), LOADING_PENALTY, products);
    return solved?.every(Number.isFinite) ? solved : undefined;
  }

  /** Products of the sums at the symbol's places: of those few that it has, or of all less those few that it lacks. */
  #gram(all: Float64Array): Float64Array {
    const { factors: K, sums, span } = this.#base;
    const { places, count } = this.own;
    const T = placesOf(span);
    if (count < T / STRIDE / 2) {
      const gram = new Float64Array(K * K);
      for (let i = 0; i < count; i++) addProduct(gram, sums, places[i] * K, K, 1);
      return gram;
    }
    const gram = Float64Array.from(all);
    for (let t = 0, i = 0; t < T; t += STRIDE) {
      if (i < count && places[i] === t) i++;
      else addProduct(gram, sums, t * K, K, -1);
    }
    return gram;
  }
}

/** What loadings explain of a sum. */
function explainedAt(sums: Float64Array, place: number, loadings: Float32Array): number {
  const K = loadings.length;
  let sum = 0;
  for (let k = 0, at = place * K; k < K; k++) sum += loadings[k] * sums[at + k];
  return sum;
}

export function referencesWork(step: ReferencesStep): (block: number) => void {
  const { span, sums, references, residuals, sizes, returns } = step;
  const T = placesOf(span);
  const n = references.length;
  const fit = new Loadings(step);
  const own = new Float64Array(T);
  return (block) => {
    const end = Math.min(n, (block + 1) * SYMBOLS_A_BLOCK);
    for (let j = block * SYMBOLS_A_BLOCK; j < end; j++) {
      const found = fit.of(references[j]);
      const loadings = found && Float32Array.from(found);
      sessionSums(returns.subarray(j * T, (j + 1) * T), 0, 1, T, own);
      let squares = 0;
      for (let t = 0; t < T; t++) {
        if (loadings) own[t] -= explainedAt(sums, t, loadings);
        squares += own[t] * own[t];
      }
      const size = Math.sqrt(squares / T);
      const unit = size > 0 ? 1 / size : 0;
      for (let t = 0; t < T; t++) residuals[t * n + j] = own[t] * unit;
      sizes[j] = size;
    }
  };
}

/** The peers of a symbol are those references whose residuals correlate most with its own, and a share of each. */
export function symbolsWork(step: SymbolsStep): (block: number) => void {
  const { factors: K, sums, fitted, loadings, peers } = step;
  const fit = new Loadings(step);
  const { own } = fit;
  return (block) => {
    const end = Math.min(fitted.length, (block + 1) * SYMBOLS_A_BLOCK);
    for (let s = block * SYMBOLS_A_BLOCK; s < end; s++) {
      const found = fit.of(s);
      if (found === undefined) continue;
      fitted[s] = 1;
      loadings.set(found, s * K);
      const ofIt = loadings.subarray(s * K, (s + 1) * K);
      for (let i = 0; i < own.count; i++) own.values[i] -= explainedAt(sums, own.places[i], ofIt);
      peers.set(peersOf(step, s, own), s * PEERS * 2);
    }
  };
}

/** `[PEERS, 2]` @param own what the factors leave over of the symbol's sums */
function peersOf(step: SymbolsStep, symbol: number, { places, values, count }: OwnSums): Float32Array {
  const { references, residuals, sizes } = step;
  const n = references.length;
  const products = correlate(residuals, n, places, values, count);
  const nearest = Array.from(products.keys())
    .filter((j) => references[j] !== symbol && sizes[j] > 0)
    .sort((a, b) => Math.abs(products[b]) - Math.abs(products[a]) || a - b)
    .slice(0, PEERS);
  const m = nearest.length;
  const inputs = new Float64Array(m * m);
  for (let a = 0; a < m; a++) {
    for (let b = 0; b <= a; b++) {
      let sum = 0;
      for (let i = 0; i < count; i++)
        sum += residuals[places[i] * n + nearest[a]] * residuals[places[i] * n + nearest[b]];
      inputs[a * m + b] = sum;
    }
  }
  const penalty = PEER_PENALTY.share * count + PEER_PENALTY.sums;
  const right = Float64Array.from(nearest, (j) => products[j]);
  const shares = solvePenalised(inputs, penalty, right);
  const out = new Float32Array(PEERS * 2);
  for (const [a, j] of nearest.entries()) {
    out[2 * a] = j;
    out[2 * a + 1] = shares ? shares[a] / sizes[j] : 0;
  }
  return out;
}

/** `[n]` products of a symbol's residuals with those of the references; four minutes at a time. */
function correlate(
  residuals: Float32Array,
  n: number,
  places: Int32Array,
  values: Float64Array,
  count: number,
): Float64Array {
  const products = new Float64Array(n);
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    const a = values[i];
    const b = values[i + 1];
    const c = values[i + 2];
    const d = values[i + 3];
    const p = places[i] * n;
    const q = places[i + 1] * n;
    const r = places[i + 2] * n;
    const s = places[i + 3] * n;
    for (let j = 0; j < n; j++)
      products[j] += residuals[p + j] * a + residuals[q + j] * b + residuals[r + j] * c + residuals[s + j] * d;
  }
  for (; i < count; i++) {
    const a = values[i];
    for (let j = 0, at = places[i] * n; j < n; j++) products[j] += residuals[at + j] * a;
  }
  return products;
}
