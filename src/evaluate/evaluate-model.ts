/** `barcast evaluate` as a function: a model and the baselines on bars that the model was not fitted on. */

import type { MarketBars } from '../bars/index.ts';
import { BarcastError, epochMinute, epochMs, isoOfMinute, msToMinute } from '../base/index.ts';
import { buildWindows, type Recipe, selectWindows, type WindowSet } from '../features/index.ts';
import type { Model } from '../model/index.ts';
import { type Evaluation, type EvaluationInput, evaluateForecasts } from './evaluation.ts';
import { turnoverPerMinute } from './liquidity.ts';
import type { ReturnsView } from './returns-view.ts';
import { fitRidge, predictRidge, type RidgeModel } from './ridge.ts';

export interface EvaluateOptions {
  readonly model: Model;
  /** The bars to score on. Forecasts made, or reaching, into the span the model was fitted on are left out. */
  readonly bars: MarketBars;
  /** Those of the bars' symbols that are scored; all without them. The others are there for the market. */
  readonly symbols?: readonly string[];
  /** The bars the model was fitted on, to fit the ridge on; undefined when they are not at hand. */
  readonly trainingBars?: MarketBars;
}

export interface ModelEvaluation extends Evaluation {
  readonly modelName: string;
  readonly version: string;
  readonly weightsHash: string;
  readonly horizonMinutes: number;
  /** Windows left out because they reach into the span that the model was fitted on. */
  readonly fittedWindowsLeftOut: number;
  /** Symbols among the windows that the model was not trained on. */
  readonly unseenSymbols: number;
}

/** First minute after the span a model was fitted on, and the span's first minute. */
function fittedSpan(model: Model): { from: number; to: number } | undefined {
  const provenance = model.description.provenance;
  if (!provenance) return undefined;
  const minuteOf = (iso: string) => msToMinute(epochMs(Date.parse(iso)));
  return { from: minuteOf(provenance.from), to: minuteOf(provenance.to) };
}

function returnsOf(windows: WindowSet, recipe: Recipe): ReturnsView {
  const { windowLength, columns: stride, oneMinuteReturns } = recipe;
  return { matrix: windows.matrix, starts: windows.starts, windowLength, stride, ...oneMinuteReturns };
}

/** The ridge baseline of a recipe's windows over some bars. @throws BARCAST_E_TOO_FEW_WINDOWS */
export function fitRidgeOn(bars: MarketBars, recipe: Recipe): RidgeModel {
  const windows = buildWindows(bars, recipe, { requireTarget: true });
  return fitRidge({ ...windows, returns: returnsOf(windows, recipe) }, { horizonMinutes: recipe.horizonMinutes });
}

/** `[N]` the ridge's predicted log returns. */
export const ridgeReturnsOf = (ridge: RidgeModel, windows: WindowSet, recipe: Recipe): Float64Array =>
  predictRidge(ridge, returnsOf(windows, recipe));

/** Windows whose rows and target lie wholly outside the fitted span. */
function outsideOf(windows: WindowSet, model: Model): Int32Array {
  const { windowLength, horizonMinutes } = model.recipe;
  const span = fittedSpan(model);
  const all = Int32Array.from(windows.asOf, (_, i) => i);
  if (!span) return all;
  return all.filter((i) => windows.asOf[i] + horizonMinutes <= span.from || windows.asOf[i] - windowLength >= span.to);
}

/** A model's forecasts of windows with known outcomes, and the ridge's: what an evaluation is made of. */
export interface ScoredForecasts extends EvaluationInput {
  readonly windows: WindowSet;
  readonly low: Float64Array;
  readonly high: Float64Array;
  readonly liquidity: Float64Array;
  readonly fittedWindowsLeftOut: number;
}

/**
 * Forecasts every window of the bars that lies outside the span the model was fitted on.
 * @throws BARCAST_E_TOO_FEW_WINDOWS when nothing is left to score on
 */
export async function forecastWindows(options: EvaluateOptions): Promise<ScoredForecasts> {
  const { model, bars, trainingBars } = options;
  const every = model.windows(bars, { requireTarget: true });
  const outside = outsideOf(every, model);
  const scored = options.symbols && new Set(options.symbols);
  const isScored = every.symbols.map((symbol) => scored === undefined || scored.has(symbol));
  const kept = outside.filter((i) => isScored[every.symbol[i]]);
  if (kept.length === 0) {
    const span = fittedSpan(model);
    const fitted = span
      ? `; it was fitted on ${isoOfMinute(epochMinute(span.from))} to ${isoOfMinute(epochMinute(span.to))}`
      : '';
    throw new BarcastError(
      'BARCAST_E_TOO_FEW_WINDOWS',
      `no window is left to score '${model.name}' on${fitted}`,
      'choose --from and --to outside that span, with bars in the store',
    );
  }
  const windows = selectWindows(every, kept);
  const predictions = await model.predict(windows);
  const price = (returns: Float64Array) => returns.map((value, i) => windows.lastClose[i] * Math.exp(value));
  const ridge = trainingBars ? fitRidgeOn(trainingBars, model.recipe) : null;
  return {
    windows,
    predictedReturn: predictions.predictedReturn,
    low: price(predictions.low),
    high: price(predictions.high),
    ridgeReturn: ridge ? ridgeReturnsOf(ridge, windows, model.recipe) : null,
    liquidity: turnoverPerMinute(bars),
    fittedWindowsLeftOut: every.symbol.filter((s) => isScored[s]).length - kept.length,
  };
}

/** @throws BARCAST_E_TOO_FEW_WINDOWS when nothing is left to score on */
export async function evaluateModel(options: EvaluateOptions): Promise<ModelEvaluation> {
  return evaluationOf(options.model, await forecastWindows(options));
}

/** Scores what {@link forecastWindows} answered. */
export function evaluationOf(model: Model, forecasts: ScoredForecasts): ModelEvaluation {
  const { windows } = forecasts;
  const trained = new Set(model.description.provenance?.symbols ?? []);
  const { name, version, weightsHash, horizonMinutes } = model;
  return {
    modelName: name,
    version,
    weightsHash,
    horizonMinutes,
    ...evaluateForecasts(forecasts, { horizonMinutes }),
    fittedWindowsLeftOut: forecasts.fittedWindowsLeftOut,
    unseenSymbols: [...new Set(windows.symbol)].filter((s) => !trained.has(windows.symbols[s])).length,
  };
}
