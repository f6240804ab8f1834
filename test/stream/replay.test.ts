import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Bar } from '../../src/bars/index.ts';
import { epochMinute } from '../../src/base/index.ts';
import { replayForecasts, replaySource } from '../../src/stream/index.ts';
import { bar, CLOSE, CountingMarket, NEXT_OPEN, OPEN, readerOf, series, ToyPredictor } from './fixtures.ts';

const BARS = [
  ...series('A', [1, 2, 3]),
  ...series('B', [5, 6], OPEN + 1),
  bar('A', CLOSE - 1, 9),
  ...series('A', [4, 5], NEXT_OPEN),
];
const range = { from: OPEN, to: epochMinute(NEXT_OPEN + 1) };
const never = new AbortController().signal;

/** Time that passes only while something sleeps. */
function fakePace() {
  const pace = {
    time: 0,
    slept: [] as number[],
    now: () => pace.time,
    sleep: async (ms: number) => {
      pace.slept.push(ms);
      pace.time += ms;
    },
  };
  return pace;
}

const drained = async (source: AsyncIterable<Bar[]>) => {
  const minutes: string[] = [];
  for await (const bars of source)
    minutes.push(bars.map((it) => `${it.symbol}${it.close}@${it.minute - OPEN}`).join(' '));
  return minutes;
};

describe('a replay', () => {
  test('gives all bars of a minute together, and only those of the range and the symbols', async () => {
    const source = replaySource({ reader: readerOf(BARS), ...range, speed: Number.POSITIVE_INFINITY });
    assert.deepEqual(await drained(source.live(['A', 'B'], never)), [
      'A1@0',
      'A2@1 B5@1',
      'A3@2 B6@2',
      'A9@389',
      'A4@1440',
    ]);
    assert.deepEqual(await drained(source.live(['B'], never)), ['B5@1', 'B6@2']);
  });

  test('reads one UTC day at a time', async () => {
    const reader = readerOf(BARS);
    await drained(replaySource({ reader, ...range, speed: Number.POSITIVE_INFINITY }).live(['A'], never));
    const midnight = Date.UTC(2020, 0, 3) / 60_000;
    assert.deepEqual(reader.asked, [
      { from: OPEN, to: midnight },
      { from: midnight, to: NEXT_OPEN + 1 },
    ]);
  });

  test('waits as long as the market did at its speed, and passes a night over in a minute', async () => {
    const pace = fakePace();
    const quiet = bar('A', OPEN + 12, 3.5);
    const source = replaySource({ reader: readerOf([...BARS, quiet]), ...range, speed: 60, pace });
    await drained(source.live(['A'], never));
    assert.deepEqual(pace.slept, [1000, 1000, 10_000, 1000, 1000]);
  });

  test('has the clock of the market', async () => {
    const pace = fakePace();
    const source = replaySource({ reader: readerOf(BARS), ...range, speed: 60, pace });
    const at = () => new Date(source.clock.now()).toISOString().slice(11, 19);
    assert.equal(at(), '14:30:00');
    const live = source.live(['A'], never);
    await live.next();
    assert.equal(at(), '14:31:00', 'a bar is known when its minute has ended');
    pace.time += 500;
    assert.equal(at(), '14:31:30');
    pace.time += 5000;
    assert.equal(at(), '14:31:59', 'it does not run ahead of the next minute');
    await live.return(undefined);
  });

  test('stops when told', async () => {
    const stop = new AbortController();
    const pace = fakePace();
    const source = replaySource({ reader: readerOf(BARS), ...range, speed: 1, pace });
    const seen: number[] = [];
    for await (const bars of source.live(['A'], stop.signal)) {
      seen.push(bars[0].minute - OPEN);
      stop.abort();
    }
    assert.deepEqual(seen, [0]);
  });

  test('says so when there is nothing to replay, or no way to', async () => {
    const reader = readerOf(BARS);
    const empty = replaySource({ reader, ...range, speed: 1 }).live(['ZZZ'], never);
    await assert.rejects(drained(empty), { code: 'BARCAST_E_STORE_EMPTY' });
    assert.throws(() => replaySource({ reader, ...range, speed: 0 }), { code: 'BARCAST_E_USAGE' });
    assert.throws(() => replaySource({ reader, from: OPEN, to: OPEN, speed: 1 }), { code: 'BARCAST_E_DATE' });
  });

  test('forecasts a past session as the live path does', async () => {
    const predictor = new ToyPredictor();
    const asOf: string[] = [];
    const replay = replayForecasts({
      reader: readerOf(BARS),
      ...range,
      symbols: ['A', 'B'],
      newWindows: () => new CountingMarket(2),
      predictor,
    });
    for await (const forecasts of replay) asOf.push(...forecasts.map((it) => `${it.symbol} ${it.asOf.slice(8, 16)}`));
    assert.deepEqual(asOf, ['A 02T14:32', 'A 02T14:33', 'B 02T14:33', 'A 02T21:00', 'A 03T14:31']);
    assert.deepEqual(predictor.calls, [['A@2'], ['A@3', 'B@3'], ['A@390'], ['A@1441']]);
  });
});
