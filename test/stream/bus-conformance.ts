/** What every bus promises: one suite, run over each implementation. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { Bar } from '../../src/bars/index.ts';
import { type Bus, type Subscription, TOPICS, type Topic } from '../../src/stream/index.ts';
import { bar, forecastOf, OPEN, settled } from './fixtures.ts';

export const closes = (items: readonly Bar[]) => items.map((it) => it.close);

/** Reads one batch after another by hand. */
export function readerOf<T>(subscription: Subscription<T>) {
  const iterator = subscription[Symbol.asyncIterator]();
  return async () => {
    const { value, done } = await iterator.next();
    return done ? undefined : value;
  };
}

export interface BusUnderTest {
  /** A new bus with nothing on it; several that are open share their messages where `connect` is called again. */
  open(t: TestContext): Promise<{ bus: Bus; connect: () => Promise<Bus> }>;
}

export function busConformance(name: string, { open }: BusUnderTest): void {
  describe(`the ${name} bus`, () => {
    test('keeps batches whole and in order, for every subscriber', async (t) => {
      const { bus, connect } = await open(t);
      const other = await connect();
      const batches = [[1, 2, 3], [4], [5, 6]];
      const readers = [
        readerOf(await bus.subscribe('bars', { name: 'a' })),
        readerOf(await bus.subscribe('bars', { name: 'b' })),
        readerOf(await other.subscribe('bars', { name: 'c' })),
      ];
      // Not awaited one by one: the order is that of the calls.
      const published = batches.map((batch, i) =>
        bus.publish(
          'bars',
          batch.map((close, s) => bar(`S${s}`, OPEN + i, close)),
        ),
      );
      for (const next of readers) {
        for (const [i, expected] of batches.entries()) {
          const batch = await next();
          assert.deepEqual(closes(batch!.items), expected);
          assert.equal(batch!.sequence, i + 1);
          assert.ok(batch!.arrivedAtMs <= performance.now());
        }
      }
      await Promise.all(published);
    });

    test('carries every kind of item as it was', async (t) => {
      const { bus } = await open(t);
      const odd = { ...bar('BRK-B', OPEN, 100.05, Number.NaN), low: Number.NaN, high: 1 / 3 };
      const forecast = { ...forecastOf('^GSPC', OPEN, 0.1 + 0.2, -1.23456789e-7), latencyMs: 1.25 };
      const items = { bars: odd, forecasts: forecast, shadow: forecast };
      for (const topic of TOPICS) {
        const next = readerOf(await bus.subscribe(topic as Topic, { name: topic }));
        await bus.publish(topic as 'bars', [items[topic] as Bar]);
        assert.deepEqual((await next())!.items, [items[topic]]);
      }
    });

    test('passes empty batches over and keeps topics apart', async (t) => {
      const { bus } = await open(t);
      const next = readerOf(await bus.subscribe('bars', { name: 's' }));
      await bus.publish('bars', []);
      await bus.publish('forecasts', [forecastOf('A', OPEN, 1, 0)]);
      await bus.publish('shadow', [forecastOf('A', OPEN, 1, 0)]);
      await bus.publish('bars', [bar('A', OPEN, 7)]);
      const batch = await next();
      assert.equal(batch?.sequence, 1);
      assert.deepEqual(closes(batch!.items), [7]);
    });

    test('a subscriber that comes later sees what comes later', async (t) => {
      const { bus } = await open(t);
      await bus.publish('bars', [bar('A', OPEN, 1)]);
      const next = readerOf(await bus.subscribe('bars', { name: 'later' }));
      await bus.publish('bars', [bar('A', OPEN + 1, 2)]);
      assert.deepEqual(closes((await next())!.items), [2]);
    });

    test('gives up the oldest whole batches for a subscriber that asked for it, and counts them', async (t) => {
      const { bus } = await open(t);
      const subscription = await bus.subscribe('bars', { name: 's', capacity: 3, whenFull: 'dropOldest' });
      const watching = readerOf(await bus.subscribe('bars', { name: 'watch' }));
      for (const close of [1, 2, 3, 4]) {
        await bus.publish('bars', [bar('A', OPEN + close, close), bar('B', OPEN + close, close)]);
        await watching();
      }
      while (subscription.dropped < 6) await settled();
      assert.equal(subscription.dropped, 6);
      assert.deepEqual(closes((await readerOf(subscription)())!.items), [4, 4]);
    });

    test('a stalled subscriber costs the others nothing, and loses nothing itself', async (t) => {
      const { bus } = await open(t);
      const stalled = await bus.subscribe('bars', { name: 'stalled', capacity: 100 });
      const next = readerOf(await bus.subscribe('bars', { name: 'other' }));
      const all = Array.from({ length: 20 }, (_, i) => i + 1);
      for (const close of all) {
        await bus.publish('bars', [bar('A', OPEN + close, close)]);
        assert.deepEqual(closes((await next())!.items), [close]);
      }
      const late = readerOf(stalled);
      for (const close of all) assert.deepEqual(closes((await late())!.items), [close]);
    });

    test('a subscriber that leaves its loop gets nothing more, and the bus goes on', async (t) => {
      const { bus } = await open(t);
      const leaving = await bus.subscribe('bars', { name: 'leaving', capacity: 1 });
      const next = readerOf(await bus.subscribe('bars', { name: 'other' }));
      await bus.publish('bars', [bar('A', OPEN, 1)]);
      for await (const batch of leaving) {
        assert.deepEqual(closes(batch.items), [1]);
        break;
      }
      for (let i = 1; i < 5; i++) await bus.publish('bars', [bar('A', OPEN + i, i + 1)]);
      const seen = [];
      for (let i = 0; i < 5; i++) seen.push(...closes((await next())!.items));
      assert.deepEqual(seen, [1, 2, 3, 4, 5]);
    });

    test('drains: the iteration ends behind what is held', async (t) => {
      const { bus } = await open(t);
      const subscription = await bus.subscribe('bars', { name: 's' });
      const next = readerOf(subscription);
      await bus.publish('bars', [bar('A', OPEN, 1)]);
      assert.deepEqual(closes((await next())!.items), [1]);
      subscription.drain();
      await bus.publish('bars', [bar('A', OPEN + 1, 2)]);
      assert.equal(await next(), undefined);
    });

    test('closing ends every subscription, and refuses everything afterwards', async (t) => {
      const { bus } = await open(t);
      const next = readerOf(await bus.subscribe('bars', { name: 's' }));
      const ended = next();
      await bus.close();
      assert.equal(await ended, undefined);
      await assert.rejects(bus.publish('bars', [bar('A', OPEN, 1)]), { code: 'BARCAST_E_BUS' });
      await assert.rejects(bus.subscribe('bars', { name: 's' }), { code: 'BARCAST_E_BUS' });
    });
  });
}
