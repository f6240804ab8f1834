/**
 * The days of the New York Stock Exchange by rule: which weekdays it stays closed, and which close at 13:00.
 * Right from 2005 to 2035 as far as the rules of 2025 go; closures nobody can foresee are listed as they happened.
 * Source: NYSE Rule 7.2 and the exchange's published holidays. Halts within a session are not the calendar's subject.
 */
import type { DayString } from '../base/index.ts';
import { dayNumberOf, dayNumberOfDay, easterSunday, lastWeekday, nthWeekday, weekdayOf } from './civil.ts';

const SUNDAY = 0;
const MONDAY = 1;
const THURSDAY = 4;
const SATURDAY = 6;

/** Unscheduled closures of whole days since 2005. */
export const UNSCHEDULED_CLOSURES = {
  '2007-01-02': 'Mourning for President Ford',
  '2012-10-29': 'Hurricane Sandy',
  '2012-10-30': 'Hurricane Sandy',
  '2018-12-05': 'Mourning for President G. H. W. Bush',
  '2025-01-09': 'Mourning for President Carter',
} as const;

const unscheduled: ReadonlySet<number> = new Set(
  Object.keys(UNSCHEDULED_CLOSURES).map((day) => dayNumberOfDay(day as DayString)),
);

/** A year's closed days and early closes as day numbers. A closed day may fall on a weekend. */
export interface ExchangeYear {
  readonly closed: ReadonlySet<number>;
  readonly early: ReadonlySet<number>;
}

/** A fixed holiday on a Saturday is kept on the Friday before, on a Sunday on the Monday after. */
function observed(dayNumber: number): number {
  const weekday = weekdayOf(dayNumber);
  if (weekday === SATURDAY) return dayNumber - 1;
  return weekday === SUNDAY ? dayNumber + 1 : dayNumber;
}

function holidaysOf(year: number): number[] {
  const newYear = dayNumberOf(year, 1, 1);
  const holidays = [
    // The Friday before a Saturday New Year belongs to the old year's accounts, and the exchange stays open.
    weekdayOf(newYear) === SATURDAY ? newYear : observed(newYear),
    nthWeekday(year, 1, MONDAY, 3), // Martin Luther King Jr. Day
    nthWeekday(year, 2, MONDAY, 3), // Presidents' Day
    easterSunday(year) - 2, // Good Friday
    lastWeekday(year, 5, MONDAY), // Memorial Day
    observed(dayNumberOf(year, 7, 4)), // Independence Day
    nthWeekday(year, 9, MONDAY, 1), // Labor Day
    nthWeekday(year, 11, THURSDAY, 4), // Thanksgiving Day
    observed(dayNumberOf(year, 12, 25)), // Christmas Day
  ];
  if (year >= 2022) holidays.push(observed(dayNumberOf(year, 6, 19))); // Juneteenth
  return holidays;
}

function earlyClosesOf(year: number): number[] {
  const earlyCloses = [nthWeekday(year, 11, THURSDAY, 4) + 1];
  const independenceDay = dayNumberOf(year, 7, 4);
  const weekday = weekdayOf(independenceDay);
  if (weekday > MONDAY && weekday < SATURDAY) earlyCloses.push(independenceDay - 1);
  const christmasEve = dayNumberOf(year, 12, 24);
  if (weekdayOf(christmasEve) >= MONDAY && weekdayOf(christmasEve) <= THURSDAY) earlyCloses.push(christmasEve);
  return earlyCloses;
}

/** The exchange's special days of a year. */
export function exchangeYear(year: number): ExchangeYear {
  return { closed: new Set([...holidaysOf(year), ...unscheduled]), early: new Set(earlyClosesOf(year)) };
}
