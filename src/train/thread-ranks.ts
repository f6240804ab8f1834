/**
 * A training over ranks that are threads of this process: rank 0 here, the others in workers, each with a kernel of one
 * thread. Windows lie in shared memory once; a piece that rank 0 loads is handed to the others.
 */
import { Worker } from 'node:worker_threads';
import { BarcastError, toBarcastError } from '../base/index.ts';
import { failThread, joinThreads, type ThreadsMemory, threadsMemory } from '../collective/index.ts';
import type { WindowSet } from '../features/index.ts';
import type { KernelName, NetworkShape } from '../kernel/index.ts';
import type { RunIdentity } from './checkpoint.ts';
import { runTraining, type TrainingResult, type TrainingRun } from './loop.ts';
import type { TrainingSettings } from './schedule.ts';
import type { LoadedShard, TrainingShards } from './shards.ts';

/** What a worker needs to be a rank of the same run. */
export interface RankWork {
  readonly memory: ThreadsMemory;
  readonly rank: number;
  readonly kernel: KernelName;
  readonly shape: NetworkShape;
  readonly settings: TrainingSettings;
  readonly seed: number;
  readonly identity: RunIdentity;
  readonly validation: TrainingRun['validation'];
  /** Training windows of each piece. */
  readonly sequences: readonly number[];
}

/** From rank 0: a piece it has loaded, or why it could not. */
export interface PieceMessage {
  readonly piece: number;
  readonly shard?: LoadedShard;
  readonly failure?: string;
}

/**
 * {@link runTraining} on `ranks` threads; the bits are those of one.
 * @param run its kernel should have one thread
 * @throws what {@link runTraining} does
 */
export async function trainOnThreads(run: TrainingRun, ranks: number, timeoutMs?: number): Promise<TrainingResult> {
  const memory = threadsMemory(ranks, timeoutMs);
  const { shape, settings, seed, identity, kernel } = run;
  const validation = { windows: sharedWindows(run.validation.windows), targets: shared(run.validation.targets) };
  const sequences = Array.from({ length: run.shards.count }, (_, piece) => run.shards.sequences(piece));
  let failure: BarcastError | undefined;
  const workers = Array.from({ length: ranks - 1 }, (_, i) => {
    const rank = i + 1;
    const work: RankWork = {
      memory,
      rank,
      kernel: kernel.name,
      shape,
      settings,
      seed,
      identity,
      validation,
      sequences,
    };
    const worker = new Worker(new URL('rank-worker.ts', import.meta.url), { workerData: work });
    worker.on('error', (error) => {
      failure ??= toBarcastError(error);
      failThread(memory, rank);
    });
    return worker;
  });
  const ends = workers.map((worker) => new Promise<void>((resolve) => worker.once('exit', () => resolve())));
  try {
    return await runTraining({
      ...run,
      validation,
      shards: handedOut(run.shards, workers),
      collective: joinThreads(memory, 0),
    });
  } catch (error) {
    failThread(memory, 0);
    // What ended a worker is told rather than that it ended.
    if (failure && error instanceof BarcastError && error.code === 'BARCAST_E_RANK') throw failure;
    throw error;
  } finally {
    for (const worker of workers) worker.postMessage('end');
    await Promise.all(ends);
  }
}

/** The pieces in shared memory, sent to the workers whenever one is loaded here; all load them in the same order. */
function handedOut(shards: TrainingShards, workers: readonly Worker[]): TrainingShards {
  let kept: { piece: number; shard: LoadedShard } | undefined;
  return {
    count: shards.count,
    sequences: (piece) => shards.sequences(piece),
    async load(piece) {
      const send = (message: PieceMessage) => {
        for (const worker of workers) worker.postMessage(message);
      };
      try {
        if (kept?.piece !== piece) kept = { piece, shard: sharedShard(await shards.load(piece)) };
        const { shard } = kept;
        // One piece is loaded again every epoch: its memory is made shared once.
        if (shards.count > 1) kept = undefined;
        send({ piece, shard });
        return shard;
      } catch (error) {
        send({ piece, failure: toBarcastError(error).message });
        throw error;
      }
    },
  };
}

const sharedShard = ({ windows, targets, training }: LoadedShard): LoadedShard => ({
  windows: sharedWindows(windows),
  targets: shared(targets),
  training: shared(training),
});

function sharedWindows(windows: WindowSet): WindowSet {
  const { matrix, starts, scales, symbol, asOf, lastClose, targetClose, volatility } = windows;
  const arrays = { matrix, starts, scales, symbol, asOf, lastClose, targetClose, volatility };
  const entries = Object.entries(arrays).map(([name, values]) => [name, shared<ArrayView>(values)]);
  return { ...windows, ...Object.fromEntries(entries) };
}

type ArrayView = Float32Array | Float64Array | Int32Array;

/** The array in memory that threads share; as it is when it already lies there. */
function shared<A extends ArrayView>(values: A): A {
  if (values.buffer instanceof SharedArrayBuffer) return values;
  const make = values.constructor as new (buffer: SharedArrayBuffer) => A;
  const copy = new make(new SharedArrayBuffer(values.byteLength));
  copy.set(values);
  return copy;
}
