/**
 * The interval: multiples of the network's own distances by hour of the session, and what widens it. Fitted on
 * the validation part and, where it is short, on the latest training windows beside it: half a session has many windows
 * and few moves of the market, and an interval that fits them misses those of other days.
 */
import {
  type Calibration,
  calibratedReturn,
  HOURS,
  hourOfSession,
  type TurbulenceResponse,
  wideningOf,
} from '../model/index.ts';
import { concat, type DecodedWindows, scaledReturns } from './decoded-windows.ts';

/** Nominal coverage of the intervals. */
export const INTERVAL_LEVEL = 0.8;

/** An hour's own quantile counts as much as that of all hours when it holds windows of this many minutes. */
const HOUR_PRIOR_MINUTES = 60;

/**
 * Standard deviation of the share that one quantile covers in the half hour before the close, from that in other hours,
 * before days have spoken: a tenth in width. Orders for the closing auction make it another market than the rest.
 */
const CLOSE_DEVIATION = 0.045;

/**
 * The network's distances count as this much shorter on windows that it was trained on, because outcomes lie nearer to
 * what was fitted to them: by 1 to 2% on `yahoo-1m` and by 3 to 5% on three sessions of the simulated market.
 */
const FITTED_CLOSER = 1.03;

/** Responses to the market's strain that are tried. None is too weak: a calm calibration part knows no storm. */
const STRAIN_SLOPES = [1, 1.5, 2, 3];
/**
 * Log width per unit of log turbulence above the usual one. It is not fitted: days that are alike do not tell it. On two
 * spans of the S&P 500 table, one with a storm of June 2017, it makes the coverage of days most alike.
 */
const TURBULENCE_SLOPE = 0.25;

function medianOf(values: Float64Array): number {
  const sorted = values.slice().sort();
  return sorted.length === 0 ? 0 : sorted[sorted.length >> 1];
}

/**
 * The conformal quantile of scores that covers at least `level` of fresh ones when they are exchangeable (Vovk et al.
 * 2005): the order statistic of rank ceil(level (n + 1)), or the largest; NaN of none.
 */
export function conformalQuantile(scores: Float64Array, level: number): number {
  const sorted = scores.slice().sort();
  return sorted.length === 0 ? Number.NaN : sorted[Math.min(sorted.length, Math.ceil(level * (sorted.length + 1))) - 1];
}

/**
 * Multiples of the network's distances, the same on both sides, and the responses to the market.
 * @param sets the validation windows, and training windows
 */
export function fitInterval(sets: readonly DecodedWindows[], amplitudes: Pick<Calibration, 'gains' | 'damping'>) {
  const joined = (of: (set: DecodedWindows) => Float64Array) => concat(sets.map(of));
  const scaledBy = (of: (set: DecodedWindows) => Float64Array) =>
    joined((set) => of(set).map((value, i) => value / set.windows.volatility[i]));
  const realised = joined(({ windows }) => scaledReturns(windows));
  const predicted = scaledBy(({ decoded }) => calibratedReturn(decoded, amplitudes));
  const [fresh] = sets;
  const distance = (set: DecodedWindows, side: 'below' | 'above') =>
    set === fresh ? set.decoded[side] : set.decoded[side].map((value) => value / FITTED_CLOSER);
  const below = scaledBy((set) => distance(set, 'below'));
  const above = scaledBy((set) => distance(set, 'above'));
  const strain = joined(({ decoded }) => decoded.strain);
  const minutes = joined(({ windows }) => Float64Array.from(windows.asOf));
  const hours = hoursOf(minutes);
  const usual = medianOf(strain);
  const turbulence = fresh.decoded.turbulence && joined(({ decoded }) => decoded.turbulence!);
  const loud = turbulence && usualTurbulence(turbulence, hours);
  const tail = (1 - INTERVAL_LEVEL) / 2;
  const at = (slope: number) => {
    const responses = { strain: { usual, slope }, turbulence: loud };
    const factors = strain.map((_, i) => wideningOf({ strain, turbulence }, i, hours[i], responses));
    // How many of the network's own distances the outcome lies away, on its side.
    const scores = realised.map((value, i) => {
      const beyond = value - predicted[i];
      return (beyond < 0 ? -beyond / below[i] : beyond / above[i]) / factors[i];
    });
    const ends = byHour(scores, hours, minutes);
    // Width and what lies outside of it (Gneiting & Raftery 2007): least where the ends are the quantiles they say.
    let loss = 0;
    for (let i = 0; i < scores.length; i++) {
      const unit = factors[i] * ends[hours[i]];
      const beyond = realised[i] - predicted[i];
      loss += tail * unit * (below[i] + above[i]) + Math.max(0, -beyond - unit * below[i], beyond - unit * above[i]);
    }
    return { responses, ends, loss };
  };
  const moves = strain.some((value) => value !== strain[0]);
  const { responses, ends } = (moves ? STRAIN_SLOPES : [0])
    .map(at)
    .reduce((best, next) => (next.loss < best.loss ? next : best));
  return { below: ends, above: ends, ...responses };
}

/** Undefined where the market is unknown. */
function usualTurbulence(turbulence: Float64Array, hours: Int32Array): TurbulenceResponse | undefined {
  const logs: number[][] = Array.from({ length: HOURS }, () => []);
  turbulence.forEach((value, i) => {
    if (value > 0) logs[hours[i]].push(Math.log(value));
  });
  const known = logs.filter(({ length }) => length > 0);
  if (known.length === 0) return undefined;
  const all = meanOf(known.map(meanOf));
  return { usual: logs.map((values) => (values.length > 0 ? meanOf(values) : all)), slope: TURBULENCE_SLOPE };
}

const meanOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** `[N]` the hour of each; windows of the same minute share it. */
function hoursOf(minutes: Float64Array): Int32Array {
  const known = new Map<number, number>();
  return Int32Array.from(minutes, (minute) => {
    let hour = known.get(minute);
    if (hour === undefined) {
      hour = hourOfSession(minute);
      known.set(minute, hour);
    }
    return hour;
  });
}

/**
 * Each hour's conformal quantile, drawn towards that of all hours: by as much as hours differ less than one and the same
 * hour does from day to day, or where there are not two days, by the minutes that it holds.
 */
function byHour(scores: Float64Array, hours: Int32Array, minutes: Float64Array): number[] {
  const all = conformalQuantile(scores, INTERVAL_LEVEL);
  const weightOf = hourWeights(scores, hours, minutes, all);
  return Array.from({ length: HOURS }, (_, hour) => {
    const own = scores.filter((_, i) => hours[i] === hour);
    if (own.length === 0) return all;
    const held = new Set(minutes.filter((_, i) => hours[i] === hour)).size;
    const weight = weightOf ? weightOf[hour] : held / (held + HOUR_PRIOR_MINUTES);
    return weight * conformalQuantile(own, INTERVAL_LEVEL) + (1 - weight) * all;
  });
}

/**
 * How much an hour's own quantile counts, from 0 to 1 (DerSimonian & Laird 1986): the variance between hours of the
 * share that `quantile` covers, over itself and the variance of an hour's mean over its days. The last half hour is
 * thought to differ anyway. Undefined without hours of two days.
 */
function hourWeights(scores: Float64Array, hours: Int32Array, minutes: Float64Array, quantile: number) {
  const days = new Map<number, { inside: number; count: number }>();
  for (let i = 0; i < scores.length; i++) {
    const key = Math.floor(minutes[i] / 1440) * HOURS + hours[i];
    const day = days.get(key) ?? { inside: 0, count: 0 };
    if (day.count === 0) days.set(key, day);
    day.count++;
    if (scores[i] <= quantile) day.inside++;
  }
  const shares: number[][] = Array.from({ length: HOURS }, () => []);
  for (const [key, { inside, count }] of days) shares[key % HOURS].push(inside / count);
  const means = shares.map((values) => (values.length > 0 ? meanOf(values) : Number.NaN));
  const squares = shares.flatMap((values, hour) => values.map((value) => (value - means[hour]) ** 2));
  const known = shares.filter((values) => values.length > 0);
  const freedom = squares.length - known.length;
  if (freedom <= 0 || known.length < 2) return undefined;
  const ofDays = squares.reduce((a, b) => a + b, 0) / freedom;
  const centre = meanOf(means.filter((value) => !Number.isNaN(value)));
  const spread = means.reduce((sum, value) => (Number.isNaN(value) ? sum : sum + (value - centre) ** 2), 0);
  const noise = meanOf(known.map((values) => ofDays / values.length));
  const between = Math.max(0, spread / (known.length - 1) - noise);
  return shares.map((values, hour) => {
    const apart = hour === HOURS - 1 ? Math.max(between, CLOSE_DEVIATION ** 2) : between;
    return apart === 0 ? 0 : apart / (apart + ofDays / Math.max(1, values.length));
  });
}
