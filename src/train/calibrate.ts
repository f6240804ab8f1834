/** Fits what turns raw outputs into forecasts with an interval, on the validation part alone. */
import type { DecodedOutputs, WindowSet } from '../features/index.ts';
import { type Calibration, calibratedReturn, HOURS, hourOfSession, strainFactor } from '../model/index.ts';

/** Nominal coverage of the intervals. */
export const INTERVAL_LEVEL = 0.8;

/** A part without any skill on the validation part keeps this share of its amplitude, so that its ranking survives. */
const LEAST_GAIN = 0.05;
const MOST_GAIN = 1.25;

/** An hour's own quantile counts as much as that of all hours when it holds this many windows. */
const HOUR_PRIOR = 1000;

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
 * The amplitude of each part: coordinate descent on the squared error of scaled returns, each within
 * [{@link LEAST_GAIN}, {@link MOST_GAIN}].
 *
 * @param parts `[N]` each, divided by the volatility
 */
export function fitGains(parts: readonly Float64Array[], realised: Float64Array): number[] {
  const P = parts.length;
  const products = parts.map((a) => parts.map((b) => dot(a, b)));
  const targets = parts.map((a) => dot(a, realised));
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

/**
 * @param windows the validation windows
 * @param decoded what the outputs for them stand for
 * @param fitAmplitude whether the gains are fitted; 1 otherwise
 */
export function calibrate(windows: WindowSet, decoded: DecodedOutputs, fitAmplitude: boolean): CalibrationFit {
  const { volatility, asOf } = windows;
  const realised = scaledReturns(windows);
  const parts = decoded.parts.map((part) => part.map((value, i) => value / volatility[i]));
  const gains = fitAmplitude ? fitGains(parts, realised) : parts.map(() => 1);
  const predicted = calibratedReturn({ parts }, gains);
  const hours = Int32Array.from(asOf, hourOfSession);
  const usual = medianOf(decoded.strain);
  const level = 1 - (1 - INTERVAL_LEVEL) / 2;
  const at = (slope: number) => {
    const factors = decoded.strain.map((strain) => strainFactor(strain, { usual, slope }));
    const side = (sign: 1 | -1, distance: Float64Array) => {
      const unit = distance.map((value, i) => (factors[i] * value) / volatility[i]);
      const scores = predicted.map((value, i) => (sign * (realised[i] - value)) / unit[i]);
      const ends = byHour(scores, hours, level);
      // Pinball loss of the interval's end (Koenker & Bassett 1978): least where it is the quantile it says it is.
      let loss = 0;
      for (let i = 0; i < scores.length; i++) {
        const beyond = (scores[i] - ends[hours[i]]) * unit[i];
        loss += beyond > 0 ? level * beyond : (level - 1) * beyond;
      }
      return { ends, loss };
    };
    const [below, above] = [side(-1, decoded.below), side(1, decoded.above)];
    return { slope, below: below.ends, above: above.ends, loss: below.loss + above.loss };
  };
  const moves = decoded.strain.some((strain) => strain !== decoded.strain[0]);
  const { slope, below, above } = (moves ? STRAIN_SLOPES : [0])
    .map(at)
    .reduce((best, next) => (next.loss < best.loss ? next : best));
  const calibration: Calibration = { gains, level: INTERVAL_LEVEL, below, above, strain: { usual, slope } };
  return { calibration, skillScaled: skillOf(predicted, realised) };
}

/** Each hour's conformal quantile, drawn towards that of all hours where it holds few windows. */
function byHour(scores: Float64Array, hours: Int32Array, level: number): number[] {
  const all = conformalQuantile(scores, level);
  return Array.from({ length: HOURS }, (_, hour) => {
    const own = scores.filter((_, i) => hours[i] === hour);
    if (own.length === 0) return all;
    return (own.length * conformalQuantile(own, level) + HOUR_PRIOR * all) / (own.length + HOUR_PRIOR);
  });
}

/** What early stopping minimises: the share of persistence's scaled squared error that is left, amplitudes fitted. */
export function validationScore(windows: WindowSet, decode: (outputs: Float32Array) => DecodedOutputs) {
  const realised = scaledReturns(windows);
  return (outputs: Float32Array): number => {
    const parts = decode(outputs).parts.map((part) => part.map((value, i) => value / windows.volatility[i]));
    return 1 - skillOf(calibratedReturn({ parts }, fitGains(parts, realised)), realised);
  };
}
