/**
 * Rows of a large read filled in by the calling thread and worker threads together. The workers are started at the first
 * such read, are kept for later ones, and do not keep the process alive.
 */
import { cpus } from 'node:os';
import { MessageChannel, Worker } from 'node:worker_threads';
import { type ChunksOf, type FillJob, STOP, takeParts, WORKERS } from './fill.ts';

/** Each decodes in some megabytes of its own. */
const MOST_THREADS = 4;

/** Threads that fill in a large read. */
export const fillingThreads = (): number => Math.min(MOST_THREADS, cpus().length);

let workers: Worker[] | undefined;

/** States of the jobs that workers may be at. */
const active = new Set<Int32Array>();
/** What a process that exits waits for them at most. */
const LONGEST_WAIT_MS = 1000;

/** A worker that is ended while it is in DuckDB's code may take the process down: they stop between two chunks. */
function stopAll(): void {
  const until = performance.now() + LONGEST_WAIT_MS;
  for (const state of active) Atomics.store(state, STOP, 1);
  for (const state of active) {
    for (let working = Atomics.load(state, WORKERS); working > 0; working = Atomics.load(state, WORKERS))
      if (Atomics.wait(state, WORKERS, working, until - performance.now()) === 'timed-out') return;
  }
}

/** Harmless when they are there already. */
export function startedWorkers(): Worker[] {
  if (workers === undefined) process.once('exit', stopAll);
  workers ??= Array.from({ length: fillingThreads() - 1 }, () => {
    const worker = new Worker(new URL('./fill-worker.ts', import.meta.url));
    worker.unref();
    // Whoever waits for its answer is told by its end.
    worker.on('error', () => {});
    worker.once('exit', () => {
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
  const job = { parts, columns, state: new Int32Array(new SharedArrayBuffer(12)) };
  active.add(job.state);
  const answering = startedWorkers().map((worker) => answerOf(worker, job));
  const answers = Promise.allSettled(answering).finally(() => active.delete(job.state));
  const [own] = await Promise.allSettled([takeParts(job, chunksOf)]);
  // A worker that is still on its way finds nothing to do.
  if (own.status === 'fulfilled' && own.value === parts.length) return;
  for (const result of [...(await answers), own]) if (result.status === 'rejected') throw result.reason;
}

function answerOf(worker: Worker, job: FillJob): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  worker.postMessage({ job, answer: port2 }, [port2]);
  return new Promise((resolve, reject) => {
    const ended = () => {
      port1.close();
      reject(new Error('a thread that read beside this one ended'));
    };
    worker.once('exit', ended);
    port1.once('message', (failure?: string) => {
      worker.off('exit', ended);
      port1.close();
      if (failure === undefined) resolve();
      else reject(new Error(failure));
    });
  });
}
