import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { memoryBus, messageIdOf, subjectOf } from '../../src/stream/index.ts';
import { busConformance, closes, readerOf } from './bus-conformance.ts';
import { bar, forecastOf, OPEN, settled } from './fixtures.ts';

busConformance('memory', {
  async open() {
    const bus = memoryBus();
    return { bus, connect: async () => bus };
  },
});

describe('the memory bus alone', () => {
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

  test('drains: what is held is delivered', async () => {
    const bus = memoryBus();
    const subscription = await bus.subscribe('bars', { name: 's' });
    await bus.publish('bars', [bar('A', OPEN, 1)]);
    subscription.drain();
    await bus.publish('bars', [bar('A', OPEN + 1, 2)]);
    const next = readerOf(subscription);
    assert.deepEqual(closes((await next())!.items), [1]);
    assert.equal(await next(), undefined);
  });
});

test('subjects and message ids', () => {
  const forecast = forecastOf('BRK-B', OPEN, 1, 0);
  assert.equal(subjectOf('bars', bar('BRK-B', OPEN, 1)), 'bars.BRK-B');
  assert.equal(messageIdOf('bars', bar('BRK-B', OPEN, 1)), `BRK-B:${OPEN}`);
  assert.equal(messageIdOf('forecasts', forecast), `BRK-B:${OPEN}:toy`);
});
