/**
 * Fits what turns raw outputs into forecasts with an interval: amplitudes on the validation part alone, the interval on
 * it and, where it is short, on the latest training windows beside it. Half a session has many windows and few moves of
 * the market, and an interval that fits them misses those of other days.
 */
import type { DecodedOutputs, WindowSet } from '../features/index.ts';
import { type Calibration, calibratedReturn, HOURS, hourOfSession, strainFactor, tradingOf } from '../model/index.ts';

/** Nominal coverage of the intervals. */
export const INTERVAL_LEVEL = 0.8;

/** A part without any skill on the validation part keeps this share of its amplitude, so that its ranking survives. */
const LEAST_GAIN = 0.05;
const MOST_GAIN = 1.25;

/** An hour's own quantile counts as much as that of all hours when it holds windows of this many minutes. */
const HOUR_PRIOR_MINUTES = 60;

/**
 * The network's distances count as this much shorter on windows that it was trained on, because outcomes lie nearer to
 * what was fitted to them: by 1 to 2% on `yahoo-1m` and by 3 to 5% on three sessions of the simulated market.
 */
const FITTED_CLOSER = 1.03;

/** Responses to the market's strain that are tried. None is too weak: a calm calibration part knows no storm. */
const STRAIN_SLOPES = [1, 1.5, 2, 3];

function medianOf(values: Float64Array): number {
  const sorted = values.slice().sort();
  return sorted.length === 0 ? 0 : sorted[sorted.length >> 1];
}

/** Log returns to the horizon of windows with a known target, divided by each window's own volatility. */
export function scaledReturns(windows: WindowSet): Float64Array {
  return Float64Array.from(
    windows.starts,
    (_, i) => Math.log(windows.targetClose[i] / windows.lastClose[i]) / windows.volatility[i],
  );
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
 * What amplitudes are thought to be before the validation part has spoken, mean and standard deviation. A linear
 * forecast of much effect comes with about the right one; of what a network finds in what that leaves over, days that
 * it was not trained on keep a fifth (walk-forward, `docs/concepts/what-was-tried.md`).
 */
const FIRST_GAIN = { mean: 0.95, deviation: 0.1 };
const OTHER_GAIN = { mean: 0.2, deviation: 0.1 };
/** Minutes whose errors, over all symbols, count as one observation of an amplitude. */
const BLOCK_MINUTES = 30;
/** Standard deviation of a good amplitude from one day to the next, beyond what half hours tell. */
const DAY_DEVIATION = 0.1;
/**
 * What is thought of the amplitudes falls by 1 + this many squared standard errors of the first: where the validation
 * part cannot tell a forecast from noise, the training part, some five times as long, could not tell some twenty
 * directions of noise from one either.
 */
const DOUBT = 4;

/**
 * The amplitude of each part: coordinate descent on the squared error of scaled returns, each within
 * [{@link LEAST_GAIN}, {@link MOST_GAIN}]. With `asOf` each is drawn towards what was thought of it before by as much
 * as the validation part leaves it uncertain (the mean of a normal posterior). Symbols share a market and windows
 * overlap, so many symbols say less than their number: the uncertainty is that of sums over blocks of minutes, and a
 * day adds its own, however many minutes it has.
 *
 * @param parts `[N]` each, divided by the volatility
 * @param asOf `[N]` EpochMinute
 */
export function fitGains(parts: readonly Float64Array[], realised: Float64Array, asOf?: Int32Array): number[] {
  const P = parts.length;
  const products = parts.map((a) => parts.map((b) => dot(a, b)));
  const targets = parts.map((a) => dot(a, realised));
  if (asOf) {
    const priors = parts.map((_, p) => (p === 0 ? FIRST_GAIN : OTHER_GAIN));
    const expected = calibratedReturn({ parts }, { gains: priors.map(({ mean }) => mean) });
    const errors = realised.map((value, i) => value - expected[i]);
    const ofDays = DAY_DEVIATION ** 2 / Math.max(1, new Set(asOf.map((minute) => Math.floor(minute / 1440))).size);
    const variances = parts.map((part, p) => blockSquares(part, errors, asOf) / products[p][p] ** 2);
    const belief = Number.isFinite(variances[0]) ? 1 / (1 + DOUBT * variances[0]) : 1;
    priors.forEach(({ mean, deviation }, p) => {
      const believed = belief * mean;
      // The less is believed, the wider: between nothing and what would be thought without doubt.
      const width = Math.max(deviation, (mean - believed) / 2);
      const weight = ((variances[p] + ofDays) * products[p][p]) / width ** 2;
      if (!Number.isFinite(weight)) return;
      products[p][p] += weight;
      targets[p] += weight * believed;
    });
  }
  const gains = new Array<number>(P).fill(1);
  for (let round = 0; round < 50; round++) {
    for (let p = 0; p < P; p++) {
      if (!(products[p][p] > 0)) continue;
      let left = targets[p];
      for (let q = 0; q < P; q++) if (q !== p) left -= products[p][q] * gains[q];
      gains[p] = Math.min(MOST_GAIN, Math.max(LEAST_GAIN, left / products[p][p]));
    }
  }
  return gains;
}

/** Before windows have spoken the damping is thought to be 0, with this standard deviation; at most the other. */
const DAMPING_DEVIATION = 0.5;
const MOST_DAMPING = 0.8;
/** A slope below this is no measure for the damping. */
const LEAST_SLOPE = 0.3;

/**
 * The share of the first part's amplitude to take off windows that trade most: what the slope of the outcomes on the
 * part loses from windows that trade little to those, relative to it. Least squares, drawn towards 0 as in
 * {@link fitGains}. It is a ratio of slopes, so training windows tell it too, on which all slopes are too high.
 *
 * @param parts `[N]` each, divided by the volatility
 * @param liquidity `[N]`
 */
export function fitDamping(
  parts: readonly Float64Array[],
  liquidity: Float64Array | undefined,
  realised: Float64Array,
  asOf: Int32Array,
): number {
  if (!liquidity) return 0;
  const [base, ...others] = parts;
  const traded = base.map((value, i) => -value * tradingOf(liquidity[i]));
  const left = realised.map((value, i) => others.reduce((rest, part) => rest - OTHER_GAIN.mean * part[i], value));
  const errors = left.map((value, i) => value - FIRST_GAIN.mean * base[i]);
  const squares = dot(traded, traded);
  const crossed = dot(base, traded);
  const weighted = squares + blockSquares(traded, errors, asOf) / squares / DAMPING_DEVIATION ** 2;
  const whole = dot(base, base);
  const determinant = whole * weighted - crossed ** 2;
  if (!(squares > 0) || !(determinant > 0)) return 0;
  const [onBase, onTraded] = [dot(base, left), dot(traded, left)];
  const slope = (weighted * onBase - crossed * onTraded) / determinant;
  const loss = (whole * onTraded - crossed * onBase) / determinant;
  return Math.max(0, Math.min(MOST_DAMPING, loss / Math.max(slope, LEAST_SLOPE)));
}

/** The sum over blocks of minutes of the square of what part times error adds up to in them. */
function blockSquares(part: Float64Array, errors: Float64Array, asOf: Int32Array): number {
  const sums = new Map<number, number>();
  for (let i = 0; i < part.length; i++) {
    const block = Math.floor(asOf[i] / BLOCK_MINUTES);
    sums.set(block, (sums.get(block) ?? 0) + part[i] * errors[i]);
  }
  let square = 0;
  for (const sum of sums.values()) square += sum * sum;
  return square;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** Skill of predictions on scaled returns; 0 when nothing moved. */
function skillOf(predicted: Float64Array, realised: Float64Array): number {
  let error = 0;
  let total = 0;
  for (let i = 0; i < predicted.length; i++) {
    error += (realised[i] - predicted[i]) ** 2;
    total += realised[i] ** 2;
  }
  return total > 0 ? 1 - error / total : 0;
}

export interface CalibrationFit {
  readonly calibration: Calibration;
  /** On the windows it was fitted on. */
  readonly skillScaled: number;
}

/** Windows with a known target, and what the outputs for them stand for. */
export interface DecodedWindows {
  readonly windows: WindowSet;
  readonly decoded: DecodedOutputs;
}

/**
 * @param windows the validation windows
 * @param decoded what the outputs for them stand for
 * @param fitAmplitude whether the gains are fitted; 1 otherwise
 * @param recent the latest training windows: the interval is fitted on them too
 */
export function calibrate(
  windows: WindowSet,
  decoded: DecodedOutputs,
  fitAmplitude: boolean,
  recent?: DecodedWindows,
): CalibrationFit {
  const realised = scaledReturns(windows);
  const sets = recent ? [{ windows, decoded }, recent] : [{ windows, decoded }];
  const damping = fitAmplitude ? dampingOf(sets) : 0;
  const parts = scaledParts({ windows, decoded });
  const damped = [calibratedReturn({ parts: [parts[0]], liquidity: decoded.liquidity }, { gains: [1], damping })];
  const gains = fitAmplitude ? fitGains([...damped, ...parts.slice(1)], realised, windows.asOf) : parts.map(() => 1);
  const amplitudes = damping === 0 ? { gains } : { gains, damping };
  const predicted = calibratedReturn({ parts, liquidity: decoded.liquidity }, amplitudes);
  const interval = fitInterval(sets, amplitudes);
  return {
    calibration: { ...amplitudes, level: INTERVAL_LEVEL, ...interval },
    skillScaled: skillOf(predicted, realised),
  };
}

/** `[N]` each: the parts, divided by the volatility. */
const scaledParts = ({ windows, decoded }: DecodedWindows): Float64Array[] =>
  decoded.parts.map((part) => part.map((value, i) => value / windows.volatility[i]));

function dampingOf(sets: readonly DecodedWindows[]): number {
  if (sets.some(({ decoded }) => decoded.liquidity === undefined)) return 0;
  const joined = (of: (set: DecodedWindows) => Float64Array) => concat(sets.map(of));
  return fitDamping(
    sets[0].decoded.parts.map((_, p) => joined((set) => scaledParts(set)[p])),
    joined(({ decoded }) => decoded.liquidity!),
    joined(({ windows }) => scaledReturns(windows)),
    Int32Array.from(sets.flatMap(({ windows }) => [...windows.asOf])),
  );
}

/**
 * Multiples of the network's distances, the same on both sides, and the response to strain.
 * @param sets the validation windows, and training windows
 */
function fitInterval(sets: readonly DecodedWindows[], amplitudes: Pick<Calibration, 'gains' | 'damping'>) {
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
  const tail = (1 - INTERVAL_LEVEL) / 2;
  const at = (slope: number) => {
    const factors = strain.map((value) => strainFactor(value, { usual, slope }));
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
    return { slope, ends, loss };
  };
  const moves = strain.some((value) => value !== strain[0]);
  const { slope, ends } = (moves ? STRAIN_SLOPES : [0])
    .map(at)
    .reduce((best, next) => (next.loss < best.loss ? next : best));
  return { below: ends, above: ends, strain: { usual, slope } };
}

function concat(parts: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

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
 * share that `quantile` covers, over itself and the variance of an hour's mean over its days. Undefined without hours
 * of two days.
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
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const means = shares.map((values) => (values.length > 0 ? mean(values) : Number.NaN));
  const squares = shares.flatMap((values, hour) => values.map((value) => (value - means[hour]) ** 2));
  const known = shares.filter((values) => values.length > 0);
  const freedom = squares.length - known.length;
  if (freedom <= 0 || known.length < 2) return undefined;
  const ofDays = squares.reduce((a, b) => a + b, 0) / freedom;
  const centre = mean(means.filter((value) => !Number.isNaN(value)));
  const spread = means.reduce((sum, value) => (Number.isNaN(value) ? sum : sum + (value - centre) ** 2), 0);
  const noise = mean(known.map((values) => ofDays / values.length));
  const between = Math.max(0, spread / (known.length - 1) - noise);
  return shares.map((values) => (between === 0 ? 0 : between / (between + ofDays / Math.max(1, values.length))));
}

/** What early stopping minimises: the share of persistence's scaled squared error that is left, amplitudes fitted. */
export function validationScore(windows: WindowSet, decode: (outputs: Float32Array) => DecodedOutputs) {
  const realised = scaledReturns(windows);
  return (outputs: Float32Array): number => {
    const parts = scaledParts({ windows, decoded: decode(outputs) });
    return 1 - skillOf(calibratedReturn({ parts }, { gains: fitGains(parts, realised, windows.asOf) }), realised);
  };
}
