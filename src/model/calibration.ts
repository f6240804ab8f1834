/** How raw outputs become forecasts with an interval; fitted on the validation part alone. */
import { sessionAt } from '../bars/index.ts';
import type { EpochMinute } from '../base/index.ts';
import type { DecodedOutputs, WindowSet } from '../features/index.ts';
import { type Responses, wideningOf } from './widening.ts';

export interface Calibration extends Responses {
  /** The amplitude of each of the forecast's parts: the least-squares multiple on the validation part, shrunk. */
  readonly gains: readonly number[];
  /**
   * The share of the first part's amplitude that is taken off windows that trade most ({@link tradingOf} of 1); absent
   * in models that were trained before there was one, which take none off.
   */
  readonly damping?: number;
  /** Nominal coverage of the interval. */
  readonly level: number;
  /**
   * By hour of the session, from the first: multiples of the network's own distances from the forecast to the
   * interval's ends (conformal quantiles; both sides have the same). What adapts them to calm and storm as bars come in
   * multiplies both ({@link wideningOf}).
   */
  readonly below: readonly number[];
  readonly above: readonly number[];
}

/** Hours that a session of 390 minutes has begun; the last one is half an hour. */
export const HOURS = 7;

/** Nothing fitted: every part as it is, the network's own interval. */
export const plainCalibration = (parts = 2): Calibration => ({
  gains: new Array(parts).fill(1),
  level: 0.8,
  below: new Array(HOURS).fill(1),
  above: new Array(HOURS).fill(1),
  strain: { usual: 0, slope: 0 },
});

/** Forecasts of N windows: log returns to the horizon. */
export interface Predictions {
  readonly predictedReturn: Float64Array;
  /** Ends of the interval at the model's level. */
  readonly low: Float64Array;
  readonly high: Float64Array;
}

/** How long before a session's end its last part begins, on a half-day too. */
const LAST_MINUTES = 30;

/** Hour of the session, from 0, in which a forecast is made; its last half hour is the last one, however long it is. */
export function hourOfSession(asOf: number): number {
  const session = sessionAt((asOf - 1) as EpochMinute);
  if (session === undefined) return 0;
  if (session.close - asOf <= LAST_MINUTES) return HOURS - 1;
  return Math.min(HOURS - 1, Math.floor((asOf - session.open) / 60));
}

/** Liquidity, as recipes count it, of windows from which all of the damping is taken off. */
const MOST_TRADED = 0.6;

/** How much of the damping a window gets, from 0 to 1, by its liquidity. */
export const tradingOf = (liquidity: number): number => Math.max(0, Math.min(1, liquidity / MOST_TRADED));

/** `[N]` the forecast: its parts, each with its amplitude. */
export function calibratedReturn(
  { parts, liquidity }: Pick<DecodedOutputs, 'parts' | 'liquidity'>,
  { gains, damping = 0 }: Pick<Calibration, 'gains' | 'damping'>,
): Float64Array {
  const out = new Float64Array(parts[0].length);
  parts.forEach((part, p) => {
    const damped = p === 0 && damping !== 0 ? liquidity : undefined;
    for (let i = 0; i < out.length; i++) {
      const factor = damped ? gains[p] * (1 - damping * tradingOf(damped[i])) : gains[p];
      out[i] += factor * part[i];
    }
  });
  return out;
}

export function applyCalibration(
  decoded: DecodedOutputs,
  windows: Pick<WindowSet, 'asOf'>,
  calibration: Calibration,
): Predictions {
  const { below, above } = calibration;
  const predictedReturn = calibratedReturn(decoded, calibration);
  const low = new Float64Array(predictedReturn.length);
  const high = new Float64Array(predictedReturn.length);
  for (let i = 0; i < predictedReturn.length; i++) {
    const hour = hourOfSession(windows.asOf[i]);
    const factor = wideningOf(decoded, i, hour, calibration);
    low[i] = predictedReturn[i] - factor * below[hour] * decoded.below[i];
    high[i] = predictedReturn[i] + factor * above[hour] * decoded.above[i];
  }
  return { predictedReturn, low, high };
}
