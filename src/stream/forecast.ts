/**
 * What a forecast is, and the one place where a network's answer becomes one: live serving, `predict` and `replay`
 * all go through `makeForecasts`, so that the same window gives the same forecast everywhere.
 */
import { epochMinute, isoOfMinute } from '../base/index.ts';
import type { FittedScaler, Recipe, WindowSet } from '../features/index.ts';
import type { Predictions } from '../model/index.ts';

/** A forecast as every interface shows it. Prices are in the currency of the listing. */
export interface Forecast {
  readonly symbol: string;
  /** ISO 8601 UTC: the END of the last bar used. The forecast is for `asOf` + `horizonMinutes`. */
  readonly asOf: string;
  readonly horizonMinutes: number;
  /** Close of the last bar used. */
  readonly lastClose: number;
  /** `lastClose * exp(predictedReturn)`. */
  readonly predictedClose: number;
  /** LOG return from `lastClose` to `predictedClose`, ln(predictedClose / lastClose); 0.0001 is one basis point. */
  readonly predictedReturn: number;
  /** Standard deviation of the log return to the horizon, as the window's own minutes have it: what scaled scores divide by. */
  readonly volatility: number;
  /** The close at the horizon is meant to lie in [low, high] with probability `level`. */
  readonly interval: { readonly level: number; readonly low: number; readonly high: number };
  readonly model: string;
  readonly weightsHash: string;
  /** Milliseconds from the arrival of the bars to the forecast. */
  readonly latencyMs: number;
}

/** What a forecast says about the model behind it. */
export interface ForecastingModel {
  readonly name: string;
  readonly weightsHash: string;
  readonly horizonMinutes: number;
  /** Nominal probability of the interval, as 0.8. */
  readonly level: number;
}

/** A model that answers windows of its recipe, scaled by its scaler. Calls do not overlap. */
export interface Predictor extends ForecastingModel {
  readonly recipe: Recipe;
  readonly scaler: FittedScaler;
  predict(windows: WindowSet): Promise<Predictions>;
}

/**
 * One forecast for each of N windows, in their order. A window whose answer is not finite yields none: compare the
 * lengths to count them.
 *
 * @param latencyMs what the forecasts say about their age at birth; rounded to microseconds
 */
export function makeForecasts(
  windows: Pick<WindowSet, 'symbols' | 'symbol' | 'asOf' | 'lastClose' | 'volatility'>,
  predictions: Predictions,
  model: ForecastingModel,
  latencyMs: number,
): Forecast[] {
  const forecasts: Forecast[] = [];
  const latency = Math.round(latencyMs * 1000) / 1000;
  let asOf = Number.NaN;
  let asOfText = '';
  for (let i = 0; i < windows.asOf.length; i++) {
    const lastClose = windows.lastClose[i];
    const predictedReturn = predictions.predictedReturn[i];
    const predictedClose = lastClose * Math.exp(predictedReturn);
    const low = lastClose * Math.exp(predictions.low[i]);
    const high = lastClose * Math.exp(predictions.high[i]);
    if (!(Number.isFinite(predictedClose) && Number.isFinite(low) && Number.isFinite(high))) continue;
    // Windows of one minute share one text: thousands of forecasts are kept in memory.
    if (windows.asOf[i] !== asOf) asOfText = isoOfMinute(epochMinute((asOf = windows.asOf[i])));
    forecasts.push({
      symbol: windows.symbols[windows.symbol[i]],
      asOf: asOfText,
      horizonMinutes: model.horizonMinutes,
      lastClose,
      predictedClose,
      predictedReturn,
      volatility: windows.volatility[i],
      interval: { level: model.level, low, high },
      model: model.name,
      weightsHash: model.weightsHash,
      latencyMs: latency,
    });
  }
  return forecasts;
}
