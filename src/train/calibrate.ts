/** Fits what turns raw outputs into forecasts with an interval, and tells how good they are on the validation part. */
import type { DecodedOutputs, WindowSet } from '../features/index.ts';
import { type Calibration, calibratedReturn } from '../model/index.ts';
import { fitDamping, fitGains } from './amplitude.ts';
import { concat, type DecodedWindows, scaledParts, scaledReturns } from './decoded-windows.ts';
import { fitInterval, INTERVAL_LEVEL } from './interval.ts';

export interface CalibrationFit {
  readonly calibration: Calibration;
  /** On the windows it was fitted on. */
  readonly skillScaled: number;
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

/** What early stopping minimises: the share of persistence's scaled squared error that is left, amplitudes fitted. */
export function validationScore(windows: WindowSet, decode: (outputs: Float32Array) => DecodedOutputs) {
  const realised = scaledReturns(windows);
  return (outputs: Float32Array): number => {
    const parts = scaledParts({ windows, decoded: decode(outputs) });
    return 1 - skillOf(calibratedReturn({ parts }, { gains: fitGains(parts, realised, windows.asOf) }), realised);
  };
}
