/** What a report is made from, and how its sections write numbers. */
import type { ModelDescription } from '../../model/index.ts';
import type { ModelBacktest } from '../backtest-model.ts';
import type { ModelEvaluation, ScoredForecasts } from '../evaluate-model.ts';
import { MISSING } from '../numbers.ts';

export interface ReportInput {
  readonly description: ModelDescription;
  readonly evaluation: ModelEvaluation;
  readonly forecasts: ScoredForecasts;
  /** Undefined when it was left out. */
  readonly backtest?: ModelBacktest;
  /** ISO 8601; stands in the subtitle. */
  readonly madeAt: string;
}

/** As many decimals as it takes, at most two. */
export const wholePercent = (value: number): string => `${Number((100 * value).toFixed(2))}%`;
export const whole = (value: number): string => value.toLocaleString('en-US');
export const minuteText = (iso: string | null): string => (iso === null ? MISSING : iso.slice(0, 16).replace('T', ' '));
