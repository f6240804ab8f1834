/** Minutes, milliseconds and dates. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { epochMinute, epochMs, isoOf, isoOfMinute, minuteToMs, msToMinute, parseDay } from '../../src/base/index.ts';

describe('time', () => {
  it('puts an instant into the minute that holds it, before 1970 too', () => {
    const at = (iso: string) => msToMinute(epochMs(Date.parse(iso)));
    assert.equal(isoOfMinute(at('2019-12-24T14:30:59.999Z')), '2019-12-24T14:30:00.000Z');
    assert.equal(isoOfMinute(at('2019-12-24T14:30:00.000Z')), '2019-12-24T14:30:00.000Z');
    assert.equal(isoOfMinute(at('1969-12-31T23:59:30.000Z')), '1969-12-31T23:59:00.000Z');
    assert.equal(msToMinute(minuteToMs(epochMinute(26_000_000))), 26_000_000);
    assert.equal(isoOf(epochMs(0)), '1970-01-01T00:00:00.000Z');
  });

  it('reads dates that exist, and no others', () => {
    assert.equal(parseDay('2020-02-29'), '2020-02-29');
    for (const text of [
      '2019-02-29',
      '2019-13-01',
      '2019-12-32',
      '2019-1-1',
      '24.12.2019',
      '2019-12-24T00:00',
      '',
      ' 2019-12-24',
    ]) {
      assert.throws(() => parseDay(text), { code: 'BARCAST_E_DATE' }, text);
    }
  });
});
