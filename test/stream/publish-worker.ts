/** Publishes one batch of bars while the thread that started this one stands still; see `batch-reader.test.ts`. */
import { parentPort, workerData } from 'node:worker_threads';
import { natsBus } from '../../src/stream/index.ts';

const { url, bars, stored } = workerData;
const bus = await natsBus({ url });
parentPort!.once('message', async () => {
  await bus.publish('bars', bars);
  Atomics.store(stored, 0, 1);
  Atomics.notify(stored, 0);
  await bus.close();
});
parentPort!.postMessage('ready');
