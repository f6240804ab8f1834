/** A rank of a training that is a thread: started by `thread-ranks.ts` with its {@link RankWork}. */
import { parentPort, workerData } from 'node:worker_threads';
import { BarcastError, silentProgress } from '../base/index.ts';
import { joinThreads } from '../collective/index.ts';
import { chooseKernel } from '../kernel/index.ts';
import { runTraining } from './loop.ts';
import type { LoadedShard, TrainingShards } from './shards.ts';
import type { PieceMessage, RankWork } from './thread-ranks.ts';

const { memory, rank, kernel: name, sequences, ...run } = workerData as RankWork;

/** Pieces come in the order in which every rank loads them. */
const arrived: PieceMessage[] = [];
const awaited: ((message: PieceMessage) => void)[] = [];
parentPort!.on('message', (message: PieceMessage | 'end') => {
  if (message === 'end') process.exit();
  const next = awaited.shift();
  if (next) next(message);
  else arrived.push(message);
});

const shards: TrainingShards = {
  count: sequences.length,
  sequences: (piece) => sequences[piece],
  async load(): Promise<LoadedShard> {
    const message = arrived.shift() ?? (await new Promise<PieceMessage>((resolve) => awaited.push(resolve)));
    if (message.shard) return message.shard;
    throw new BarcastError(
      'BARCAST_E_INTERNAL',
      message.failure ?? 'a piece was not loaded',
      'see the error of rank 0',
    );
  },
};

const kernel = await chooseKernel({ kernel: name, threads: 1, blocking: true });
try {
  await runTraining({
    ...run,
    kernel,
    shards,
    collective: joinThreads(memory, rank),
    checkpointEveryMs: Number.POSITIVE_INFINITY,
    progress: silentProgress,
  });
} catch (error) {
  // What all ranks throw together rank 0 tells; another failure ends this thread, and so the others.
  const together = error instanceof BarcastError && error.code !== 'BARCAST_E_INTERNAL';
  if (!together) throw error;
} finally {
  kernel.close();
  parentPort!.close();
}
