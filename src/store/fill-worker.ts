/** A worker thread of `fill-threads.ts`: takes parts of one job after another, through a DuckDB of its own. */
import { type MessagePort, parentPort } from 'node:worker_threads';
import { canReadDirectly, directChunksOf } from './direct-vectors.ts';
import { type FillJob, takeParts, WORKERS } from './fill.ts';

parentPort!.on('message', async ({ job, answer }: { job: FillJob; answer: MessagePort }) => {
  let failure: string | undefined;
  Atomics.add(job.state, WORKERS, 1);
  try {
    if (canReadDirectly()) await takeParts(job, (sql) => directChunksOf(sql)!);
  } catch (error) {
    failure = (error as Error).message;
  }
  Atomics.sub(job.state, WORKERS, 1);
  Atomics.notify(job.state, WORKERS);
  answer.postMessage(failure);
});
