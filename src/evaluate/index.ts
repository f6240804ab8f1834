/** How good forecasts are: scores, baselines on the same windows, intervals, the verdict. Pure functions, no files. */
export { type Bootstrap, type BootstrapOptions, chooseBlockMinutes } from './bootstrap.ts';
export { type BreakdownInput, type Breakdowns, breakDown, type PartScore } from './breakdowns.ts';
export {
  type EvaluateOptions,
  evaluateModel,
  evaluationOf,
  forecastWindows,
  type ModelEvaluation,
  type ScoredForecasts,
} from './evaluate-model.ts';
export {
  type Comparison,
  type Evaluation,
  type EvaluationInput,
  evaluateForecasts,
  type IntervalForecasterScore,
  type Verdict,
  verdictOf,
} from './evaluation.ts';
export type { CoefficientMean, MinuteCoefficients } from './information-coefficient.ts';
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
