/**
 * Strong and weak scaling of training over threads of the kernel, threads that are ranks, and processes under Open MPI;
 * and from the measured all-reduces a prediction for many nodes. Before a time counts, every way must have ended in the
 * same weights.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { BarcastError } from '../src/base/index.ts';
import { joinThreads, soloCollective, threadsMemory } from '../src/collective/index.ts';
import { chooseKernel, type Kernel, parameterCount } from '../src/kernel/index.ts';
import { fitAlphaBeta, type Network, predict, type ReduceSample, speedupPlot } from './alpha-beta.ts';
import { checkAgainstReference } from './check.ts';
import { measureRank, type RankFigures, type RankTask } from './scaling-rank.ts';
import { standardShape } from './standard-model.ts';
import { circumstances } from './timing.ts';

/** `kernel`: threads of one kernel; `threads`: ranks that are threads; `mpi`: ranks that are processes. */
export type Way = 'kernel' | 'threads' | 'mpi';

export interface ScalingOptions {
  readonly ranks: readonly number[];
  readonly ways: readonly Way[];
  readonly units: number;
  /** Sequences a step, all ranks together, for strong scaling. */
  readonly batch: number;
  /** Sequences a step on each rank, for weak scaling. */
  readonly batchPerRank: number;
  readonly seconds: number;
  /** Hosts for mpirun, as `a:1,b:1`; this one without. */
  readonly hosts?: string;
  /** Threads of each process's kernel under mpirun. */
  readonly threadsPerRank: number;
}

export interface ScalingFigure {
  readonly way: Way;
  readonly ranks: number;
  readonly scaling: 'strong' | 'weak';
  readonly batch: number;
  readonly sequencesPerSecond: number;
  readonly speedup: number;
  readonly stepMs: number;
  readonly gradientMs: number;
  readonly collectiveMs: number;
  readonly updateMs: number;
  /** Of a step. */
  readonly collectiveShare: number;
}

/** 0.138 ms and 9.68 Gbit/s: measured by the reference project between its nodes. The other is an assumption. */
const NETWORKS: readonly Network[] = [
  { name: '0.138 ms, 9.68 Gbit/s', alpha: 0.138e-3, beta: 8 / 9.68e9 },
  { name: '0.020 ms, 100 Gbit/s', alpha: 0.02e-3, beta: 8 / 100e9 },
];
const NODES = [8, 16, 32, 64, 128, 256];
const MESSAGES = [64, 1024, 8192, 32_768, 95_000, 262_144, 1_048_576];

export async function benchScaling(kernel: Kernel, options: ScalingOptions) {
  const shape = standardShape(options.units);
  const differences = await checkAgainstReference(kernel, shape);
  const figures: ScalingFigure[] = [];
  const hashes = new Map<number, string>();
  const reduces: ReduceSample[] = [];
  const samples: Record<string, ReduceSample[]> = { threads: [], mpi: [] };
  const one = new Map<number, number>();
  for (const ranks of options.ranks) {
    for (const way of options.ways) {
      // Alone they are all the same.
      if (ranks === 1 && way !== options.ways[0]) continue;
      const weak = options.batchPerRank * ranks;
      const task: RankTask = {
        kernel: kernel.name,
        threads: way === 'kernel' ? ranks : way === 'mpi' ? options.threadsPerRank : 1,
        units: options.units,
        batches: [...new Set([options.batch, weak])],
        messages: MESSAGES,
        seconds: options.seconds,
      };
      const measured = await measure(way, ranks, task, options.hosts);
      for (const { bytes, ms } of measured.reduces) {
        const sample = { ranks, bytes, seconds: ms / 1000 };
        reduces.push(sample);
        samples[way]?.push(sample);
      }
      for (const step of measured.steps) {
        const known = hashes.get(step.batch) ?? step.weightsHash;
        if (known !== step.weightsHash) {
          throw new BarcastError(
            'BARCAST_E_RANK',
            `${ranks} ranks (${way}) ended in other weights than fewer did, at batch ${step.batch}`,
            'nothing was timed; report this',
          );
        }
        hashes.set(step.batch, known);
        const sequencesPerSecond = (1000 * step.batch) / step.stepMs;
        const kinds = [
          ...(step.batch === options.batch ? (['strong'] as const) : []),
          ...(step.batch === weak ? (['weak'] as const) : []),
        ];
        for (const scaling of kinds) {
          const of = scaling === 'strong' ? options.batch : options.batchPerRank;
          if (ranks === 1) one.set(of, sequencesPerSecond);
          const { stepMs, gradientMs, collectiveMs, updateMs } = step;
          const times = { stepMs, gradientMs, collectiveMs, updateMs, collectiveShare: collectiveMs / stepMs };
          const speedup = sequencesPerSecond / (one.get(of) ?? Number.NaN);
          figures.push({ way, ranks, scaling, batch: step.batch, sequencesPerSecond, speedup, ...times });
        }
      }
    }
  }
  const fitted = Object.fromEntries(
    Object.entries(samples).flatMap(([way, all]) => (all.length > 1 ? [[way, fitAlphaBeta(all)]] : [])),
  );
  const alone = figures.find(({ ranks, scaling }) => ranks === 1 && scaling === 'weak');
  const bytes = (nodes: number) => 8 * (parameterCount(shape) + 2 + 3 * nodes);
  const predictions = alone
    ? NETWORKS.flatMap((network) => NODES.map((nodes) => predict(network, alone.stepMs, bytes, nodes)))
    : [];
  return {
    kernel: kernel.name,
    units: options.units,
    ranks: figures,
    reduces,
    fitted,
    predictions,
    messageBytes: bytes(8),
    differencesFromReference: differences,
    ...circumstances(),
  };
}

export const scalingPlot = (answer: Awaited<ReturnType<typeof benchScaling>>, batchPerRank: number): string =>
  speedupPlot(answer.predictions, `Predicted speedup, LSTM ${answer.units}, batch ${batchPerRank} a node`);

async function measure(way: Way, ranks: number, task: RankTask, hosts?: string): Promise<RankFigures> {
  if (way === 'mpi') return measureProcesses(ranks, task, hosts);
  const kernel = await chooseKernel({ kernel: task.kernel, threads: task.threads });
  try {
    return await (way === 'kernel' ? measureRank(soloCollective(), kernel, task) : measureThreads(ranks, kernel, task));
  } finally {
    kernel.close();
  }
}

async function measureThreads(ranks: number, kernel: Kernel, task: RankTask): Promise<RankFigures> {
  const memory = threadsMemory(ranks);
  const program = new URL('scaling-rank.ts', import.meta.url);
  const workers = Array.from(
    { length: ranks - 1 },
    (_, i) => new Worker(program, { workerData: { memory, rank: i + 1, task } }),
  );
  const ends = workers.map(
    (worker) => new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject)),
  );
  const collective = joinThreads(memory, 0);
  const work = async () => {
    const figures = await measureRank(collective, kernel, task);
    await collective.close();
    return figures;
  };
  const [figures] = await Promise.all([work(), ...ends]);
  return figures;
}

function measureProcesses(ranks: number, task: RankTask, hosts?: string): Promise<RankFigures> {
  const program = fileURLToPath(new URL('scaling-rank.ts', import.meta.url));
  const where = hosts === undefined ? ['--oversubscribe'] : ['-H', hosts];
  const root = process.getuid?.() === 0 ? ['--allow-run-as-root'] : [];
  const options = [...root, ...where, '--bind-to', 'none', '--map-by', 'slot', '-n', String(ranks)];
  const child = spawn('mpirun', [...options, process.execPath, program, JSON.stringify(task)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  let complaints = '';
  child.stdout.setEncoding('utf8').on('data', (part) => (text += part));
  child.stderr.setEncoding('utf8').on('data', (part) => (complaints += part));
  return new Promise((resolve, reject) => {
    const fail = (why: string) =>
      reject(
        new BarcastError(
          'BARCAST_E_MPI',
          `mpirun gave no figures (${why})`,
          'install Open MPI, or leave mpi out of --ways',
        ),
      );
    child.once('error', (error) => fail(error.message));
    child.once('close', () => {
      const [, figures] = /^FIGURES (.*)$/m.exec(text) ?? [];
      if (figures) resolve(JSON.parse(figures) as RankFigures);
      else fail(complaints.split('\n').find((line) => /[a-z]{3}/.test(line)) ?? 'no word');
    });
  });
}
