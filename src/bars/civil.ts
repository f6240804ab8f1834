/**
 * Calendar arithmetic on day numbers (days since 1970-01-01), and New York's offset from UTC by rule.
 * Limits: the Gregorian calendar; the clock rules are those in force since 1987.
 */
import { type DayString, type EpochMinute, MS_PER_MINUTE } from '../base/index.ts';

export const MINUTES_PER_DAY = 1440;
const MS_PER_DAY = MINUTES_PER_DAY * MS_PER_MINUTE;

const EASTERN_STANDARD = -300;
const EASTERN_DAYLIGHT = -240;

/** 0 is Sunday, as in `Date`. */
export type Weekday = 0 | 1 | 2 | 3 | 4 | 5 | 6;

/** Days since 1970-01-01; the month counts from 1. */
export const dayNumberOf = (year: number, month: number, day: number): number =>
  Date.UTC(year, month - 1, day) / MS_PER_DAY;

/** NaN for text that is no date. */
export const dayNumberOfDay = (day: DayString): number => Date.parse(day) / MS_PER_DAY;

export const dayOfNumber = (dayNumber: number): DayString =>
  new Date(dayNumber * MS_PER_DAY).toISOString().slice(0, 10) as DayString;

export const yearOf = (dayNumber: number): number => new Date(dayNumber * MS_PER_DAY).getUTCFullYear();

/** 1970-01-01 was a Thursday. */
export const weekdayOf = (dayNumber: number): Weekday => ((((dayNumber + 4) % 7) + 7) % 7) as Weekday;

/** The month's n-th such weekday, n from 1. */
export function nthWeekday(year: number, month: number, weekday: Weekday, n: number): number {
  const first = dayNumberOf(year, month, 1);
  return first + ((weekday - weekdayOf(first) + 7) % 7) + 7 * (n - 1);
}

/** The month's last such weekday. */
export function lastWeekday(year: number, month: number, weekday: Weekday): number {
  const last = dayNumberOf(year, month + 1, 0);
  return last - ((weekdayOf(last) - weekday + 7) % 7);
}

/** Easter Sunday by the anonymous Gregorian computus (Meeus, Astronomical Algorithms, chapter 8). */
export function easterSunday(year: number): number {
  const a = year % 19;
  const b = Math.floor(year / 100);
  const c = year % 100;
  const d = Math.floor(b / 4);
  const e = b % 4;
  const f = Math.floor((b + 8) / 25);
  const g = Math.floor((b - f + 1) / 3);
  const h = (19 * a + b - d - g + 15) % 30;
  const i = Math.floor(c / 4);
  const k = c % 4;
  const l = (32 + 2 * e + 2 * i - h - k) % 7;
  const m = Math.floor((a + 11 * h + 22 * l) / 451);
  const n = h + l - 7 * m + 114;
  return dayNumberOf(year, Math.floor(n / 31), (n % 31) + 1);
}

const daylightByYear = new Map<number, readonly [EpochMinute, EpochMinute]>();

/**
 * First minute with daylight saving time and first minute without: clocks change at 02:00 local time, from the
 * second Sunday of March to the first of November since 2007 (Energy Policy Act of 2005), from the first Sunday of
 * April to the last of October before.
 */
export function daylightSavingOf(year: number): readonly [from: EpochMinute, to: EpochMinute] {
  let span = daylightByYear.get(year);
  if (span === undefined) {
    const start = year >= 2007 ? nthWeekday(year, 3, 0, 2) : nthWeekday(year, 4, 0, 1);
    const end = year >= 2007 ? nthWeekday(year, 11, 0, 1) : lastWeekday(year, 10, 0);
    const twoOClock = (dayNumber: number, offset: number) =>
      (dayNumber * MINUTES_PER_DAY + 120 - offset) as EpochMinute;
    span = [twoOClock(start, EASTERN_STANDARD), twoOClock(end, EASTERN_DAYLIGHT)];
    daylightByYear.set(year, span);
  }
  return span;
}

/** New York's offset from UTC in minutes: -300 or -240. Local time = UTC + offset. */
export function newYorkOffsetMinutes(minute: EpochMinute): number {
  const [from, to] = daylightSavingOf(yearOf(Math.floor(minute / MINUTES_PER_DAY)));
  return minute >= from && minute < to ? EASTERN_DAYLIGHT : EASTERN_STANDARD;
}
