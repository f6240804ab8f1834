/** How good forecasts are: scores, baselines on the same windows, intervals, the verdict. Pure functions, no files. */
export { type Bootstrap, type BootstrapOptions, chooseBlockMinutes } from './bootstrap.ts';
export { type EvaluateOptions, evaluateModel, type ModelEvaluation } from './evaluate-model.ts';
export { type Evaluation, type EvaluationInput, evaluateForecasts, type Verdict, verdictOf } from './evaluation.ts';
export { type IntervalInput, type IntervalScore, scoreIntervals } from './intervals.ts';
export { renderScores } from './render.ts';
export { LAGS, type ReturnsView } from './returns-view.ts';
export { fitRidge, predictRidge, type RidgeModel, type RidgeOptions, type RidgeTraining } from './ridge.ts';
export {
  type CloseRange,
  type Score,
  type ScoredWindows,
  type ScoreInput,
  type ScoreOptions,
  scoreForecasts,
} from './scores.ts';
