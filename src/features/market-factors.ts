/**
 * The market's factors over the minutes that are fitted on: returns of the references, their correlations over a few
 * minutes, the leading eigenvectors of these, and the series of factor returns that they make.
 */
import type { MarketBars } from '../bars/index.ts';
import { freshShared } from '../base/index.ts';
import { addProducts, leadingVectors, paddedWidth } from './linear-algebra.ts';
import { SESSION_MINUTES } from './rows.ts';
import { visitReturns } from './run-returns.ts';

/** Minutes that returns are added up over for the correlations. */
const CORRELATION_MINUTES = 3;
/** Minutes whose products are summed at a time: they stay in the cache. */
const MINUTES_AT_ONCE = 32;

/** The bars that are fitted on. */
export interface FitSpan {
  readonly bars: MarketBars;
  /** Opens of the sessions, ascending; a session has 390 places in a series. */
  readonly opens: readonly number[];
  readonly from: number;
  readonly to: number;
  readonly longestQuietRun: number;
}

/** Places in a series: T */
export const placesOf = ({ opens }: FitSpan): number => opens.length * SESSION_MINUTES;

/** Returns of the references and the products of their sums, a session a block. */
export interface MomentsStep {
  readonly kind: 'moments';
  readonly blocks: number;
  readonly span: FitSpan;
  /** n, by their index in the bars. */
  readonly references: readonly number[];
  /** `[n, T]` receives their one-minute returns. */
  readonly returns: Float64Array;
  /** `[sessions, W, W]` receives the products of sums over three minutes. */
  readonly products: Float64Array;
}

export function momentsStep(span: FitSpan, references: readonly number[]): MomentsStep {
  const W = paddedWidth(references.length);
  const numbers = (count: number) => new Float64Array(freshShared(8 * count));
  const blocks = span.opens.length;
  const returns = numbers(references.length * placesOf(span));
  return { kind: 'moments', blocks, span, references, returns, products: numbers(blocks * W * W) };
}

export function momentsWork({ span, references, returns, products }: MomentsStep): (session: number) => void {
  const T = placesOf(span);
  const W = paddedWidth(references.length);
  const { bars, opens, to, longestQuietRun } = span;
  const sums = new Float64Array(MINUTES_AT_ONCE * W);
  return (session) => {
    const open = opens[session];
    const at = session * SESSION_MINUTES;
    references.forEach((symbol, j) => {
      const end = Math.min(to, open + SESSION_MINUTES);
      visitReturns(bars, symbol, longestQuietRun, open, end, (minute, r) => {
        returns[j * T + at + minute - open] = r;
      });
    });
    const own = products.subarray(session * W * W, (session + 1) * W * W);
    for (let from = CORRELATION_MINUTES - 1; from < SESSION_MINUTES; from += MINUTES_AT_ONCE) {
      const count = Math.min(MINUTES_AT_ONCE, SESSION_MINUTES - from);
      for (let j = 0; j < references.length; j++) {
        for (let i = 0, t = j * T + at + from; i < count; i++, t++) {
          let sum = 0;
          for (let k = 0; k < CORRELATION_MINUTES; k++) sum += returns[t - k];
          sums[i * W + j] = sum;
        }
      }
      addProducts(own, W, sums, count);
    }
  };
}

/**
 * The factors' returns `[T, K]`, each factor of root mean square 1, so that one penalty suits all loadings.
 * @param deviations `[n]` of the references' one-minute returns
 */
export function factorSeries(
  { returns, products, references, span }: MomentsStep,
  deviations: Float32Array,
  factors: number,
): Float64Array {
  const n = references.length;
  const T = placesOf(span);
  const vectors = leadingVectors(correlationsOf(products, n, span.opens.length), n, factors);
  const series = new Float64Array(freshShared(8 * T * factors));
  const row = new Float64Array(T);
  for (let k = 0; k < factors; k++) {
    row.fill(0);
    for (let j = 0; j < n; j++) {
      const weight = vectors[k * n + j] / deviations[j];
      for (let t = 0, at = j * T; t < T; t++) row[t] += weight * returns[at + t];
    }
    let squares = 0;
    for (let t = 0; t < T; t++) squares += row[t] * row[t];
    const scale = squares > 0 ? 1 / Math.sqrt(squares / T) : 0;
    for (let t = 0; t < T; t++) series[t * factors + k] = row[t] * scale;
  }
  return series;
}

/** `[n, n]`, from products by session. */
function correlationsOf(products: Float64Array, n: number, sessions: number): Float64Array {
  const W = paddedWidth(n);
  const all = new Float64Array(W * W);
  for (let s = 0; s < sessions; s++) for (let i = 0; i < W * W; i++) all[i] += products[s * W * W + i];
  const norms = Float64Array.from({ length: n }, (_, i) => Math.sqrt(all[i * W + i]) || 1);
  const correlations = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++)
      correlations[i * n + j] = correlations[j * n + i] = all[i * W + j] / (norms[i] * norms[j]);
  }
  return correlations;
}
