import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PriceTrail } from '../../src/stream/price-trail.ts';
import { OPEN } from './fixtures.ts';

const trailOf = (bars: readonly (readonly [minute: number, close: number, range: number, volume: number])[]) => {
  const trail = new PriceTrail();
  for (const [minute, close, range, volume] of bars) trail.add('A', OPEN + minute, close, range, volume);
  return trail;
};

test('a minute is told as wide as it was, and as busy beside the running mean before it', () => {
  const trail = trailOf([
    [0, 100, 0.25, 300],
    [1, 101, 0.5, 300],
    [2, 102, 0, 900],
    [4, 103, 0.125, 0],
  ]);
  assert.deepEqual(trail.activityAt('A', OPEN), { range: 0.25, volumeShare: Number.NaN });
  assert.deepEqual(trail.activityAt('A', OPEN + 1), { range: 0.5, volumeShare: 0.5 });
  assert.deepEqual(trail.activityAt('A', OPEN + 2), { range: 0, volumeShare: 0.75 });
  assert.deepEqual(trail.activityAt('A', OPEN + 4), { range: 0.125, volumeShare: 0 });
  assert.equal(trail.activityAt('A', OPEN + 3), undefined, 'no bar');
  assert.equal(trail.activityAt('A', OPEN + 5), undefined, 'not yet');
  assert.equal(trail.activityAt('B', OPEN), undefined);
});

test('volumes that never were say nothing', () => {
  const trail = trailOf([
    [0, 100, 0, 0],
    [1, 100, 0, 0],
    [2, 100, 0, Number.NaN],
    [3, 100, 0, 500],
    [4, 100, 0, 500],
  ]);
  const shares = [0, 1, 2, 3].map((minute) => trail.activityAt('A', OPEN + minute)!.volumeShare);
  assert.deepEqual(shares, [Number.NaN, Number.NaN, Number.NaN, Number.NaN]);
  assert.ok(trail.activityAt('A', OPEN + 4)!.volumeShare > 0.9);
});

test('a snapshot goes on as if nothing had been, and one without activity as if there had been none', () => {
  const bars = Array.from({ length: 50 }, (_, m) => [m, 100 + m, 0.001 * m, 100 + ((m * 7919) % 100)] as const);
  const trail = trailOf(bars.slice(0, 40));
  const { prices, activity } = JSON.parse(JSON.stringify(trail.snapshot(new Map([['A', OPEN + 30]]))));
  const [copy, old] = [new PriceTrail(), new PriceTrail()];
  assert.ok(copy.restore(prices, activity));
  assert.ok(old.restore(prices));
  for (const [minute, close, range, volume] of bars.slice(40))
    for (const it of [trail, copy, old]) it.add('A', OPEN + minute, close, range, volume);
  for (let minute = 30; minute < 50; minute++)
    assert.deepEqual(copy.activityAt('A', OPEN + minute), trail.activityAt('A', OPEN + minute), `minute ${minute}`);
  assert.deepEqual(old.activityAt('A', OPEN + 30), { range: Number.NaN, volumeShare: Number.NaN });
  assert.equal(old.closeBefore('A', OPEN + 31, 1), 130);
  for (const nonsense of [null, 7, { A: 7 }, { A: ['x'] }]) assert.equal(copy.restore(prices, nonsense), false);
});
