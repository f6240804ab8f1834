/** Features: bars to windows, scalers, targets and splits; batch and live by the same functions. */

export { solvePenalised } from './linear-algebra.ts';
export { LiveMarket, type PushResult } from './live.ts';
export { fillMarket } from './market-rows.ts';
export {
  buildWindowsOnThreads,
  fillMarketOnThreads,
  fitOnThreads,
  type ScaledWindows,
  scaleOnThreads,
} from './parallel.ts';
export * from './recipe.ts';
export { RECIPE_NAMES, recipeOf } from './recipes.ts';
export { referencesOf } from './references.ts';
export { TARGET_LIMIT } from './returns-scales.ts';
export { isUsable } from './rows.ts';
export * from './scaling.ts';
export * from './split.ts';
export * from './window-selection.ts';
export { buildWindows } from './windows.ts';
