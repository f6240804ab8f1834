/** Fits what turns raw outputs into forecasts with an interval, on the validation part alone. */
import type { FittedScaler, Recipe, WindowSet } from '../features/index.ts';
import type { Calibration } from '../model/index.ts';

/** Nominal coverage of the intervals. */
export const INTERVAL_LEVEL = 0.8;

/** A network without any skill on the validation part keeps this share of its amplitude, so that its ranking survives. */
const LEAST_GAIN = 0.05;
const MOST_GAIN = 1.5;

/** Log returns to the horizon of windows with a known target, divided by each window's own volatility. */
export function scaledReturns(windows: WindowSet): Float64Array {
  return Float64Array.from(
    windows.starts,
    (_, i) => Math.log(windows.targetClose[i] / windows.lastClose[i]) / windows.volatility[i],
  );
}

/**
 * The ends of a split conformal interval (Vovk et al. 2005; Lei et al. 2018): the order statistics of the residuals
 * that cover at least `level` of fresh ones when they are exchangeable, half of what is left out on either side.
 */
export function conformalEnds(residuals: Float64Array, level: number): { low: number; high: number } {
  const sorted = residuals.slice().sort();
  const tail = (1 - level) / 2;
  const rank = Math.ceil((1 - tail) * (sorted.length + 1));
  const high = Math.min(sorted.length, rank) - 1;
  return { low: sorted[sorted.length - 1 - high], high: sorted[high] };
}

/** @param output `[N]` network outputs of the validation windows */
export function calibrate(
  recipe: Recipe,
  scaler: FittedScaler,
  validation: WindowSet,
  output: Float32Array,
): { calibration: Calibration; skillScaled: number } {
  const predicted = recipe.decode(output, validation, scaler);
  const realised = scaledReturns(validation);
  let cross = 0;
  let power = 0;
  let total = 0;
  for (let i = 0; i < predicted.length; i++) {
    predicted[i] /= validation.volatility[i];
    cross += predicted[i] * realised[i];
    power += predicted[i] ** 2;
    total += realised[i] ** 2;
  }
  const fitted = power > 0 ? Math.min(MOST_GAIN, Math.max(LEAST_GAIN, cross / power)) : 1;
  const gain = recipe.training.calibrateAmplitude === true ? fitted : 1;
  const residuals = predicted.map((value, i) => realised[i] - gain * value);
  const squared = residuals.reduce((sum, e) => sum + e * e, 0);
  return {
    calibration: { gain, level: INTERVAL_LEVEL, ...conformalEnds(residuals, INTERVAL_LEVEL) },
    skillScaled: total > 0 ? 1 - squared / total : 0,
  };
}
