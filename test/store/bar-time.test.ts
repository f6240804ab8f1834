import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBarTime } from '../../src/store/index.ts';

const iso = (text: string) => {
  const ms = parseBarTime(text);
  return Number.isNaN(ms) ? 'no time' : new Date(ms).toISOString();
};

test('times with an offset or in UTC', () => {
  assert.equal(iso('2019-12-13 11:00:00-05:00'), '2019-12-13T16:00:00.000Z');
  assert.equal(iso('2019-12-13T11:00:00-0500'), '2019-12-13T16:00:00.000Z');
  assert.equal(iso('2019-12-13 16:00:00+00:00'), '2019-12-13T16:00:00.000Z');
  assert.equal(iso('2019-12-13 16:00:00+00'), '2019-12-13T16:00:00.000Z');
  assert.equal(iso('2019-12-13T16:00:00Z'), '2019-12-13T16:00:00.000Z');
  assert.equal(iso('2019-12-13 16:00 UTC'), '2019-12-13T16:00:00.000Z');
  assert.equal(iso('2019-12-13 21:30:00+05:30'), '2019-12-13T16:00:00.000Z');
  assert.equal(iso('2019-12-13T16:00:07.250Z'), '2019-12-13T16:00:07.250Z');
});

test('naive times are New York time, by the season', () => {
  assert.equal(iso('2019-12-13 09:30:00'), '2019-12-13T14:30:00.000Z');
  assert.equal(iso('2019-07-15 09:30'), '2019-07-15T13:30:00.000Z');
  // The clocks go forward on 2020-03-08 and back on 2020-11-01, at 02:00 both times.
  assert.equal(iso('2020-03-08 01:59:00'), '2020-03-08T06:59:00.000Z');
  assert.equal(iso('2020-03-08 03:00:00'), '2020-03-08T07:00:00.000Z');
  assert.equal(iso('2020-11-01 01:30:00'), '2020-11-01T05:30:00.000Z');
  assert.equal(iso('2020-11-01 02:00:00'), '2020-11-01T07:00:00.000Z');
});

test('seconds and milliseconds since 1970', () => {
  assert.equal(iso('1576252800'), '2019-12-13T16:00:00.000Z');
  assert.equal(iso('1576252800000'), '2019-12-13T16:00:00.000Z');
  assert.equal(iso('1576252800.0'), '2019-12-13T16:00:00.000Z');
  assert.equal(iso('1576252800.5'), '2019-12-13T16:00:00.500Z');
});

test('what is no time of a minute', () => {
  for (const text of [
    '',
    'Datetime',
    '2019-12-13',
    '12/13/2019 09:30',
    '2019-02-30 09:30',
    '2019-12-13 25:00',
    '2019-12-13 09:61',
    '1576252800000000000',
  ]) {
    assert.equal(iso(text), 'no time', text);
  }
});
