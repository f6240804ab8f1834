/** A recipe's windows and scaler without a model: the one place where this folder makes them by itself. */
import type { MarketBars } from '../bars/index.ts';
import {
  buildWindows,
  type FittedScaler,
  fillMarket,
  type Recipe,
  selectWindows,
  type WindowOptions,
  type WindowSet,
} from '../features/index.ts';

/** The windows of some bars, with what the market says of them, scaled. */
export function scaledWindows(
  bars: MarketBars,
  recipe: Recipe,
  scaler: FittedScaler,
  options: WindowOptions,
): WindowSet {
  const windows = buildWindows(bars, recipe, options);
  fillMarket(windows, recipe, scaler, bars);
  return recipe.scale(windows, scaler);
}

/** The scaler fitted on training windows alone: those whose targets lie before the cut. */
export function fitScalerBefore(bars: MarketBars, recipe: Recipe, cut: number): FittedScaler {
  const windows = buildWindows(bars, recipe, { requireTarget: true });
  const training: number[] = [];
  for (let i = 0; i < windows.asOf.length; i++) {
    if (windows.asOf[i] + recipe.horizonMinutes <= cut) training.push(i);
  }
  return recipe.fit(selectWindows(windows, Int32Array.from(training)), bars);
}
