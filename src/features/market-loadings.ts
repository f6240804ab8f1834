/**
 * What each symbol has to do with the market's factors, and with its nearest peers among the references: two ridge
 * regressions on sums of ten minutes within its runs, so that a quote that lags a few minutes still counts.
 */
import type { MarketBars } from '../bars/index.ts';
import { solvePenalised } from './linear-algebra.ts';
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
const LOADING_PENALTY_MINUTES = 400;
/** Ridge penalty of the shares: this share of the observations, and as many more, that say 0. */
const PEER_PENALTY = { share: 0.3, sums: 300 };

/** The bars that are fitted on. */
export interface FitSpan {
  readonly bars: MarketBars;
  /** Place of a session's first minute in the series, by its open. */
  readonly slots: ReadonlyMap<number, number>;
  readonly from: number;
  readonly to: number;
  readonly longestQuietRun: number;
}

/** Symbols that could be fitted, by their index in the bars, and a row of numbers for each. */
export interface FittedLoadings {
  readonly symbols: readonly number[];
  /** `[symbols, K]` */
  readonly loadings: Float32Array;
}

/** Sums over the last `width` minutes that stay within a session; shorter ones are left at 0. */
export function sessionSums(row: Float64Array, width: number): Float64Array {
  const sums = new Float64Array(row.length);
  for (let start = 0; start < row.length; start += SESSION_MINUTES) {
    let sum = 0;
    for (let m = 0; m < SESSION_MINUTES; m++) {
      sum += row[start + m];
      if (m >= width) sum -= row[start + m - width];
      if (m >= width - 1) sums[start + m] = sum;
    }
  }
  return sums;
}

/** Calls `use` with place and value of every other ten-minute sum within the runs of a symbol; `path` is scratch `[T]`. */
function visitSums(span: FitSpan, symbol: number, path: Float64Array, use: (t: number, sum: number) => void): void {
  let start = 0; // of the run
  let at = -1;
  let price = 0;
  const useRun = () => {
    for (let t = start + SUM_MINUTES; t <= at; t++) if (t % STRIDE === 0) use(t, path[t] - path[t - SUM_MINUTES]);
  };
  const { bars, slots, from, to, longestQuietRun } = span;
  visitReturns(bars, symbol, longestQuietRun, from, to, (minute, r, begins, open) => {
    const now = slots.get(open)! + minute - open;
    if (begins) {
      useRun();
      start = now;
      price = 0;
    } else for (let t = at + 1; t < now; t++) path[t] = price;
    price += r;
    path[now] = price;
    at = now;
  });
  useRun();
}

/** `[T, K]` */
function factorSums(series: readonly Float64Array[]): Float64Array {
  const K = series.length;
  const sums = new Float64Array(series[0].length * K);
  series.forEach((row, k) => {
    sessionSums(row, SUM_MINUTES).forEach((sum, t) => {
      sums[t * K + k] = sum;
    });
  });
  return sums;
}

/** @param series `[K]` factor returns of each minute `[T]`, each of mean square 1 */
export function fitLoadings(span: FitSpan, series: readonly Float64Array[]): FittedLoadings {
  const K = series.length;
  const sums = factorSums(series);
  const path = new Float64Array(series[0].length);
  const penalty = (LOADING_PENALTY_MINUTES * SUM_MINUTES) / STRIDE;
  const symbols: number[] = [];
  const found: Float64Array[] = [];
  for (let s = 0; s < span.bars.symbols.length; s++) {
    const inputs = new Float64Array(K * K);
    const products = new Float64Array(K);
    let rows = 0;
    visitSums(span, s, path, (t, y) => {
      rows++;
      for (let i = 0; i < K; i++) {
        const x = sums[t * K + i];
        products[i] += x * y;
        for (let j = 0; j <= i; j++) inputs[i * K + j] += x * sums[t * K + j];
      }
    });
    const solved = rows < LEAST_SUMS ? undefined : solvePenalised(inputs, penalty, products);
    if (!solved?.every(Number.isFinite)) continue;
    symbols.push(s);
    found.push(solved);
  }
  const loadings = new Float32Array(symbols.length * K);
  for (const [i, row] of found.entries()) loadings.set(row, i * K);
  return { symbols, loadings };
}

/**
 * The peers of every fitted symbol: those references whose residuals correlate most with its own, and a share of each.
 *
 * @param references indices in the bars
 * @param returns `[n]` one-minute returns of each reference `[T]`
 * @returns `[symbols, PEERS, 2]`: index among the references, share; share 0 where there is none
 */
export function fitPeers(
  span: FitSpan,
  series: readonly Float64Array[],
  { symbols, loadings }: FittedLoadings,
  references: readonly number[],
  returns: readonly Float64Array[],
): Float32Array {
  const K = series.length;
  const n = references.length;
  const T = series[0].length;
  const factors = factorSums(series);
  const rowOf = new Map(symbols.map((symbol, i) => [symbol, i]));
  const explained = (row: number, t: number): number => {
    let sum = 0;
    for (let k = 0; k < K; k++) sum += loadings[row * K + k] * factors[t * K + k];
    return sum;
  };
  // Residuals of the references, each of mean square 1: `[T, n]`.
  const residuals = new Float32Array(T * n);
  const sizes = references.map((symbol, j) => {
    const row = rowOf.get(symbol);
    const own = sessionSums(returns[j], SUM_MINUTES);
    let square = 0;
    for (let t = 0; t < T; t++) {
      const residual = own[t] - (row === undefined ? 0 : explained(row, t));
      residuals[t * n + j] = residual;
      square += residual * residual;
    }
    const size = Math.sqrt(square / T);
    const unit = size > 0 ? 1 / size : 0;
    for (let t = 0; t < T; t++) residuals[t * n + j] *= unit;
    return size;
  });
  const out = new Float32Array(symbols.length * PEERS * 2);
  const path = new Float64Array(T);
  for (const [row, symbol] of symbols.entries()) {
    const places: number[] = [];
    const own: number[] = [];
    const products = new Float64Array(n);
    visitSums(span, symbol, path, (t, y) => {
      const residual = y - explained(row, t);
      places.push(t);
      own.push(residual);
      for (let j = 0; j < n; j++) products[j] += residuals[t * n + j] * residual;
    });
    const nearest = Array.from(products.keys())
      .filter((j) => references[j] !== symbol && sizes[j] > 0)
      .sort((a, b) => Math.abs(products[b]) - Math.abs(products[a]) || a - b)
      .slice(0, PEERS);
    const m = nearest.length;
    const inputs = new Float64Array(m * m);
    for (const t of places) {
      for (let a = 0; a < m; a++) {
        for (let b = 0; b <= a; b++) inputs[a * m + b] += residuals[t * n + nearest[a]] * residuals[t * n + nearest[b]];
      }
    }
    const penalty = PEER_PENALTY.share * places.length + PEER_PENALTY.sums;
    const right = Float64Array.from(nearest, (j) => products[j]);
    const shares = solvePenalised(inputs, penalty, right);
    for (const [a, j] of nearest.entries()) {
      out[(row * PEERS + a) * 2] = j;
      out[(row * PEERS + a) * 2 + 1] = shares ? shares[a] / sizes[j] : 0;
    }
  }
  return out;
}
