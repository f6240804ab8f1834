/**
 * Fits what turns raw outputs into forecasts with an interval: amplitudes on the validation part alone, the interval on
 * it and, where it is short, on the latest training windows beside it. Half a session has many windows and few moves of
 * the market, and an interval that fits them misses those of other days.
 */
import type { DecodedOutputs, WindowSet } from '../features/index.ts';
import { type Calibration, calibratedReturn, HOURS, hourOfSession, strainFactor } from '../model/index.ts';

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
 * What amplitudes are thought to be before the validation part has spoken, mean and standard deviation: a linear
 * forecast comes with about the right one, and of what a network finds in what that leaves over half is noise.
 */
const FIRST_GAIN = { mean: 1, deviation: 0.1 };
const OTHER_GAIN = { mean: 0.5, deviation: 0.25 };
/** Minutes whose errors, over all symbols, count as one observation of an amplitude. */
const BLOCK_MINUTES = 30;

/**
 * The amplitude of each part: coordinate descent on the squared error of scaled returns, each within
 * [{@link LEAST_GAIN}, {@link MOST_GAIN}]. With `asOf` each is drawn towards what was thought of it before by as much
 * as the validation part leaves it uncertain (the mean of a normal posterior): symbols share a market and windows overlap, so that a day or two of
 * many symbols say less than their number, and the uncertainty is that of sums over blocks of minutes.
 *
 * @param parts `[N]` each, divided by the volatility
 * @param asOf `[N]` EpochMinute
 */
export function fitGains(parts: readonly Float64Array[], realised: Float64Array, asOf?: Int32Array): number[] {
  const P = parts.length;
  const products = parts.map((a) => parts.map((b) => dot(a, b)));
  const targets = parts.map((a) => dot(a, realised));
  if (asOf) {
    const errors = calibratedReturn({ parts }, new Array(P).fill(1)).map((value, i) => realised[i] - value);
    parts.forEach((part, p) => {
      // Squared standard error times the part's own square, over the prior's variance.
      const { mean, deviation } = p === 0 ? FIRST_GAIN : OTHER_GAIN;
      const weight = blockSquares(part, errors, asOf) / products[p][p] / deviation ** 2;
      if (!Number.isFinite(weight)) return;
      products[p][p] += weight;
      targets[p] += weight * mean;
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
  const parts = decoded.parts.map((part) => part.map((value, i) => value / windows.volatility[i]));
  const gains = fitAmplitude ? fitGains(parts, realised, windows.asOf) : parts.map(() => 1);
  const predicted = calibratedReturn({ parts }, gains);
  const interval = fitInterval(recent ? [{ windows, decoded }, recent] : [{ windows, decoded }], gains);
  return { calibration: { gains, level: INTERVAL_LEVEL, ...interval }, skillScaled: skillOf(predicted, realised) };
}

/**
 * Multiples of the network's distances, the same on both sides, and the response to strain.
 * @param sets the validation windows, and training windows
 */
function fitInterval(sets: readonly DecodedWindows[], gains: readonly number[]) {
  const joined = (of: (set: DecodedWindows) => Float64Array) => concat(sets.map(of));
  const scaledBy = (of: (set: DecodedWindows) => Float64Array) =>
    joined((set) => of(set).map((value, i) => value / set.windows.volatility[i]));
  const realised = joined(({ windows }) => scaledReturns(windows));
  const predicted = scaledBy(({ decoded }) => calibratedReturn(decoded, gains));
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

/** Each hour's conformal quantile, drawn towards that of all hours where it holds few minutes. */
function byHour(scores: Float64Array, hours: Int32Array, minutes: Float64Array): number[] {
  const all = conformalQuantile(scores, INTERVAL_LEVEL);
  return Array.from({ length: HOURS }, (_, hour) => {
    const own = scores.filter((_, i) => hours[i] === hour);
    if (own.length === 0) return all;
    const held = new Set(minutes.filter((_, i) => hours[i] === hour)).size;
    return (held * conformalQuantile(own, INTERVAL_LEVEL) + HOUR_PRIOR_MINUTES * all) / (held + HOUR_PRIOR_MINUTES);
  });
}

/** What early stopping minimises: the share of persistence's scaled squared error that is left, amplitudes fitted. */
export function validationScore(windows: WindowSet, decode: (outputs: Float32Array) => DecodedOutputs) {
  const realised = scaledReturns(windows);
  return (outputs: Float32Array): number => {
    const parts = decode(outputs).parts.map((part) => part.map((value, i) => value / windows.volatility[i]));
    return 1 - skillOf(calibratedReturn({ parts }, fitGains(parts, realised, windows.asOf)), realised);
  };
}
