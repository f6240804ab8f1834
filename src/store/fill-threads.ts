/**
 * Rows of a large read filled in by the calling thread and worker threads together. The workers are started at the first
 * such read, are kept for later ones, and do not keep the process alive.
 */
import { cpus } from 'node:os';
import { MessageChannel, Worker } from 'node:worker_threads';
import { type ChunksOf, type FillJob, takeParts } from './fill.ts';

/** Each decodes with a few megabytes of its own; beyond a few the memory is the limit. */
const MOST_THREADS = 4;

/** Threads that fill in a large read. */
export const fillingThreads = (): number => Math.min(MOST_THREADS, cpus().length);

let workers: Worker[] | undefined;

function startedWorkers(): Worker[] {
  workers ??= Array.from({ length: fillingThreads() - 1 }, () => {
    const worker = new Worker(new URL('./fill-worker.ts', import.meta.url));
    worker.unref();
    worker.on('error', () => {
      workers = workers?.filter((other) => other !== worker);
    });
    return worker;
  });
  return workers;
}

/**
 * Fills in all parts; when it is over, well or not, nothing is written to the columns any more.
 * @param columns over shared memory
 * @throws what a query fails with, in whichever thread
 */
export async function fillOnThreads(
  parts: FillJob['parts'],
  columns: FillJob['columns'],
  chunksOf: ChunksOf,
): Promise<void> {
  const job = { parts, columns, next: new Int32Array(new SharedArrayBuffer(4)) };
  const threads = [takeParts(job, chunksOf), ...startedWorkers().map((worker) => answerOf(worker, job))];
  const results = await Promise.allSettled(threads);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

function answerOf(worker: Worker, job: FillJob): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  worker.postMessage({ job, answer: port2 }, [port2]);
  return new Promise((resolve, reject) => {
    port1.once('message', (failure?: string) => {
      if (failure === undefined) resolve();
      else reject(new Error(failure));
      port1.close();
    });
    // With its worker.
    port1.once('close', () => reject(new Error('a reading thread ended')));
  });
}
