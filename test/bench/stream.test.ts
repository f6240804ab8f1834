/** The benchmark of the stream, small: that it goes through, checks, and tells its steps; not its times. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { growthOf } from '../../bench/memory.ts';
import { benchStream } from '../../bench/stream.ts';
import { referenceKernel } from '../../src/kernel/index.ts';

const SIZE = { symbols: 5, units: 2, minutes: 6, intervalMs: 0 };

test('in memory, and through JetStream with the forecaster in a process of its own', async () => {
  const memory = await benchStream(referenceKernel(), { ...SIZE, bus: 'memory' });
  assert.deepEqual([memory.checkedForecasts, memory.minutes, memory.steps], [5, 6, []]);
  const { checkedForecasts, minutes, steps, resident } = await benchStream(referenceKernel(), { ...SIZE, bus: 'nats' });
  assert.deepEqual([checkedForecasts, minutes], [5, 6]);
  const order = ['arrived', 'taken', 'forecast', 'stored'];
  assert.deepEqual(
    steps.map(({ step }) => step).filter((step) => order.includes(step)),
    order,
  );
  assert.ok(resident.begin > 10 && Number.isFinite(resident.percent));
});

test('growth is told by both ends and by the line through all samples', () => {
  assert.deepEqual(growthOf([100, 110, 120]), { begin: 100, end: 120, percent: 20, linePercent: 20 });
  const { percent, linePercent } = growthOf([100, 100, 100, 100, 110]);
  assert.ok(Math.abs(percent - 10) < 1e-9 && linePercent < 9, `${percent} ${linePercent}`);
  assert.equal(growthOf([50]).linePercent, 0);
});
