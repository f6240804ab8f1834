/** What `barcast evaluate` answers: a model, persistence and the ridge on the same windows, and the verdict. */
import { BarcastError, epochMinute, isoOfMinute } from '../base/index.ts';
import type { Bootstrap } from './bootstrap.ts';
import { type IntervalScore, scoreIntervals } from './intervals.ts';
import { prepareWindows, type Score, type ScoredWindows, type ScoreOptions, scorePrepared } from './scores.ts';

/** Said of `skillScaled`: its 95% interval lies above zero, holds zero, lies below zero, or cannot be made. */
export type Verdict =
  | 'edge over persistence'
  | 'no edge over persistence'
  | 'worse than persistence'
  | 'too few windows to tell';

export interface EvaluationInput {
  /** The test windows, all with known targets. */
  readonly windows: ScoredWindows;
  /** `[N]` the model's predicted log returns to the horizon. */
  readonly predictedReturn: Float64Array;
  /** `[N]` the model's 80% interval as prices; both or neither. */
  readonly low?: Float64Array;
  readonly high?: Float64Array;
  /** `[N]` the ridge's predicted log returns; null when there was nothing to fit it on. */
  readonly ridgeReturn: Float64Array | null;
}

/** JSON as it stands: no NaN, no typed arrays. */
export interface Evaluation {
  readonly windows: number;
  /** Symbols among the windows. */
  readonly symbols: number;
  /** ISO 8601 UTC of the first and last forecast; null without windows. */
  readonly firstAsOf: string | null;
  readonly lastAsOf: string | null;
  readonly model: Score;
  readonly persistence: Score;
  readonly ridge: Score | null;
  readonly coverage80: number | null;
  /** Coverage and width of the model's 80% interval; null without one. */
  readonly interval80: IntervalScore | null;
  readonly verdict: Verdict;
  /** The score that the verdict is about. */
  readonly verdictOn: 'skillScaled';
  readonly bootstrap: Bootstrap;
}

/**
 * Scores a model beside its baselines. All three intervals come from the same resamples.
 * @throws BARCAST_E_SHAPE, BARCAST_E_NOT_FINITE
 */
export function evaluateForecasts(input: EvaluationInput, options: ScoreOptions = {}): Evaluation {
  const { windows, predictedReturn, low, high, ridgeReturn } = input;
  if ((low === undefined) !== (high === undefined)) {
    throw new BarcastError('BARCAST_E_SHAPE', 'an interval has only one of its two bounds', 'give both or neither');
  }
  const prepared = prepareWindows(windows, options);
  const model = scorePrepared(prepared, { predictedReturn, low, high });
  const { minutes } = prepared.index;
  const { lastClose, targetClose } = windows;
  return {
    windows: model.windows,
    symbols: new Set(windows.symbol).size,
    firstAsOf: minutes.length > 0 ? isoOfMinute(epochMinute(minutes[0])) : null,
    lastAsOf: minutes.length > 0 ? isoOfMinute(epochMinute(minutes[minutes.length - 1])) : null,
    model,
    persistence: scorePrepared(prepared, { predictedReturn: new Float64Array(model.windows) }),
    ridge: ridgeReturn === null ? null : scorePrepared(prepared, { predictedReturn: ridgeReturn }),
    coverage80: model.coverage80,
    interval80: low && high ? scoreIntervals({ low, high, targetClose, lastClose }) : null,
    verdict: verdictOf(model),
    verdictOn: 'skillScaled',
    bootstrap: prepared.bootstrap,
  };
}

/** An interval that touches zero holds it. */
export function verdictOf(score: Pick<Score, 'skillScaledCi95'>): Verdict {
  if (score.skillScaledCi95 === null) return 'too few windows to tell';
  const [low, high] = score.skillScaledCi95;
  if (low > 0) return 'edge over persistence';
  return high < 0 ? 'worse than persistence' : 'no edge over persistence';
}
