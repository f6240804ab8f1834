/** A worker thread of `fill-threads.ts`: takes parts of one job after another, through a DuckDB of its own. */
import { type MessagePort, parentPort } from 'node:worker_threads';
import { directChunksOf } from './direct-vectors.ts';
import { type FillJob, takeParts } from './fill.ts';

parentPort!.on('message', async ({ job, answer }: { job: FillJob; answer: MessagePort }) => {
  try {
    await takeParts(job, (sql) => directChunksOf(sql)!);
    answer.postMessage(undefined);
  } catch (error) {
    answer.postMessage((error as Error).message);
  }
});
