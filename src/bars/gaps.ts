/**
 * Gaps: runs of absent session minutes that a symbol's own rate of trading does not explain.
 *
 * A missing minute is no gap by itself, because a bar exists only where there was a trade and thin symbols trade
 * rarely. With p the share of session minutes that have a bar between the symbol's first and last one, a run of k
 * absent minutes is a gap when (1 - p)^k < 1e-6, its probability if minutes were independent.
 *
 * Limits: p is taken over the whole span, so gaps of one symbol depend on all of its bars, later ones too. They are for
 * the ledger and for choosing data; what feeds a forecast must bound its quiet runs without looking ahead.
 */
import type { EpochMinute } from '../base/index.ts';
import { nextSession, sessionAt, sessionMinutesBefore } from './calendar.ts';

/** Below this probability a run of absent minutes is a gap. */
export const GAP_PROBABILITY = 1e-6;

/** A hole in one symbol's bars. Nights, weekends and holidays inside it do not end it. */
export interface Gap {
  /** The first absent session minute. */
  readonly from: EpochMinute;
  /** The first minute present again. */
  readonly to: EpochMinute;
  /** Absent session minutes. */
  readonly missing: number;
}

/**
 * The fewest absent minutes in a row that make a gap: the smallest k with (1 - present / span)^k < 1e-6; Infinity when
 * no minute is absent.
 * @param present session minutes with a bar
 * @param span session minutes from the first bar to the last, both counted
 */
export function shortestGap(present: number, span: number): number {
  if (present >= span) return Number.POSITIVE_INFINITY;
  const exact = Math.log(GAP_PROBABILITY) / Math.log1p(-present / span);
  // The inequality is strict: at a tie such as 0.1^6, which rounding may put on either side, one minute more is needed.
  return Math.floor(exact + 1e-9) + 1;
}

/**
 * The gaps of one symbol, in order.
 * @param minutes sorted {@link EpochMinute} of its bars; repeats and minutes outside the regular session are passed over
 * @param start the first row to look at
 * @param end the row after the last
 */
export function findGaps(minutes: Int32Array, start = 0, end = minutes.length): Gap[] {
  const { present, span } = coverage(minutes, start, end);
  const shortest = shortestGap(present, span);
  const gaps: Gap[] = [];
  if (shortest === Number.POSITIVE_INFINITY) return gaps;
  let previous = 0;
  let close = -(2 ** 31);
  for (let row = start; row < end; row++) {
    const minute = minutes[row]!;
    if (minute >= close) {
      const session = sessionAt(minute as EpochMinute);
      if (session === undefined) continue;
      if (previous > 0) {
        const missing = sessionMinutesBetween(previous, minute);
        if (missing >= shortest) gaps.push(gapAfter(previous, minute, missing));
      }
      close = session.close;
    } else if (minute - previous > shortest) {
      gaps.push(gapAfter(previous, minute, minute - previous - 1));
    }
    previous = minute;
  }
  return gaps;
}

/** How many session minutes have a bar, and how many there are from the first such minute to the last. */
function coverage(minutes: Int32Array, start: number, end: number): { present: number; span: number } {
  let present = 0;
  let first = 0;
  let previous = 0;
  let close = -(2 ** 31);
  for (let row = start; row < end; row++) {
    const minute = minutes[row]!;
    if (minute >= close) {
      const session = sessionAt(minute as EpochMinute);
      if (session === undefined) continue;
      close = session.close;
      if (present === 0) first = minute;
    } else if (minute === previous) continue;
    present++;
    previous = minute;
  }
  return { present, span: present === 0 ? 0 : sessionMinutesBetween(first, previous) + 2 };
}

/** Session minutes after the first and before the second, both of which are session minutes; -1 when they are the same. */
const sessionMinutesBetween = (first: number, second: number): number =>
  sessionMinutesBefore(second as EpochMinute) - sessionMinutesBefore(first as EpochMinute) - 1;

function gapAfter(previous: number, to: number, missing: number): Gap {
  const next = (previous + 1) as EpochMinute;
  return { from: Math.max(next, nextSession(next).open) as EpochMinute, to: to as EpochMinute, missing };
}
