/** What a report shows of forecasts beyond their scores: calibration, reliability and the worst misses. Pure functions. */
import { epochMinute, isoOfMinute } from '../../base/index.ts';
import type { ScoredForecasts } from '../evaluate-model.ts';

type Forecasts = Pick<ScoredForecasts, 'windows' | 'predictedReturn' | 'low' | 'high'>;

/** Nominal levels and half-widths of a normal distribution at them, in its standard deviations. */
const NORMAL: readonly (readonly [level: number, halfWidth: number])[] = [
  [0.1, 0.125661],
  [0.2, 0.253347],
  [0.3, 0.38532],
  [0.4, 0.524401],
  [0.5, 0.67449],
  [0.6, 0.841621],
  [0.7, 1.036433],
  [0.8, 1.281552],
  [0.9, 1.644854],
  [0.95, 1.959964],
  [0.99, 2.575829],
];
const Z80 = 1.281552;

export interface CalibrationPoint {
  readonly nominal: number;
  readonly actual: number;
}

/**
 * Share of outcomes inside the model's 80% interval after its two ends were moved, from the forecast, as those of a
 * normal distribution move from level to level. At 0.8 it is the model's own interval; beside it the curve shows
 * whether the tails are heavier than normal ones.
 */
export function calibrationCurve({ windows, predictedReturn, low, high }: Forecasts): CalibrationPoint[] {
  const { lastClose, targetClose } = windows;
  return NORMAL.map(([nominal, halfWidth]) => {
    const factor = halfWidth / Z80;
    let inside = 0;
    for (let i = 0; i < targetClose.length; i++) {
      const move = Math.log(targetClose[i] / lastClose[i]) - predictedReturn[i];
      const down = Math.log(low[i] / lastClose[i]) - predictedReturn[i];
      const up = Math.log(high[i] / lastClose[i]) - predictedReturn[i];
      if (move >= factor * down && move <= factor * up) inside++;
    }
    return { nominal, actual: inside / targetClose.length };
  });
}

export interface ReliabilityGroup {
  readonly windows: number;
  /** Means of forecast and outcome in units of the window's volatility. */
  readonly predicted: number;
  readonly realised: number;
  /** Share of the windows that moved whose sign was forecast; null when none moved. */
  readonly signRight: number | null;
}

/** Equal groups of windows from the smallest to the largest key. */
function groupsOf(keys: Float64Array, groups: number): Int32Array[] {
  const order = Int32Array.from(keys, (_, i) => i).sort((a, b) => keys[a] - keys[b]);
  const parts = Array.from({ length: groups }, (_, g) =>
    order.subarray(Math.round((g * order.length) / groups), Math.round(((g + 1) * order.length) / groups)),
  );
  return parts.filter(({ length }) => length > 0);
}

/** Windows grouped by forecast (`amplitude`) or by its size whatever its sign (`strength`), ten equal groups. */
export function reliability(forecasts: Forecasts, by: 'amplitude' | 'strength', groups = 10): ReliabilityGroup[] {
  const { windows, predictedReturn } = forecasts;
  const { lastClose, targetClose, volatility } = windows;
  const predicted = predictedReturn.map((value, i) => value / volatility[i]);
  const realised = targetClose.map((price, i) => Math.log(price / lastClose[i]) / volatility[i]);
  const keys = by === 'amplitude' ? predicted : predicted.map(Math.abs);
  return groupsOf(keys, groups).map((members) => {
    let [sumPredicted, sumRealised, moved, right] = [0, 0, 0, 0];
    for (const i of members) {
      sumPredicted += predicted[i];
      sumRealised += realised[i];
      if (realised[i] === 0) continue;
      moved++;
      if (Math.sign(realised[i]) === Math.sign(predicted[i])) right++;
    }
    return {
      windows: members.length,
      predicted: sumPredicted / members.length,
      realised: sumRealised / members.length,
      signRight: moved > 0 ? right / moved : null,
    };
  });
}

export interface Miss {
  readonly symbol: string;
  readonly asOf: string;
  readonly lastClose: number;
  readonly predictedClose: number;
  readonly targetClose: number;
  /** Distance of outcome and forecast, in the window's volatilities. */
  readonly volatilities: number;
}

/** The windows furthest from their forecasts, at most one of a symbol and day. */
export function worstMisses({ windows, predictedReturn }: Forecasts, count = 12): Miss[] {
  const { symbols, symbol, asOf, lastClose, targetClose, volatility } = windows;
  const miss = predictedReturn.map((value, i) =>
    Math.abs((Math.log(targetClose[i] / lastClose[i]) - value) / volatility[i]),
  );
  const order = Int32Array.from(miss, (_, i) => i).sort((a, b) => miss[b] - miss[a]);
  const seen = new Set<string>();
  const found: Miss[] = [];
  for (const i of order) {
    if (found.length === count) break;
    const when = isoOfMinute(epochMinute(asOf[i]));
    const key = `${symbols[symbol[i]]} ${when.slice(0, 10)}`;
    if (seen.has(key)) continue;
    seen.add(key);
    found.push({
      symbol: symbols[symbol[i]],
      asOf: when,
      lastClose: lastClose[i],
      predictedClose: lastClose[i] * Math.exp(predictedReturn[i]),
      targetClose: targetClose[i],
      volatilities: miss[i],
    });
  }
  return found;
}
