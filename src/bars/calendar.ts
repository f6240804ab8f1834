/**
 * The New York Stock Exchange's regular sessions: 09:30 to 16:00 New York time, to 13:00 on early closes.
 *
 * Limits: holidays and clock changes are right from 2005 to 2035. The same rules are applied from 1970 to 2199
 * without a promise; outside of that there are no sessions. Sessions are made a year at a time when first asked for
 * and kept, so that every question afterwards is one or two array reads.
 */
import { BarcastError, type DayString, type EpochMinute } from '../base/index.ts';
import {
  dayNumberOf,
  dayNumberOfDay,
  dayOfNumber,
  MINUTES_PER_DAY,
  newYorkOffsetMinutes,
  weekdayOf,
  yearOf,
} from './civil.ts';
import { exchangeYear } from './exchange-days.ts';

const OPEN = 9 * 60 + 30;
const CLOSE = 16 * 60;
const EARLY_CLOSE = 13 * 60;
const LAST_DAY = dayNumberOf(2199, 12, 31);

/** One regular session. */
export interface Session {
  /** Its date in New York. */
  readonly day: DayString;
  /** Its first minute. */
  readonly open: EpochMinute;
  /** The first minute after the session. */
  readonly close: EpochMinute;
  /** Whether it closes at 13:00. */
  readonly early: boolean;
}

/** By day number; made up to `sessions.length`. Every session lies within one UTC day, 13:30 to 21:00 at the widest. */
const sessions: (Session | undefined)[] = [];
/** By day number: session minutes of all days before; one entry more than `sessions`. */
const minutesBeforeDay: number[] = [0];

function makeSessionsThrough(dayNumber: number): void {
  const lastYear = yearOf(dayNumber);
  for (let year = yearOf(sessions.length); year <= lastYear; year++) {
    const { closed, early } = exchangeYear(year);
    const end = dayNumberOf(year + 1, 1, 1);
    for (let d = sessions.length; d < end; d++) {
      const session = weekdayOf(d) % 6 === 0 || closed.has(d) ? undefined : makeSession(d, early.has(d));
      sessions.push(session);
      minutesBeforeDay.push(minutesBeforeDay[d]! + (session === undefined ? 0 : session.close - session.open));
    }
  }
}

function makeSession(dayNumber: number, early: boolean): Session {
  const midday = (dayNumber * MINUTES_PER_DAY + MINUTES_PER_DAY / 2) as EpochMinute;
  const midnight = dayNumber * MINUTES_PER_DAY - newYorkOffsetMinutes(midday);
  return {
    day: dayOfNumber(dayNumber),
    open: (midnight + OPEN) as EpochMinute,
    close: (midnight + (early ? EARLY_CLOSE : CLOSE)) as EpochMinute,
    early,
  };
}

function sessionOfNumber(dayNumber: number): Session | undefined {
  if (!(dayNumber >= 0 && dayNumber <= LAST_DAY)) return undefined;
  if (dayNumber >= sessions.length) makeSessionsThrough(dayNumber);
  return sessions[dayNumber];
}

/** The session of a New York date; undefined on weekends, holidays and closures. */
export function sessionOf(day: DayString): Session | undefined {
  return sessionOfNumber(dayNumberOfDay(day));
}

/** The session that {@link sessionAt} found last: bars come in order, so the next one is mostly in it too. */
let latest: Session | undefined;

/** The session that holds the minute (`open <= minute < close`); undefined outside the regular session. */
export function sessionAt(minute: EpochMinute): Session | undefined {
  if (latest !== undefined && minute >= latest.open && minute < latest.close) return latest;
  const session = sessionOfNumber(Math.floor(minute / MINUTES_PER_DAY));
  if (session === undefined || minute < session.open || minute >= session.close) return undefined;
  latest = session;
  return session;
}

/** Every session from the first date to the last, both included, in order. */
export function sessionsBetween(first: DayString, last: DayString): Session[] {
  const found: Session[] = [];
  const end = Math.min(dayNumberOfDay(last), LAST_DAY);
  for (let d = Math.max(dayNumberOfDay(first), 0); d <= end; d++) {
    const session = sessionOfNumber(d);
    if (session !== undefined) found.push(session);
  }
  return found;
}

/** The first session that closes after the minute: the one that holds it, or else the next. @throws BARCAST_E_DATE past 2199 */
export function nextSession(minute: EpochMinute): Session {
  for (let d = Math.max(Math.floor(minute / MINUTES_PER_DAY), 0); d <= LAST_DAY; d++) {
    const session = sessionOfNumber(d);
    if (session !== undefined && session.close > minute) return session;
  }
  throw new BarcastError('BARCAST_E_DATE', `no session is known after minute ${minute}`, 'use a date before 2200');
}

/**
 * Session minutes from 1970 up to the minute, itself not counted. The difference of two is the number of session
 * minutes between them, whatever nights and holidays lie there.
 */
export function sessionMinutesBefore(minute: EpochMinute): number {
  const dayNumber = Math.floor(minute / MINUTES_PER_DAY);
  const clamped = Math.min(Math.max(dayNumber, 0), LAST_DAY);
  const session = sessionOfNumber(clamped);
  const before = minutesBeforeDay[clamped]!;
  if (session === undefined) return before;
  return before + Math.min(Math.max(minute - session.open, 0), session.close - session.open);
}

/** By day number: the dates that {@link dayOf} has been asked for. */
const days: DayString[] = [];

/** The New York date of a minute. */
export function dayOf(minute: EpochMinute): DayString {
  let dayNumber = Math.floor(minute / MINUTES_PER_DAY);
  const utcMinute = minute - dayNumber * MINUTES_PER_DAY;
  // New York's midnight is at 04:00 or 05:00 UTC; only between the two the season decides.
  if (utcMinute < 240 || (utcMinute < 300 && newYorkOffsetMinutes(minute) === -300)) dayNumber--;
  if (dayNumber < 0 || dayNumber > LAST_DAY) return dayOfNumber(dayNumber);
  return (days[dayNumber] ??= dayOfNumber(dayNumber));
}
