import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  daylightSavingOf,
  dayNumberOf,
  dayNumberOfDay,
  dayOfNumber,
  easterSunday,
  lastWeekday,
  nthWeekday,
  weekdayOf,
} from '../../src/bars/civil.ts';
import { dayOf, newYorkOffsetMinutes } from '../../src/bars/index.ts';
import { type EpochMinute, parseDay } from '../../src/base/index.ts';
import { EASTER } from './known-days.ts';

const MINUTES_PER_DAY = 1440;
const first = dayNumberOf(2005, 1, 1);
const last = dayNumberOf(2035, 12, 31);

/** New York's wall clock by Intl, as if it were UTC: minutes since 1970. */
const newYork = new Intl.DateTimeFormat('en-CA', {
  timeZone: 'America/New_York',
  dateStyle: 'short',
  timeStyle: 'short',
  hourCycle: 'h23',
});
function wallClock(minute: number): { day: string; minutes: number } {
  const [day, time] = newYork.format(minute * 60_000).split(', ');
  return { day: day!, minutes: Date.parse(`${day}T${time}Z`) / 60_000 };
}

function check(minute: number): void {
  const { day, minutes } = wallClock(minute);
  const at = new Date(minute * 60_000).toISOString();
  assert.equal(newYorkOffsetMinutes(minute as EpochMinute), minutes - minute, `offset at ${at}`);
  assert.equal(dayOf(minute as EpochMinute), day, `date at ${at}`);
}

test('offset and date agree with Intl around midnight and the change of clocks, every day of 2005 to 2035', () => {
  for (let d = first; d <= last; d++) {
    for (const utc of [0, 239, 240, 299, 300, 359, 360, 419, 420, 810, 1260]) check(d * MINUTES_PER_DAY + utc);
  }
});

test('offset and date agree with Intl on every minute of the days on which clocks change', () => {
  for (let year = 2005; year <= 2035; year++) {
    for (const change of daylightSavingOf(year)) {
      for (let minute = change - 3; minute < change + 3; minute++) check(minute);
      assert.equal(weekdayOf(Math.floor(change / MINUTES_PER_DAY)), 0);
    }
  }
  const [from, to] = daylightSavingOf(2025);
  for (let minute = from - 720; minute < from + 720; minute++) check(minute);
  for (let minute = to - 720; minute < to + 720; minute++) check(minute);
});

test('day numbers, dates and weekdays agree with Date', () => {
  for (let d = first; d <= last; d++) {
    const date = new Date(d * 86_400_000);
    assert.equal(weekdayOf(d), date.getUTCDay());
    assert.equal(dayNumberOfDay(dayOfNumber(d)), d);
    assert.equal(dayNumberOf(date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate()), d);
  }
  assert.equal(dayOfNumber(dayNumberOfDay(parseDay('2024-02-29')) + 1), '2024-03-01');
  assert.equal(weekdayOf(-1), 3);
});

test('Easter Sundays', () => {
  assert.deepEqual(
    EASTER.map((day) => dayOfNumber(easterSunday(Number(day.slice(0, 4))))),
    EASTER,
  );
});

test('n-th and last weekdays of a month, against counting', () => {
  for (let year = 2005; year <= 2035; year++) {
    for (let month = 1; month <= 12; month++) {
      for (const weekday of [0, 1, 4] as const) {
        const matching: number[] = [];
        for (let d = dayNumberOf(year, month, 1); d < dayNumberOf(year, month + 1, 1); d++) {
          if (weekdayOf(d) === weekday) matching.push(d);
        }
        for (let n = 1; n <= 4; n++) assert.equal(nthWeekday(year, month, weekday, n), matching[n - 1]);
        assert.equal(lastWeekday(year, month, weekday), matching.at(-1));
      }
    }
  }
});
