import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  dayOf,
  nextSession,
  type Session,
  sessionAt,
  sessionMinutesBefore,
  sessionOf,
  sessionsBetween,
  UNSCHEDULED_CLOSURES,
} from '../../src/bars/index.ts';
import { BarcastError, type DayString, type EpochMinute, parseDay, Random } from '../../src/base/index.ts';
import { CLOSED, EARLY, TRADING_DAYS } from './known-days.ts';

const minuteOf = (iso: string): EpochMinute => (Date.parse(iso) / 60_000) as EpochMinute;
const isoOf = (minute: number): string => new Date(minute * 60_000).toISOString().slice(0, 16) + 'Z';
const all = sessionsBetween(parseDay('2005-01-01'), parseDay('2035-12-31'));

/** Every date of a year with its weekday, by `Date` alone. */
function datesOf(year: number): { day: DayString; weekend: boolean }[] {
  const dates: { day: DayString; weekend: boolean }[] = [];
  for (
    const date = new Date(Date.UTC(year, 0, 1));
    date.getUTCFullYear() === year;
    date.setUTCDate(date.getUTCDate() + 1)
  ) {
    const weekday = date.getUTCDay();
    dates.push({ day: date.toISOString().slice(0, 10) as DayString, weekend: weekday === 0 || weekday === 6 });
  }
  return dates;
}

test('closed weekdays and early closes are those that the exchange announced, 2005 to 2028', () => {
  for (const year of Object.keys(CLOSED).map(Number)) {
    const dates = datesOf(year);
    const closed = dates.filter(({ day, weekend }) => !weekend && sessionOf(day) === undefined);
    const early = dates.filter(({ day }) => sessionOf(day)?.early);
    assert.equal(closed.map(({ day }) => day.slice(5)).join(' '), CLOSED[year], `closed in ${year}`);
    assert.equal(early.map(({ day }) => day.slice(5)).join(' '), EARLY[year], `early closes of ${year}`);
    assert.ok(dates.every(({ day, weekend }) => !weekend || sessionOf(day) === undefined));
  }
});

test('trading days a year', () => {
  for (const [year, count] of Object.entries(TRADING_DAYS)) {
    assert.equal(sessionsBetween(parseDay(`${year}-01-01`), parseDay(`${year}-12-31`)).length, count, year);
  }
});

test('unscheduled closures have no session', () => {
  for (const day of Object.keys(UNSCHEDULED_CLOSURES)) assert.equal(sessionOf(parseDay(day)), undefined, day);
});

test('known sessions in UTC, on both sides of a clock change and of the rule change of 2007', () => {
  const known: [day: string, open: string, close: string, early: boolean][] = [
    ['2006-03-31', '14:30', '21:00', false],
    ['2006-04-03', '13:30', '20:00', false],
    ['2006-10-27', '13:30', '20:00', false],
    ['2006-10-30', '14:30', '21:00', false],
    ['2007-03-09', '14:30', '21:00', false],
    ['2007-03-12', '13:30', '20:00', false],
    ['2007-11-02', '13:30', '20:00', false],
    ['2007-11-05', '14:30', '21:00', false],
    ['2019-07-03', '13:30', '17:00', true],
    ['2019-12-24', '14:30', '18:00', true],
    ['2025-11-28', '14:30', '18:00', true],
  ];
  for (const [day, open, close, early] of known) {
    const session = sessionOf(parseDay(day));
    assert.deepEqual(session, { day, open: minuteOf(`${day}T${open}Z`), close: minuteOf(`${day}T${close}Z`), early });
  }
});

test('every session of 2005 to 2035 opens at 09:30 and closes at 16:00 or 13:00 on the clocks of Intl', () => {
  const clock = new Intl.DateTimeFormat('en-CA', {
    timeZone: 'America/New_York',
    dateStyle: 'short',
    timeStyle: 'short',
    hourCycle: 'h23',
  });
  const local = (minute: EpochMinute) => clock.format(minute * 60_000);
  for (const { day, open, close, early } of all) {
    assert.equal(local(open), `${day}, 09:30`);
    assert.equal(local(close), `${day}, ${early ? '13:00' : '16:00'}`);
  }
});

test('sessions are in order, apart, and the same through every door', () => {
  let previous: Session | undefined;
  for (const session of all) {
    if (previous !== undefined) {
      assert.ok(session.open > previous.close && session.day > previous.day);
      assert.equal(nextSession(previous.close), session);
      assert.equal(nextSession((session.open - 1) as EpochMinute), session);
    }
    assert.equal(sessionOf(session.day), session);
    assert.equal(sessionAt(session.open), session);
    assert.equal(sessionAt((session.close - 1) as EpochMinute), session);
    assert.equal(nextSession((session.close - 1) as EpochMinute), session);
    assert.equal(sessionAt(session.close), undefined);
    assert.equal(sessionAt((session.open - 1) as EpochMinute), undefined);
    assert.equal(dayOf(session.open), session.day);
    assert.equal(sessionMinutesBefore(session.close) - sessionMinutesBefore(session.open), session.early ? 210 : 390);
    previous = session;
  }
});

test('sessionAt and sessionMinutesBefore agree with a list of all session minutes, in any order of asking', () => {
  const minutes = sessionsBetween(parseDay('2019-06-28'), parseDay('2019-12-31')).flatMap((session) =>
    Array.from({ length: session.close - session.open }, (_, i) => session.open + i),
  );
  const known = new Set(minutes);
  const base = sessionMinutesBefore(minuteOf('2019-06-28T00:00Z'));
  minutes.forEach((minute, i) => {
    assert.equal(sessionMinutesBefore(minute as EpochMinute) - base, i);
  });
  const random = new Random(7);
  const from = minuteOf('2019-06-28T00:00Z');
  const length = minuteOf('2020-01-01T00:00Z') - from;
  for (let i = 0; i < 20_000; i++) {
    const minute = (from + random.below(length)) as EpochMinute;
    assert.equal(sessionAt(minute) !== undefined, known.has(minute), isoOf(minute));
  }
});

test('sessionsBetween includes both ends, and is empty for an empty or reversed range', () => {
  const days = (first: string, last: string) => sessionsBetween(parseDay(first), parseDay(last)).map(({ day }) => day);
  assert.deepEqual(days('2019-12-23', '2019-12-26'), ['2019-12-23', '2019-12-24', '2019-12-26']);
  assert.deepEqual(days('2019-12-24', '2019-12-24'), ['2019-12-24']);
  assert.deepEqual(days('2019-12-28', '2019-12-29'), []);
  assert.deepEqual(days('2019-12-26', '2019-12-23'), []);
});

test('times far outside have no session, and asking for them does no harm', () => {
  for (const minute of [-(2 ** 31), -1, 2 ** 31 - 1, Number.NaN]) {
    assert.equal(sessionAt(minute as EpochMinute), undefined, String(minute));
  }
  assert.equal(sessionOf('2019-02-31' as DayString), undefined);
  assert.equal(sessionOf('nonsense' as DayString), undefined);
  assert.equal(sessionMinutesBefore(-5 as EpochMinute), 0);
  assert.throws(
    () => nextSession((2 ** 31 - 1) as EpochMinute),
    (error) => error instanceof BarcastError && error.code === 'BARCAST_E_DATE',
  );
});
