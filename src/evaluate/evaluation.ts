/** What `barcast evaluate` answers: a model and its baselines on the same windows, parts of them, and the verdict. */
import { BarcastError, epochMinute, isoOfMinute } from '../base/index.ts';
import { type Bootstrap, skillInterval } from './bootstrap.ts';
import { type Breakdowns, breakDown } from './breakdowns.ts';
import { type IntervalScore, scoreIntervals } from './intervals.ts';
import {
  type PreparedWindows,
  prepareWindows,
  type Score,
  type ScoredWindows,
  type ScoreOptions,
  scorePrepared,
} from './scores.ts';
import { zeroDriftInterval } from './zero-drift.ts';

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
  /** `[symbols]` currency traded a session minute, for the breakdown by liquidity. */
  readonly liquidity?: Float64Array;
}

/** A forecaster with an interval of its own. */
export interface IntervalForecasterScore extends Score {
  readonly interval80: IntervalScore;
}

/** One forecaster measured against another instead of against persistence: 1 - MSE / MSE of the other. */
export interface Comparison {
  readonly skill: number | null;
  readonly skillCi95: readonly [number, number] | null;
  readonly skillScaled: number | null;
  readonly skillScaledCi95: readonly [number, number] | null;
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
  /** Persistence's forecast with the 80% interval of a random walk of the window's own volatility. */
  readonly zeroDrift: IntervalForecasterScore;
  readonly ridge: Score | null;
  /** The model against the ridge; null without one. */
  readonly modelOverRidge: Comparison | null;
  readonly coverage80: number | null;
  /** The same in each hour of the session, named by its beginning in New York, as `10:30`; null without an interval. */
  readonly coverageByHour: Readonly<Record<string, number | null>> | null;
  /** Coverage and width of the model's 80% interval; null without one. */
  readonly interval80: IntervalScore | null;
  readonly verdict: Verdict;
  /** The score that the verdict is about. */
  readonly verdictOn: 'skillScaled';
  readonly breakdowns: Breakdowns;
  readonly bootstrap: Bootstrap;
}

/**
 * Scores a model beside its baselines. All intervals of whole scores come from the same resamples.
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
  const still = new Float64Array(model.windows);
  const walk = zeroDriftInterval(windows);
  const breakdowns = breakDown(input, { ...options, closeRange: prepared.closeRange });
  const byHour = breakdowns.byHour.map(({ part, coverage80 }) => [part, coverage80] as const);
  return {
    windows: model.windows,
    symbols: new Set(windows.symbol).size,
    firstAsOf: minutes.length > 0 ? isoOfMinute(epochMinute(minutes[0])) : null,
    lastAsOf: minutes.length > 0 ? isoOfMinute(epochMinute(minutes[minutes.length - 1])) : null,
    model,
    persistence: scorePrepared(prepared, { predictedReturn: still }),
    zeroDrift: {
      ...scorePrepared(prepared, { predictedReturn: still, ...walk }),
      interval80: scoreIntervals({ ...walk, targetClose, lastClose }),
    },
    ridge: ridgeReturn === null ? null : scorePrepared(prepared, { predictedReturn: ridgeReturn }),
    modelOverRidge: ridgeReturn === null ? null : compareForecasts(prepared, predictedReturn, ridgeReturn),
    coverage80: model.coverage80,
    coverageByHour: low && high ? Object.fromEntries(byHour) : null,
    interval80: low && high ? scoreIntervals({ low, high, targetClose, lastClose }) : null,
    verdict: verdictOf(model),
    verdictOn: 'skillScaled',
    breakdowns,
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

/** One forecaster against another on the same windows, with the same resamples: differences, not two intervals side by side. */
export function compareForecasts(prepared: PreparedWindows, one: Float64Array, other: Float64Array): Comparison {
  const { index, realised, bootstrap } = prepared;
  const { volatility } = prepared.windows;
  const compare = (unit: (i: number) => number) => {
    const squaredError = new Float64Array(index.minutes.length);
    const squaredMove = new Float64Array(index.minutes.length);
    let errors = 0;
    let others = 0;
    for (let i = 0; i < realised.length; i++) {
      const error = ((realised[i] - one[i]) / unit(i)) ** 2;
      const otherError = ((realised[i] - other[i]) / unit(i)) ** 2;
      squaredError[index.slot[i]] += error;
      squaredMove[index.slot[i]] += otherError;
      errors += error;
      others += otherError;
    }
    const value = others > 0 ? 1 - errors / others : null;
    const ci95 = value === null ? null : skillInterval(value, { squaredError, squaredMove }, bootstrap);
    return { value, ci95 };
  };
  const raw = compare(() => 1);
  const scaled = compare((i) => volatility[i]);
  return { skill: raw.value, skillCi95: raw.ci95, skillScaled: scaled.value, skillScaledCi95: scaled.ci95 };
}
