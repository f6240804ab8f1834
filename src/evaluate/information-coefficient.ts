/**
 * The information coefficient: the correlation of forecast and outcome (Grinold & Kahn 1999, "Active Portfolio
 * Management"). Pooled over all windows it asks "does the forecast go with the move, of any symbol at any time?"; by
 * minute across the market it asks "does it rank the symbols of one moment?", which is what a portfolio that is long
 * some and short others lives on.
 *
 * The minutes' coefficients overlap (five-minute targets share four minutes), so the t-value of their mean has the
 * variance of Newey & West 1987, "A simple, positive semi-definite, heteroskedasticity and autocorrelation consistent
 * covariance matrix", with distances in minutes of the clock instead of places in the series: minutes may be missing,
 * and the first one of a day does not depend on the last one of the day before.
 */
import { type Bootstrap, sumsInterval } from './bootstrap.ts';
import type { MinuteIndex } from './minute-index.ts';

/** Fewer symbols than this in a minute rank nothing. */
export const LEAST_SYMBOLS = 10;

export interface ForecastMoves {
  /** `[N]` log returns to the horizon. */
  readonly predicted: Float64Array;
  readonly realised: Float64Array;
  /** `[N]` divides both, when given. */
  readonly volatility?: Float64Array;
}

/** Mean of the minutes' coefficients and how many standard errors it lies from 0. */
export interface CoefficientMean {
  readonly mean: number;
  /** Null for fewer than ten minutes, or when all are alike. */
  readonly tValue: number | null;
}

export interface MinuteCoefficients {
  /** Minutes with at least ten symbols of which neither forecasts nor outcomes are all alike. */
  readonly minutes: number;
  /** Mean number of symbols in them. */
  readonly symbols: number;
  /** Pearson's correlation of returns divided by each window's own volatility. */
  readonly pearson: CoefficientMean;
  /** Spearman's rank correlation of returns as they are; ties get their mean rank. */
  readonly rank: CoefficientMean;
  /** Minutes over which the t-values take dependence into account. */
  readonly lagMinutes: number;
}

/** Pearson's correlation over all windows with its 95% interval by blocks of time; nulls when a side is constant. */
export function pooledCoefficient(
  { slot, minutes }: MinuteIndex,
  { predicted, realised, volatility }: ForecastMoves,
  plan: Bootstrap,
): { value: number | null; ci95: readonly [number, number] | null } {
  const scale = (values: Float64Array) => (volatility ? values.map((value, i) => value / volatility[i]) : values);
  const x = scale(predicted);
  const y = scale(realised);
  const value = correlation(x, y);
  if (value === null) return { value, ci95: null };
  // Moments about the overall means: the resamples' own means are near them, and nothing is lost to cancellation.
  const meanX = mean(x);
  const meanY = mean(y);
  const columns = Array.from({ length: 6 }, () => new Float64Array(minutes.length));
  const [n, sx, sy, sxx, syy, sxy] = columns;
  for (let i = 0; i < x.length; i++) {
    const at = slot[i];
    const dx = x[i] - meanX;
    const dy = y[i] - meanY;
    n[at]++;
    sx[at] += dx;
    sy[at] += dy;
    sxx[at] += dx * dx;
    syy[at] += dy * dy;
    sxy[at] += dx * dy;
  }
  const ci95 = sumsInterval(value, columns, plan, ([count, a, b, aa, bb, ab]) => {
    const scaleOf = (aa - (a * a) / count) * (bb - (b * b) / count);
    return scaleOf > 0 ? (ab - (a * b) / count) / Math.sqrt(scaleOf) : Number.NaN;
  });
  return { value, ci95 };
}

/** The coefficients of every minute, summed up; null when no minute has symbols enough. */
export function coefficientsByMinute(
  index: MinuteIndex,
  { predicted, realised, volatility }: ForecastMoves,
  horizonMinutes: number,
): MinuteCoefficients | null {
  const order = bySlot(index);
  const at: number[] = [];
  const pearson: number[] = [];
  const rank: number[] = [];
  let symbols = 0;
  for (let m = 0, from = 0; m < index.minutes.length; from += index.count[m++]) {
    const count = index.count[m];
    if (count < LEAST_SYMBOLS) continue;
    const windows = order.subarray(from, from + count);
    const take = (values: Float64Array) => Float64Array.from(windows, (i) => values[i]);
    const x = take(predicted);
    const y = take(realised);
    const ranked = correlation(ranksOf(x), ranksOf(y));
    const v = volatility ? take(volatility) : undefined;
    const linear = v
      ? correlation(
          x.map((value, i) => value / v[i]),
          y.map((value, i) => value / v[i]),
        )
      : correlation(x, y);
    if (ranked === null || linear === null) continue;
    at.push(index.minutes[m]);
    pearson.push(linear);
    rank.push(ranked);
    symbols += count;
  }
  if (at.length === 0) return null;
  const lagMinutes = chooseLag(at.length, horizonMinutes);
  const summary = (values: number[]): CoefficientMean => ({
    mean: mean(values),
    tValue: at.length < 10 ? null : neweyWestT(at, values, lagMinutes),
  });
  return {
    minutes: at.length,
    symbols: symbols / at.length,
    pearson: summary(pearson),
    rank: summary(rank),
    lagMinutes,
  };
}

/**
 * Lags that a t-value looks back: floor(4 (n / 100)^(2/9)) (Newey & West 1994), and at least twice the overlap of the
 * targets, of which Bartlett's weights would otherwise see too little.
 */
export const chooseLag = (n: number, horizonMinutes: number): number =>
  Math.max(2 * (horizonMinutes - 1), Math.floor(4 * (n / 100) ** (2 / 9)));

/**
 * Mean of a series over the square root of its long-run variance, with Bartlett's weights 1 - d / (lag + 1) for pairs
 * d minutes apart. Null when the variance is 0.
 * @param minutes ascending
 */
export function neweyWestT(minutes: readonly number[], values: readonly number[], lag: number): number | null {
  const n = values.length;
  const centre = mean(values);
  let sum = 0;
  for (let i = 0; i < n; i++) {
    const e = values[i] - centre;
    sum += e * e;
    for (let j = i + 1; j < n && minutes[j] - minutes[i] <= lag; j++) {
      sum += 2 * (1 - (minutes[j] - minutes[i]) / (lag + 1)) * e * (values[j] - centre);
    }
  }
  return sum > 0 ? (centre * n) / Math.sqrt(sum) : null;
}

/** Pearson's correlation, in two passes; null when either side is constant or empty. */
export function correlation(a: Float64Array, b: Float64Array): number | null {
  if (isConstant(a) || isConstant(b)) return null;
  const meanA = mean(a);
  const meanB = mean(b);
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    ab += (a[i] - meanA) * (b[i] - meanB);
    aa += (a[i] - meanA) ** 2;
    bb += (b[i] - meanB) ** 2;
  }
  const scale = Math.sqrt(aa) * Math.sqrt(bb);
  return scale > 0 ? Math.max(-1, Math.min(1, ab / scale)) : null;
}

/** `[N]` ranks from 1; equal values share the mean of their ranks. */
export function ranksOf(values: Float64Array): Float64Array {
  const order = Int32Array.from(values, (_, i) => i).sort((a, b) => values[a] - values[b]);
  const ranks = new Float64Array(values.length);
  for (let from = 0; from < order.length; ) {
    let to = from + 1;
    while (to < order.length && values[order[to]] === values[order[from]]) to++;
    for (let k = from; k < to; k++) ranks[order[k]] = (from + 1 + to) / 2;
    from = to;
  }
  return ranks;
}

/** `[N]` windows in the order of their minutes. */
function bySlot({ slot, count }: MinuteIndex): Int32Array {
  const next = new Int32Array(count.length);
  for (let m = 1; m < next.length; m++) next[m] = next[m - 1] + count[m - 1];
  const order = new Int32Array(slot.length);
  for (let i = 0; i < slot.length; i++) order[next[slot[i]]++] = i;
  return order;
}

function mean(values: Float64Array | readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

const isConstant = (values: Float64Array): boolean => values.every((value) => value === values[0]);
