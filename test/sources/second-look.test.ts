/** Which minutes of an answer are asked for once more, and how often. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { epochMinute, epochMs, Random } from '../../src/base/index.ts';
import { doubtfulMinutes, SecondLooks } from '../../src/sources/second-look.ts';
import type { HistoryRows } from '../../src/sources/source.ts';

/** A Thursday's session and the next day's. */
const OPEN = epochMinute(Date.parse('2020-01-02T14:30:00Z') / 60_000);
const CLOSE = epochMinute(OPEN + 390);

function answer(
  minutes: readonly number[],
  options: { nulls?: readonly number[]; to?: number; askedAt?: number; again?: boolean } = {},
): HistoryRows {
  const { nulls = [], to = CLOSE, askedAt = CLOSE + 60, again } = options;
  const price = Float64Array.from(minutes, (minute) => (nulls.includes(minute) ? Number.NaN : 1));
  return {
    symbol: 'A',
    timeMs: Float64Array.from(minutes, (minute) => (OPEN + minute) * 60_000),
    open: price,
    high: price,
    low: price,
    close: price,
    volume: price,
    askedAt: epochMs(askedAt * 60_000),
    covers: { from: OPEN, to: epochMinute(to) },
    ...(again ? { again } : {}),
  };
}

const all = Array.from({ length: 390 }, (_, minute) => minute);
const without = (...missing: number[]) => all.filter((minute) => !missing.includes(minute));
const doubtful = (rows: HistoryRows) => doubtfulMinutes(rows).map((minute) => minute - OPEN);

test('a bar without a price, a volume that is not known, and a run that the rate of trading does not explain', () => {
  assert.deepEqual(doubtful(answer(all)), []);
  assert.deepEqual(doubtful(answer(all, { nulls: [0, 200] })), [0, 200]);
  const volume = new Float64Array(390).fill(1);
  volume[5] = Number.NaN;
  assert.deepEqual(doubtful({ ...answer(all), volume }), [5]);
  const atFirst = Float64Array.from(volume, (_, row) => (row === 0 ? Number.NaN : 1));
  assert.deepEqual(doubtful({ ...answer(all), volume: atFirst }), [0]);
  assert.deepEqual(doubtful({ ...answer(all), volume: atFirst, firstVolumeLost: true }), []);
  // 389 of 390: a single absent minute is likely enough, a run of two is not.
  assert.deepEqual(doubtful(answer(without(100))), []);
  assert.deepEqual(doubtful(answer(without(100, 101))), [100, 101]);
  assert.deepEqual(doubtful(answer(without(388, 389))), [388, 389], 'at the end of a session too');
  assert.deepEqual(doubtful(answer([])), [], 'of a symbol that did not trade nothing is expected');
  // A thin symbol: one minute in three.
  const thin = all.filter((minute) => minute % 3 === 0);
  assert.deepEqual(doubtful(answer(thin)), []);
  assert.equal(doubtful(answer(thin.filter((minute) => minute < 60 || minute > 90))).length, 35);
});

test('a session that runs is not looked at again', () => {
  const half = without(50, 51, 52).filter((minute) => minute < 200);
  assert.deepEqual(doubtful(answer(half, { askedAt: OPEN + 200, to: OPEN + 200 })), []);
  assert.ok(doubtful(answer(half)).length > 0);
});

test('false alarms are rare: minutes that trade by chance', () => {
  const random = new Random(1, 1);
  for (const share of [0.05, 0.3, 0.7, 0.95]) {
    let alarms = 0;
    for (let day = 0; day < 200; day++)
      if (doubtful(answer(all.filter(() => random.uniform() < share))).length > 0) alarms++;
    assert.ok(alarms <= 14, `${alarms} of 200 days at ${share}`);
  }
});

test('a source that has no more is asked twice, one that mends three times', () => {
  const missing = [100, 101, 102];
  const firm = new SecondLooks();
  assert.deepEqual(firm.judge(answer(without(...missing))), [{ from: OPEN + 100, to: OPEN + 103 }]);
  assert.ok(firm.isOpen('A', '2020-01-02' as never));
  const look = answer(without(...missing), { again: true });
  assert.deepEqual(firm.judge(look), []);
  assert.deepEqual(firm.settle(look), ['2020-01-02']);
  assert.equal(firm.taken(look).timeMs.length, 0);
  assert.deepEqual([firm.asked, firm.filled], [1, 0]);

  const mending = new SecondLooks();
  mending.judge(answer(without(...missing)));
  const second = answer(without(102), { again: true });
  assert.deepEqual(mending.judge(second), [{ from: OPEN + 102, to: OPEN + 103 }]);
  assert.deepEqual(mending.settle(second), []);
  assert.deepEqual(
    [...mending.taken(second).timeMs],
    [OPEN + 100, OPEN + 101].map((m) => m * 60_000),
    'nothing but what was doubtful',
  );
  const third = answer(without(102), { again: true });
  assert.deepEqual(mending.judge(third), []);
  assert.deepEqual(mending.settle(third), ['2020-01-02']);
  assert.deepEqual([mending.asked, mending.filled], [2, 2]);
});
