/**
 * What one rank does for `bench scaling`: training steps of the standard model at several batch sizes, and all-reduces
 * of several sizes. Runs in this thread, in a worker ({@link RankTask} as its data), or as a process, under mpirun or
 * alone (the task as its one word).
 */
import { parentPort, workerData } from 'node:worker_threads';
import {
  type Collective,
  gatherNumbers,
  isMpiRank,
  joinMpi,
  joinThreads,
  soloCollective,
  type ThreadsMemory,
} from '../src/collective/index.ts';
import { chooseKernel, initialWeights, type Kernel, type KernelName } from '../src/kernel/index.ts';
import { weightsHash } from '../src/model/index.ts';
import { HELD_MS, ParallelStep } from '../src/train/index.ts';
import { adam, batchOf, standardShape } from './standard-model.ts';

export interface RankTask {
  readonly kernel: KernelName;
  /** Threads of each rank's kernel. */
  readonly threads: number;
  readonly units: number;
  /** Sequences a step, all ranks together. */
  readonly batches: readonly number[];
  /** Bytes of the all-reduces. */
  readonly messages: readonly number[];
  readonly seconds: number;
}

/** Medians in milliseconds, of the slowest part of each step on this rank. */
export interface StepFigure {
  readonly batch: number;
  readonly steps: number;
  readonly stepMs: number;
  readonly gradientMs: number;
  readonly collectiveMs: number;
  readonly updateMs: number;
  /** Of the weights after the first steps: the same on any number of ranks. */
  readonly weightsHash: string;
}

export interface ReduceFigure {
  readonly bytes: number;
  readonly ms: number;
}

export interface RankFigures {
  readonly steps: readonly StepFigure[];
  readonly reduces: readonly ReduceFigure[];
}

const CHECKED_STEPS = 3;
const WARM_UP_STEPS = 8;
const REDUCES = 60;

export const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1];

export async function measureRank(collective: Collective, kernel: Kernel, task: RankTask): Promise<RankFigures> {
  const steps: StepFigure[] = [];
  for (const batch of task.batches) steps.push(await measureSteps(collective, kernel, task, batch));
  const reduces: ReduceFigure[] = [];
  for (const bytes of collective.size > 1 ? task.messages : []) {
    const values = new BigInt64Array(Math.max(1, bytes >> 3));
    const taken: number[] = [];
    for (let i = 0; i < REDUCES; i++) {
      const before = performance.now();
      await collective.allReduce(values);
      if (i >= REDUCES / 4) taken.push(performance.now() - before);
    }
    reduces.push({ bytes: 8 * values.length, ms: median(taken) });
  }
  return { steps, reduces };
}

async function measureSteps(collective: Collective, kernel: Kernel, task: RankTask, size: number): Promise<StepFigure> {
  const shape = standardShape(task.units);
  const network = await kernel.createNetwork(shape, initialWeights(shape, 1), HELD_MS);
  try {
    const batch = batchOf(shape, size);
    const parallel = new ParallelStep(collective, network);
    const part = (step: number) => (from: number, to: number) => ({
      ...batch,
      starts: batch.starts.subarray(from, to),
      targets: batch.targets.subarray(from, to),
      firstSequence: from,
      step,
    });
    const { times } = parallel;
    let step = 0;
    const run = async () => {
      const before = { ...times };
      const at = performance.now();
      await parallel.run(part(step), size, 1, step, adam, false);
      step++;
      return [
        performance.now() - at,
        times.gradient - before.gradient,
        times.collective - before.collective,
        times.update - before.update,
      ];
    };
    for (let i = 0; i < CHECKED_STEPS; i++) await run();
    const hash = weightsHash(await network.readWeights());
    const warm: number[] = [];
    for (let i = 0; i < WARM_UP_STEPS; i++) warm.push((await run())[0]);
    // Every rank makes as many steps as rank 0 thinks right.
    const [count] = await gatherNumbers(collective, Math.max(20, Math.ceil((1000 * task.seconds) / median(warm))));
    const taken: number[][] = [];
    for (let i = 0; i < count; i++) taken.push(await run());
    const [stepMs, gradientMs, collectiveMs, updateMs] = [0, 1, 2, 3].map((part) =>
      median(taken.map((all) => all[part])),
    );
    return { batch: size, steps: count, stepMs, gradientMs, collectiveMs, updateMs, weightsHash: hash };
  } finally {
    network.close();
  }
}

async function measureHere(join: () => Promise<Collective> | Collective, task: RankTask, blocking: boolean) {
  const kernel = await chooseKernel({ kernel: task.kernel, threads: task.threads, blocking });
  const collective = await join();
  try {
    return { rank: collective.rank, figures: await measureRank(collective, kernel, task) };
  } finally {
    kernel.close();
    await collective.close();
  }
}

if (workerData?.memory) {
  const { memory, rank, task } = workerData as { memory: ThreadsMemory; rank: number; task: RankTask };
  await measureHere(() => joinThreads(memory, rank), task, true);
  parentPort?.close();
} else if (process.argv[1] === import.meta.filename && process.argv[2]) {
  const task = JSON.parse(process.argv[2]) as RankTask;
  const { rank, figures } = await measureHere(() => (isMpiRank() ? joinMpi() : soloCollective()), task, false);
  if (rank === 0) process.stdout.write(`FIGURES ${JSON.stringify(figures)}\n`);
}
