/**
 * The market as a recipe sees it: K factors made of the one-minute returns of reference symbols, and what each symbol
 * has to do with them. A fund's price lags behind, and bounces around, what the rest of the market says it is worth.
 *
 *     F_k(t)  = sum over references j of weight[k, j] r_j(t)       r_j = 0 in a minute without a bar
 *     m_i(t)  = sum over k of loading[i, k] F_k(t)                 the return of symbol i that the market explains
 *     p_i(t)  = sum over peers j of i of share[i, j] (r_j(t) - m_j(t))   what its nearest peers add to that
 *
 * This is how factors are fitted; a minute's are estimated from the references that are there (`market-tape.ts`).
 * Weights are the leading eigenvectors of the references' correlations over a few minutes, over each one's deviation,
 * so that the lag between two quotes does not hide what they have in common. Loadings and shares are ridge regressions
 * (`market-loadings.ts`). Everything is fitted on the training part alone.
 */
import type { MarketBars } from '../bars/index.ts';
import { leadingVectors } from './linear-algebra.ts';
import { fitLoadings, fitPeers, PEERS, sessionSums } from './market-loadings.ts';
import type { FittedScaler } from './recipe.ts';
import { SESSION_MINUTES } from './rows.ts';
import { visitReturns } from './run-returns.ts';

const MOST_REFERENCES = 200;
const MOST_FACTORS = 20;
/** References a factor. */
const REFERENCES_A_FACTOR = 8;
/** A market of fewer symbols has no factor. */
const LEAST_REFERENCES = 3;
const LEAST_MINUTES = 120;
/** The latest sessions of the training part that are fitted on. */
const MOST_SESSIONS = 20;
/** Minutes that returns are added up over for the correlations. */
const CORRELATION_MINUTES = 3;

/** A fitted market, ready for use. */
export interface MarketModel {
  /** K */
  readonly factors: number;
  /** Sorted. */
  readonly references: readonly string[];
  readonly referenceIndex: ReadonlyMap<string, number>;
  /** `[references]` root mean square of each one's one-minute returns. */
  readonly deviations: Float32Array;
  /** Loadings `[K]` of a symbol of the training part; undefined for another one. */
  loadingsOf(symbol: string): Float32Array | undefined;
  /** Its peers as `[PEERS, 2]`: the reference's index and the share; undefined for another symbol. */
  peersOf(symbol: string): Float32Array | undefined;
}

/** What is kept of it: names as they are, float32 numbers in base64. */
export const encodeFloats = (values: Float32Array): string =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');

export function decodeFloats(text: string): Float32Array {
  const bytes = Buffer.from(text, 'base64');
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + (bytes.length & ~3)));
}

const decoded = new WeakMap<FittedScaler, MarketModel>();

/** The market that a scaler holds; undefined when it was fitted without one. */
export function marketOf(scaler: FittedScaler): MarketModel | undefined {
  const known = decoded.get(scaler);
  if (known) return known;
  const { references, deviations, symbols, loadings, peers } = scaler;
  if (!Array.isArray(references) || references.length === 0) return undefined;
  const names = references as readonly string[];
  const factors = decodeFloats(loadings as string).length / (symbols as readonly string[]).length;
  const index = new Map((symbols as readonly string[]).map((symbol, i) => [symbol, i]));
  const rowsOf = (text: string, width: number) => {
    const all = decodeFloats(text);
    return (symbol: string) => {
      const i = index.get(symbol);
      return i === undefined ? undefined : all.subarray(i * width, (i + 1) * width);
    };
  };
  const market: MarketModel = {
    factors,
    references: names,
    referenceIndex: new Map(names.map((symbol, i) => [symbol, i])),
    deviations: decodeFloats(deviations as string),
    loadingsOf: rowsOf(loadings as string, factors),
    peersOf: rowsOf(peers as string, 2 * PEERS),
  };
  decoded.set(scaler, market);
  return market;
}

/** Fits a market on the bars with `minute < before`; `{}` when there are too few symbols or minutes. */
export function fitMarket(bars: MarketBars, before: number, longestQuietRun: number): FittedScaler {
  const sessions = lastSessions(bars, before);
  if (sessions.length === 0) return {};
  const slots = new Map(sessions.map((open, i) => [open, i * SESSION_MINUTES]));
  const chosen = mostTraded(bars, sessions[0], before);
  const n = chosen.length;
  const T = sessions.length * SESSION_MINUTES;
  if (n < LEAST_REFERENCES) return {};
  const returns = chosen.map((symbol) => {
    const row = new Float64Array(T);
    visitReturns(bars, symbol, longestQuietRun, sessions[0], before, (minute, r, _begins, open) => {
      row[slots.get(open)! + minute - open] = r;
    });
    return row;
  });
  const deviations = Float32Array.from(returns, (row) => Math.sqrt(row.reduce((sum, r) => sum + r * r, 0) / T) || 1);
  const factors = Math.max(1, Math.min(MOST_FACTORS, Math.floor(n / REFERENCES_A_FACTOR)));
  const weights = factorWeights(returns, deviations, factors);
  const series = factorSeries(returns, weights, factors);
  const span = { bars, slots, from: sessions[0], to: before, longestQuietRun };
  const { symbols, loadings } = fitLoadings(span, series);
  if (symbols.length === 0) return {};
  return {
    references: chosen.map((symbol) => bars.symbols[symbol]),
    deviations: encodeFloats(deviations),
    symbols: symbols.map((symbol) => bars.symbols[symbol]),
    loadings: encodeFloats(loadings),
    peers: encodeFloats(fitPeers(span, series, { symbols, loadings }, chosen, returns)),
  };
}

/** Opens of the latest sessions that hold bars before a minute, in order. */
function lastSessions(bars: MarketBars, before: number): number[] {
  const opens = new Set<number>();
  let minutes = 0;
  for (let s = 0; s < bars.symbols.length; s++) {
    visitReturns(bars, s, 0, Number.NEGATIVE_INFINITY, before, (_minute, _r, _begins, open) => {
      opens.add(open);
      minutes++;
    });
  }
  if (minutes < LEAST_MINUTES) return [];
  return [...opens].sort((a, b) => a - b).slice(-MOST_SESSIONS);
}

/** The symbols that the most money was traded in, or that have the most bars where no volume is given; sorted. */
function mostTraded(bars: MarketBars, from: number, before: number): number[] {
  const { minute, close, volume, offsets } = bars;
  const traded = bars.symbols.map((_, s) => {
    let money = 0;
    let count = 0;
    for (let bar = offsets[s]; bar < offsets[s + 1]; bar++) {
      if (minute[bar] < from || minute[bar] >= before) continue;
      const value = close[bar] * volume[bar];
      if (value > 0 && value < 1e15) money += value;
      if (close[bar] > 0) count++;
    }
    return { s, money, count };
  });
  return traded
    .filter(({ count }) => count > 1)
    .sort((a, b) => b.money - a.money || b.count - a.count || a.s - b.s)
    .slice(0, MOST_REFERENCES)
    .map(({ s }) => s)
    .sort((a, b) => a - b);
}

/** `[K, n]` */
function factorWeights(returns: readonly Float64Array[], deviations: Float32Array, factors: number): Float32Array {
  const n = returns.length;
  const sums = returns.map((row) => sessionSums(row, CORRELATION_MINUTES));
  const correlations = new Float64Array(n * n);
  const norms = sums.map((row) => Math.sqrt(row.reduce((sum, x) => sum + x * x, 0)) || 1);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      const [a, b] = [sums[i], sums[j]];
      let dot = 0;
      for (let t = 0; t < a.length; t++) dot += a[t] * b[t];
      correlations[i * n + j] = correlations[j * n + i] = dot / (norms[i] * norms[j]);
    }
  }
  const vectors = leadingVectors(correlations, n, factors);
  const weights = Float32Array.from(vectors, (v, i) => v / deviations[i % n]);
  // Each factor has the root mean square 1 over the training minutes, so that one penalty suits all loadings.
  const series = factorSeries(returns, weights, factors);
  for (let k = 0; k < factors; k++) {
    const size = Math.sqrt(series[k].reduce((sum, x) => sum + x * x, 0) / series[k].length);
    for (let j = 0; j < n; j++) weights[k * n + j] *= size > 0 ? 1 / size : 0;
  }
  return weights;
}

function factorSeries(returns: readonly Float64Array[], weights: Float32Array, factors: number): Float64Array[] {
  const n = returns.length;
  return Array.from({ length: factors }, (_, k) => {
    const row = new Float64Array(returns[0].length);
    returns.forEach((r, j) => {
      const weight = weights[k * n + j];
      for (let t = 0; t < row.length; t++) row[t] += weight * r[t];
    });
    return row;
  });
}
