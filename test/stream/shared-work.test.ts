import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { jetstream } from '@nats-io/jetstream';
import { encodeRecord } from '../../src/stream/batch-log.ts';
import { BATCHES, BATCHES_SUBJECT, connectNats, disconnectNats } from '../../src/stream/nats-connection.ts';
import { SharedWork } from '../../src/stream/shared-work.ts';
import { OPEN } from './fixtures.ts';
import { natsServer } from './nats-server.ts';

const ANSWER_MS = 300;

async function setUp(t: TestContext) {
  const stop = new AbortController();
  let end = async () => {};
  t.after(() => end());
  const { url } = await natsServer(t);
  const nats = await connectNats({ url });
  end = async () => {
    stop.abort();
    await disconnectNats(nats);
  };
  const work = await SharedWork.join(nats, 'test', ANSWER_MS);
  const recordOf = (bar: number) => encodeRecord({ from: bar, to: bar, minute: OPEN });
  const publish = (bar: number) => jetstream(nats.connection).publish(BATCHES_SUBJECT, recordOf(bar));
  return { url, nats, work, recordOf, publish, batches: work.batches(stop.signal) };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test('a batch is fresh when it is handed out just now and for the first time, however old it is', async (t) => {
  const { work, publish, batches } = await setUp(t);
  await publish(1);
  await publish(2);
  await pause(2 * ANSWER_MS);
  const old = (await batches.next()).value!;
  assert.ok(old.isFresh, 'it waited for somebody to ask');
  work.done(old.message);
  const given = (await batches.next()).value!;
  assert.ok(given.isFresh);
  given.message.nak();
  const again = (await batches.next()).value!;
  assert.equal(again.message.seq, given.message.seq);
  assert.ok(!again.isFresh, 'somebody had it');
  work.done(again.message);
  const asked = batches.next();
  await pause(2 * ANSWER_MS);
  await publish(3);
  assert.ok((await asked).value!.isFresh, 'asked for long ago');
});

test('a batch that was handed out while the process stood still is not fresh', async (t) => {
  const { url, nats, recordOf, batches } = await setUp(t);
  const asked = batches.next();
  const stored = new Int32Array(new SharedArrayBuffer(4));
  const workerData = { url, record: recordOf(1), stored };
  const other = new Worker(new URL('./publish-worker.ts', import.meta.url), { workerData });
  const ended = once(other, 'exit');
  await once(other, 'message');
  const isAsked = async () => (await nats.manager.consumers.info(BATCHES, 'forecasters-test')).num_waiting > 0;
  while (!(await isAsked())) await pause(10);
  other.postMessage('go');
  await new Promise(setImmediate);
  Atomics.wait(stored, 0, 0, 10_000);
  Atomics.wait(stored, 0, 1, 2 * ANSWER_MS);
  const { isFresh, message } = (await asked).value!;
  assert.equal(message.info.deliveryCount, 1);
  assert.ok(!isFresh, 'another may have it by now');
  await ended;
});
