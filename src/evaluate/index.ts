/** How good forecasts are: scores, baselines on the same windows, intervals, the verdict. Pure functions, no files. */

export {
  type AuditCheck,
  type AuditCheckName,
  type AuditOptions,
  type AuditResult,
  auditLeakage,
  requireNoLeakage,
} from './audit.ts';
export { Backtest, type TradedForecast } from './backtest.ts';
export { type BacktestOptions, backtestModel, type ModelBacktest } from './backtest-model.ts';
export type { BacktestResult, EquityPoint, SessionResult, Sharpe } from './backtest-result.ts';
export type { BacktestRules } from './backtest-rules.ts';
export { type Bootstrap, type BootstrapOptions, chooseBlockMinutes } from './bootstrap.ts';
export { type BreakdownInput, type Breakdowns, breakDown, type PartScore } from './breakdowns.ts';
export { type ClosesTable, type RangeNormalized, readClosesTable } from './closes-table.ts';
export { type ClosesEvaluation, type ClosesOptions, evaluateCloses } from './evaluate-closes.ts';
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
export { type Fold, type FoldPlan, planFolds } from './folds.ts';
export type { CoefficientMean, MinuteCoefficients } from './information-coefficient.ts';
export { type IntervalInput, type IntervalScore, scoreIntervals } from './intervals.ts';
export { sessionsOf, sliceBars } from './market-slice.ts';
export { renderScores } from './render.ts';
export { renderBacktest, renderWalkForward } from './render-backtest.ts';
export { renderCloses } from './render-closes.ts';
export { composeReport } from './report/compose.ts';
export { type Block, type ReportDocument, renderHtml, renderMarkdown } from './report/document.ts';
export type { ReportInput } from './report/input.ts';
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
export { LEAST_PAIRS, RollSpreads } from './spread.ts';
export { type FoldResult, type WalkForwardOptions, type WalkForwardResult, walkForward } from './walk-forward.ts';
