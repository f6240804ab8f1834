/** Publishes while the thread that started this one stands still: a batch of bars, or a record of one. */
import { parentPort, workerData } from 'node:worker_threads';
import { jetstream } from '@nats-io/jetstream';
import { natsBus } from '../../src/stream/index.ts';
import { BATCHES_SUBJECT } from '../../src/stream/nats-connection.ts';

const { url, bars, record, stored } = workerData;
const bus = await natsBus({ url });
parentPort!.once('message', async () => {
  if (bars !== undefined) await bus.publish('bars', bars);
  else await jetstream(bus.nats.connection).publish(BATCHES_SUBJECT, record);
  Atomics.store(stored, 0, 1);
  Atomics.notify(stored, 0);
  await bus.close();
});
parentPort!.postMessage('ready');
