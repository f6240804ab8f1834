/**
 * Walk-forward folds: train on the past, test on what came next, move on. Pure arithmetic on sessions.
 *
 *     expanding   [train      ]gap[test]
 *                 [train            ]gap[test]
 *     rolling     [train      ]gap[test]
 *                       [train      ]gap[test]
 *
 * The gap is a purge and an embargo, both in session minutes (López de Prado 2018, "Advances in Financial Machine
 * Learning", chapter 7). The purge keeps whatever a training window and its target touch out of reach of a test
 * window; the embargo goes beyond that, because volatility and order flow remember longer than windows do. A training
 * sees no bar from `trainTo` on, so no window and no target of it can reach into the gap.
 */
import type { Session } from '../bars/index.ts';
import { BarcastError, type EpochMinute } from '../base/index.ts';

export interface FoldPlan {
  /** `expanding` trains from the first session on, `rolling` on the last `trainingSessions`. */
  readonly mode: 'expanding' | 'rolling';
  /** Sessions of the first training, the gap among them; of every training when rolling. */
  readonly trainingSessions: number;
  readonly testSessions: number;
  /** Session minutes left out before each test. */
  readonly purgeMinutes: number;
  readonly embargoMinutes: number;
}

/** Half-open spans of minutes. */
export interface Fold {
  /** From 1. */
  readonly number: number;
  readonly trainFrom: EpochMinute;
  readonly trainTo: EpochMinute;
  readonly testFrom: EpochMinute;
  readonly testTo: EpochMinute;
}

/**
 * As many folds as the sessions hold. Test spans follow each other without a hole and without overlap; the last one
 * takes what is left, when that is less than `testSessions`.
 *
 * @param sessions in order
 * @throws BARCAST_E_USAGE for numbers that make no fold, BARCAST_E_TOO_FEW_WINDOWS for too few sessions
 */
export function planFolds(sessions: readonly Pick<Session, 'open' | 'close'>[], plan: FoldPlan): Fold[] {
  const { mode, trainingSessions, testSessions, purgeMinutes, embargoMinutes } = plan;
  const counts = [trainingSessions, testSessions, purgeMinutes, embargoMinutes];
  if (!counts.every(Number.isInteger) || trainingSessions < 1 || testSessions < 1 || Math.min(...counts) < 0) {
    throw new BarcastError(
      'BARCAST_E_USAGE',
      'walk-forward needs whole numbers: at least one session to train and to test on, and no negative gap',
      'choose others',
    );
  }
  if (sessions.length <= trainingSessions) {
    throw new BarcastError(
      'BARCAST_E_TOO_FEW_WINDOWS',
      `the bars hold ${sessions.length} sessions, and one fold needs ${trainingSessions} to train on and one to test on`,
      'ingest more days, or train on fewer sessions',
    );
  }
  const folds: Fold[] = [];
  for (let test = trainingSessions; test < sessions.length; test += testSessions) {
    const first = mode === 'rolling' ? test - trainingSessions : 0;
    const last = Math.min(test + testSessions, sessions.length) - 1;
    const trainFrom = sessions[first].open;
    const trainTo = endOfTraining(sessions.slice(first, test), purgeMinutes + embargoMinutes);
    if (trainTo === undefined) {
      throw new BarcastError(
        'BARCAST_E_USAGE',
        `a gap of ${purgeMinutes + embargoMinutes} minutes leaves nothing of ${test - first} sessions to train on`,
        'choose a shorter gap or more sessions',
      );
    }
    folds.push({
      number: folds.length + 1,
      trainFrom,
      trainTo,
      testFrom: sessions[test].open,
      testTo: sessions[last].close,
    });
  }
  return folds;
}

/**
 * The minute before which all but the last `gap` session minutes lie; undefined when nothing is left.
 * @param end where the last session is cut; its close by default
 */
export function endOfTraining(
  sessions: readonly Pick<Session, 'open' | 'close'>[],
  gap: number,
  end: number = Number.POSITIVE_INFINITY,
): EpochMinute | undefined {
  let left = gap;
  for (let s = sessions.length - 1; s >= 0; s--) {
    const { open } = sessions[s];
    const close = Math.min(end, sessions[s].close);
    if (left < close - open) return (close - left) as EpochMinute;
    left -= close - open;
  }
  return undefined;
}
