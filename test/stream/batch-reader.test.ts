import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { headers } from '@nats-io/transport-node';
import type { Bar } from '../../src/bars/index.ts';
import { Bell } from '../../src/stream/batch-queue.ts';
import { BatchReader } from '../../src/stream/batch-reader.ts';
import { messagesOf, natsBus } from '../../src/stream/index.ts';
import { BATCHES, BATCHES_SUBJECT, connectNats, disconnectNats } from '../../src/stream/nats-connection.ts';
import { END_OF_BATCH } from '../../src/stream/nats-publisher.ts';
import { bar, OPEN } from './fixtures.ts';
import { natsServer } from './nats-server.ts';
import { until } from './shared-support.ts';

async function setUp(t: TestContext, mostBuffered?: number, symbols?: readonly string[]) {
  const stop = new AbortController();
  const news = new Bell();
  const ends: (() => Promise<unknown>)[] = [];
  t.after(async () => {
    stop.abort();
    news.ring();
    for (const end of ends) await end();
  });
  const { url } = await natsServer(t);
  const bus = await natsBus({ url });
  const nats = await connectNats({ url });
  const place = { log: [], logTo: 0, cutTo: 0, open: Number.NEGATIVE_INFINITY };
  const { signal } = stop;
  const reader = new BatchReader({ nats, place, news, signal, onRefused: () => {}, mostBuffered, symbols });
  const running = reader.run();
  ends.push(
    () => running,
    () => disconnectNats(nats),
    () => bus.close(),
  );
  /** Takes so many bars: how many each batch has. */
  const take = async (bars: number) => {
    const sizes: number[] = [];
    for (let taken = 0; taken < bars; ) {
      await until(() => reader.next !== undefined);
      sizes.push(reader.next!.bars.length);
      taken += sizes.at(-1)!;
      reader.drop();
    }
    return sizes;
  };
  /** Bars as they are stored, without waiting: the end of the batch is marked or not. */
  const send = (bars: readonly Bar[], isEnd: boolean) => {
    for (const [i, { subject, id, data }] of messagesOf('bars', bars).entries()) {
      const marks = headers();
      marks.set('Nats-Msg-Id', id);
      if (isEnd && i === bars.length - 1) marks.set(END_OF_BATCH, '1');
      bus.nats.connection.publish(subject, data, { headers: marks });
    }
  };
  return { url, bus, reader, take, send };
}

const minute = (m: number, symbols: number, from = 0) =>
  Array.from({ length: symbols }, (_, s) => bar(`S${from + s}`, OPEN + m, 1));

test('a reader that is full takes no more, and goes on where it stopped', async (t) => {
  const { bus, reader, take } = await setUp(t, 200);
  for (let m = 0; m < 20; m++) await bus.publish('bars', minute(m, 50));
  await until(() => reader.buffered >= 200);
  const sizes: number[] = [];
  while (sizes.length < 20) {
    assert.ok(reader.buffered <= 200, `${reader.buffered} bars`);
    sizes.push(...(await take(1)));
  }
  assert.deepEqual(sizes, new Array(20).fill(50));
});

test('a batch that a full reader has the beginning of is not cut there', async (t) => {
  const { bus, reader, take, send } = await setUp(t, 200);
  for (let m = 0; m < 3; m++) await bus.publish('bars', minute(m, 50));
  await until(() => reader.buffered === 150);
  send(minute(3, 20), false);
  await until(() => reader.buffered === 170);
  send(minute(3, 40, 20), true);
  await until(() => reader.buffered === 200);
  // Longer than what counts as the silence after a batch without an end.
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.deepEqual(await take(210), [50, 50, 50, 60]);
});

test('a process that stands still while the rest of a batch arrives does not cut it', async (t) => {
  const { url, reader, take, send } = await setUp(t);
  const stored = new Int32Array(new SharedArrayBuffer(4));
  const workerData = { url, bars: minute(0, 40, 20), stored };
  const other = new Worker(new URL('./publish-worker.ts', import.meta.url), { workerData });
  const ended = once(other, 'exit');
  await once(other, 'message');
  send(minute(0, 20), false);
  await until(() => reader.buffered === 20);
  other.postMessage('go');
  // Longer than the silence that ends a batch, and after the event loop has read: its timer is due before it reads again.
  await new Promise(setImmediate);
  Atomics.wait(stored, 0, 0, 10_000);
  Atomics.wait(stored, 0, 1, 200);
  assert.deepEqual(await take(60), [60]);
  await ended;
});

test('a batch without a mark ends where nothing comes for a while', async (t) => {
  const { take, send } = await setUp(t);
  send(minute(0, 20), false);
  assert.deepEqual(await take(20), [20]);
});

test('a batch of symbols that its reader does not follow is recorded with its minute all the same', async (t) => {
  const { bus, reader } = await setUp(t, undefined, ['NONE']);
  await bus.publish('bars', minute(7, 20));
  await until(() => reader.next !== undefined);
  assert.deepEqual(reader.next!.bars, []);
  const record = await bus.nats.manager.streams.getMessage(BATCHES, { last_by_subj: BATCHES_SUBJECT });
  assert.equal(record!.json<{ minute: number }>().minute, OPEN + 7);
});
