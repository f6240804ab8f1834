/**
 * Work in blocks over shared memory, by the calling thread and worker threads together: whoever is free takes the next
 * block. A block's result depends on the block alone, so that the bits are the same however many threads there are.
 *
 * The workers are started at the first call, are kept for later ones, and do not keep the process alive.
 */
import { cpus } from 'node:os';
import { Worker } from 'node:worker_threads';
import { BarcastError } from '../base/index.ts';
import { type Task, workOf } from './tasks.ts';

/** What a worker is sent. `state` is `[next block, blocks done, failed]`. */
export interface Job {
  readonly task: Task;
  readonly blocks: number;
  readonly state: Int32Array;
}

/** Beyond a few threads the memory is the limit. */
const MOST_WORKERS = 7;

let workers: Worker[] | undefined;

/** Starts the workers, so that they are there when the first work comes. Harmless when they are there already. */
export function startWorkers(): Worker[] {
  workers ??= Array.from({ length: Math.min(MOST_WORKERS, cpus().length - 1) }, () => {
    const worker = new Worker(new URL('./blocks-worker.ts', import.meta.url));
    worker.unref();
    worker.on('error', () => {
      workers = workers?.filter((other) => other !== worker);
    });
    return worker;
  });
  return workers;
}

/** Takes blocks until none is left. @returns whether all that it took succeeded */
export function takeBlocks({ task, blocks, state }: Job): void {
  try {
    const work = workOf(task);
    for (let block = Atomics.add(state, 0, 1); block < blocks; block = Atomics.add(state, 0, 1)) {
      work(block);
      Atomics.add(state, 1, 1);
    }
  } catch (error) {
    Atomics.store(state, 2, 1);
    throw error;
  } finally {
    Atomics.notify(state, 1);
  }
}

/**
 * Does all blocks of a task.
 * @param apart leaves the calling thread free for other work: the workers do it all, where there are any
 * @throws BARCAST_E_INTERNAL when a worker failed, and what the task throws
 */
export async function doBlocks(task: Task, blocks: number, apart = false): Promise<void> {
  const job: Job = { task, blocks, state: new Int32Array(new SharedArrayBuffer(12)) };
  const helpers = startWorkers();
  for (const worker of helpers) worker.postMessage(job);
  if (!apart || helpers.length === 0) takeBlocks(job);
  // A wait alone does not keep the process alive.
  const alive = setInterval(() => {}, 60_000);
  try {
    await allDone(job, helpers);
  } finally {
    clearInterval(alive);
  }
}

async function allDone({ state, blocks }: Job, helpers: readonly Worker[]): Promise<void> {
  for (;;) {
    const done = Atomics.load(state, 1);
    if (done >= blocks) return;
    if (Atomics.load(state, 2) !== 0 || helpers.some((helper) => !startWorkers().includes(helper))) {
      throw new BarcastError(
        'BARCAST_E_INTERNAL',
        'a worker thread failed while it made windows',
        'run it again with --verbose and report what it prints',
      );
    }
    const waited = Atomics.waitAsync(state, 1, done, 1000);
    if (waited.async) await waited.value;
  }
}
