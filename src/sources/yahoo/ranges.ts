/**
 * Which requests bring a range of minutes, by what Yahoo's chart API allows: seven days in a request, within the last
 * thirty. The first row of an answer has volume 0, so every request begins a little earlier and those rows are dropped.
 */

import { dayOf, nextSession, type Session, sessionAt, sessionsBetween } from '../../bars/index.ts';
import { type EpochMinute, type EpochMs, epochMinute, msToMinute } from '../../base/index.ts';

const MINUTES_A_DAY = 1440;
export const YAHOO_DAYS_A_REQUEST = 7;
export const YAHOO_DAYS_KEPT = 30;
/** Left free at the early end of what is kept, which moves on while we ask. */
const MARGIN_MINUTES = 15;
/** How much earlier a request begins. One minute would do where every minute trades; thin symbols need more. */
const LEAD_MINUTES = 10;

/** The earliest minute that Yahoo still hands out. */
export const earliestMinute = (now: EpochMs): EpochMinute =>
  epochMinute(msToMinute(now) - YAHOO_DAYS_KEPT * MINUTES_A_DAY + MARGIN_MINUTES);

/** The open of the first session that Yahoo still has in full: a part of one would be asked for again every time. */
export function firstWholeSession(now: EpochMs): EpochMinute {
  const earliest = earliestMinute(now);
  const session = nextSession(earliest);
  return session.open >= earliest ? session.open : nextSession(session.close).open;
}

/** One request: asks for [askFrom, to) and keeps [from, to). */
export interface Range {
  readonly askFrom: EpochMinute;
  readonly from: EpochMinute;
  readonly to: EpochMinute;
}

/** The last session that opened before the minute; undefined when there was none for twelve days. */
export function sessionBefore(minute: EpochMinute): Session | undefined {
  return sessionsBetween(dayOf(epochMinute(minute - 12 * MINUTES_A_DAY)), dayOf(minute))
    .filter((session) => session.open < minute)
    .at(-1);
}

/** Where a request for rows from `from` on begins: some minutes earlier in the session, or at the end of the one before. */
export function askFromOf(from: EpochMinute, earliest: EpochMinute): EpochMinute {
  const session = sessionAt(from);
  if (session !== undefined && from > session.open) {
    return epochMinute(Math.max(session.open, from - LEAD_MINUTES, earliest));
  }
  const before = sessionBefore(from);
  return epochMinute(Math.max(earliest, Math.min(from, before === undefined ? from : before.close - LEAD_MINUTES)));
}

/** The requests that together bring [from, to) as far as it is kept and has begun; none where that is empty. */
export function rangesOf(from: EpochMinute, to: EpochMinute, now: EpochMs): Range[] {
  const earliest = earliestMinute(now);
  const end = Math.min(to, msToMinute(now) + 1);
  const ranges: Range[] = [];
  for (let start = Math.max(from, earliest); start < end; ) {
    const askFrom = askFromOf(epochMinute(start), earliest);
    const stop = Math.min(end, askFrom + YAHOO_DAYS_A_REQUEST * MINUTES_A_DAY);
    // A stretch without a session needs no request.
    const sessions = sessionsBetween(dayOf(epochMinute(start)), dayOf(epochMinute(stop)));
    if (sessions.some((session) => session.open < stop && session.close > start)) {
      ranges.push({ askFrom, from: epochMinute(start), to: epochMinute(stop) });
    }
    start = stop;
  }
  return ranges;
}
