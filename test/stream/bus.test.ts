import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Bar } from '../../src/bars/index.ts';
import { memoryBus, messageIdOf, type Subscription, subjectOf } from '../../src/stream/index.ts';
import { bar, forecastOf, OPEN, settled } from './fixtures.ts';

const closes = (items: readonly Bar[]) => items.map((it) => it.close);

/** Reads one batch after another by hand. */
function readerOf(subscription: Subscription<Bar>) {
  const iterator = subscription[Symbol.asyncIterator]();
  return async () => {
    const { value, done } = await iterator.next();
    return done ? undefined : value;
  };
}

describe('the memory bus', () => {
  test('keeps batches whole and in order, for every subscriber', async () => {
    const bus = memoryBus();
    const seen: number[][][] = [[], []];
    const readers: Promise<void>[] = [];
    for (const batches of seen) {
      const subscription = await bus.subscribe('bars', { name: 's' });
      readers.push(
        (async () => {
          for await (const { items } of subscription) batches.push(closes(items));
        })(),
      );
    }
    // Not awaited one by one: the order is that of the calls.
    await Promise.all(
      [[1, 2, 3], [4], [5, 6]].map((batch, i) =>
        bus.publish(
          'bars',
          batch.map((close) => bar('A', OPEN + i, close)),
        ),
      ),
    );
    await bus.close();
    await Promise.all(readers);
    assert.deepEqual(seen, [
      [[1, 2, 3], [4], [5, 6]],
      [[1, 2, 3], [4], [5, 6]],
    ]);
  });

  test('numbers batches, passes empty ones over, and keeps topics apart', async () => {
    const bus = memoryBus();
    const next = readerOf(await bus.subscribe('bars', { name: 's' }));
    await bus.publish('bars', []);
    await bus.publish('forecasts', [forecastOf('A', OPEN, 1, 0)]);
    await bus.publish('bars', [bar('A', OPEN, 7)]);
    const batch = await next();
    assert.equal(batch?.sequence, 1);
    assert.deepEqual(closes(batch!.items), [7]);
  });

  test('holds the publisher up until a waiting subscriber has room', async () => {
    const bus = memoryBus();
    const next = readerOf(await bus.subscribe('bars', { name: 's', capacity: 2 }));
    const done: string[] = [];
    const publish = (name: string, items: number) =>
      bus
        .publish(
          'bars',
          Array.from({ length: items }, (_, i) => bar('A', OPEN, i)),
        )
        .then(() => done.push(name));
    const all = [publish('first', 2), publish('second', 1), publish('third', 5)];
    await settled();
    assert.deepEqual(done, ['first'], 'the queue is full');
    assert.equal((await next())?.items.length, 2);
    await all[1];
    await settled();
    assert.deepEqual(done, ['first', 'second'], 'a batch beyond the capacity waits until nothing else is held');
    assert.equal((await next())?.items.length, 1);
    await all[2];
    assert.equal((await next())?.items.length, 5);
  });

  test('drops the oldest whole batches for a subscriber that asked for it, and counts them', async () => {
    const bus = memoryBus();
    const subscription = await bus.subscribe('bars', { name: 's', capacity: 3, whenFull: 'dropOldest' });
    for (const close of [1, 2, 3, 4]) await bus.publish('bars', [bar('A', OPEN, close), bar('B', OPEN, close)]);
    assert.equal(subscription.dropped, 6);
    assert.deepEqual(closes((await readerOf(subscription)())!.items), [4, 4]);
  });

  test('a subscriber that closes releases the publisher', async () => {
    const bus = memoryBus();
    const stalled = await bus.subscribe('bars', { name: 'stalled', capacity: 1 });
    const next = readerOf(await bus.subscribe('bars', { name: 'other' }));
    await bus.publish('bars', [bar('A', OPEN, 1)]);
    const second = bus.publish('bars', [bar('A', OPEN + 1, 2)]);
    stalled.close();
    await second;
    assert.deepEqual([closes((await next())!.items), closes((await next())!.items)], [[1], [2]]);
  });

  test('drains: what is held is delivered, what comes later is not', async () => {
    const bus = memoryBus();
    const subscription = await bus.subscribe('bars', { name: 's' });
    await bus.publish('bars', [bar('A', OPEN, 1)]);
    subscription.drain();
    await bus.publish('bars', [bar('A', OPEN + 1, 2)]);
    const next = readerOf(subscription);
    assert.deepEqual(closes((await next())!.items), [1]);
    assert.equal(await next(), undefined);
  });

  test('refuses everything once closed', async () => {
    const bus = memoryBus();
    await bus.close();
    await assert.rejects(bus.publish('bars', [bar('A', OPEN, 1)]), { code: 'BARCAST_E_BUS' });
    await assert.rejects(bus.subscribe('bars', { name: 's' }), { code: 'BARCAST_E_BUS' });
  });
});

test('subjects and message ids', () => {
  const forecast = forecastOf('BRK-B', OPEN, 1, 0);
  assert.equal(subjectOf('bars', bar('BRK-B', OPEN, 1)), 'bars.BRK-B');
  assert.equal(messageIdOf('bars', bar('BRK-B', OPEN, 1)), `BRK-B:${OPEN}`);
  assert.equal(messageIdOf('forecasts', forecast), 'BRK-B:2020-01-02T14:30:00.000Z:toy@abc123');
});
