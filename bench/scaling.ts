/**
 * Strong and weak scaling of training over threads of the kernel, threads that are ranks, and processes under Open MPI;
 * and from the measured all-reduces a prediction for many nodes. Before a time counts, every way must have ended in the
 * same weights.
 *
 * All is measured in rounds, each of which goes through one rank and every way with more, as a machine may be faster in
 * one minute than in the next: a speedup is the median over the rounds of what it was in each.
 */
import { availableParallelism } from 'node:os';
import { BarcastError } from '../src/base/index.ts';
import { type Kernel, parameterCount } from '../src/kernel/index.ts';
import { fitAlphaBeta, type Network, predict, type ReduceSample, speedupPlot } from './alpha-beta.ts';
import { checkAgainstReference } from './check.ts';
import { median, type RankTask, type StepFigure } from './scaling-rank.ts';
import { measureApart, measureWay, type Way } from './scaling-ways.ts';
import { standardShape } from './standard-model.ts';
import { circumstances } from './timing.ts';

export type { Way } from './scaling-ways.ts';

export interface ScalingOptions {
  readonly ranks: readonly number[];
  readonly ways: readonly Way[];
  readonly units: number;
  /** Sequences a step, all ranks together, for strong scaling. */
  readonly batch: number;
  /** Sequences a step on each rank, for weak scaling. */
  readonly batchPerRank: number;
  /** For each figure, all rounds together. */
  readonly seconds: number;
  readonly rounds: number;
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
  /** Of each round. */
  readonly speedups: readonly number[];
  readonly stepMs: number;
  readonly gradientMs: number;
  readonly collectiveMs: number;
  readonly updateMs: number;
  /** Of a step. */
  readonly collectiveShare: number;
}

/** What the machine allows: processes that share a batch out but nothing else, and so never wait for each other. */
export interface BoundFigure {
  readonly processes: number;
  readonly batch: number;
  readonly speedup: number;
  readonly speedups: readonly number[];
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
  const measured = new Measured(options);
  for (let round = 0; round < options.rounds; round++) await measureRound(kernel, options, measured, round);
  const { reduces } = measured;
  const fitted = Object.fromEntries(
    options.ways.flatMap((way) => {
      const samples = reduces.filter((sample) => sample.way === way);
      return samples.length > 1 ? [[way, fitAlphaBeta(samples)]] : [];
    }),
  );
  const figures = measured.figures();
  const alone = figures.find(({ ranks, scaling }) => ranks === 1 && scaling === 'weak');
  const bytes = (nodes: number) => 8 * (parameterCount(shape) + 2 + 3 * nodes);
  const predictions = alone
    ? NETWORKS.flatMap((network) => NODES.map((nodes) => predict(network, alone.stepMs, bytes, nodes)))
    : [];
  return {
    kernel: kernel.name,
    units: options.units,
    ranks: figures,
    bound: measured.bound(),
    reduces: reduces.map(({ way: _, ...sample }) => sample),
    fitted,
    predictions,
    messageBytes: bytes(8),
    differencesFromReference: differences,
    ...circumstances(),
  };
}

/** One rank, every way with more, and processes apart; the other way round every second time. */
async function measureRound(kernel: Kernel, options: ScalingOptions, measured: Measured, round: number): Promise<void> {
  const { ways, batch, batchPerRank, units, hosts } = options;
  const seconds = options.seconds / options.rounds;
  const task = (threads: number, batches: number[]): RankTask => ({
    kernel: kernel.name,
    threads,
    units,
    batches: [...new Set(batches)],
    messages: MESSAGES,
    seconds,
  });
  const cores = availableParallelism();
  const works = options.ranks.flatMap((ranks) => [
    // Alone they are all the same.
    ...(ranks === 1 ? ways.slice(0, 1) : ways).map((way) => async () => {
      const threads = way === 'kernel' ? ranks : way === 'mpi' ? options.threadsPerRank : 1;
      const { steps, reduces } = await measureWay(way, ranks, task(threads, [batch, batchPerRank * ranks]), hosts);
      measured.add(way, ranks, round, steps);
      for (const { bytes, ms } of reduces) measured.reduces.push({ way, ranks, bytes, seconds: ms / 1000 });
    }),
    async () => {
      const { threadsPerRank: threads } = options;
      if (ranks === 1 || ranks * threads > cores || hosts !== undefined || batch % ranks !== 0) return;
      const all = await measureApart(ranks, task(threads, [batch / ranks]));
      measured.addApart(
        all.map(({ steps }) => steps[0]),
        round,
      );
    },
  ]);
  for (const work of round % 2 === 0 ? works : works.reverse()) await work();
}

type Kind = 'strong' | 'weak';

/** What the rounds have brought so far. */
class Measured {
  readonly reduces: (ReduceSample & { readonly way: Way })[] = [];
  readonly #options: ScalingOptions;
  /** By way, ranks and batch; of each round. */
  readonly #steps = new Map<string, { way: Way; ranks: number; batch: number; rounds: StepFigure[] }>();
  /** Sequences a second, by number of processes; of each round. */
  readonly #apart = new Map<number, number[]>();
  readonly #hashes = new Map<number, string>();

  constructor(options: ScalingOptions) {
    this.#options = options;
  }

  /** @throws BARCAST_E_RANK when they ended in other weights */
  add(way: Way, ranks: number, round: number, steps: readonly StepFigure[]): void {
    for (const step of steps) {
      const { batch, weightsHash } = step;
      const known = this.#hashes.get(batch) ?? weightsHash;
      if (known !== weightsHash) {
        throw new BarcastError(
          'BARCAST_E_RANK',
          `${ranks} ranks (${way}) ended in other weights than others did, at batch ${batch}`,
          'nothing was timed; report this',
        );
      }
      this.#hashes.set(batch, known);
      const key = `${way} ${ranks} ${batch}`;
      const entry = this.#steps.get(key) ?? { way, ranks, batch, rounds: [] };
      entry.rounds[round] = step;
      this.#steps.set(key, entry);
    }
  }

  addApart(steps: readonly StepFigure[], round: number): void {
    const rates = this.#apart.get(steps.length) ?? [];
    rates[round] = steps.reduce((sum, step) => sum + rateOf(step), 0);
    this.#apart.set(steps.length, rates);
  }

  figures(): ScalingFigure[] {
    const { batch: strong, batchPerRank } = this.#options;
    return [...this.#steps.values()].flatMap(({ way, ranks, batch, rounds }) => {
      const kinds: Kind[] = [
        ...(batch === strong ? (['strong'] as const) : []),
        ...(batch === batchPerRank * ranks ? (['weak'] as const) : []),
      ];
      const over = (of: (step: StepFigure) => number) => median(rounds.map(of));
      const [stepMs, collectiveMs] = [over((step) => step.stepMs), over((step) => step.collectiveMs)];
      const [gradientMs, updateMs] = [over((step) => step.gradientMs), over((step) => step.updateMs)];
      return kinds.map((scaling) => {
        const alone = this.#alone(scaling === 'strong' ? strong : batchPerRank);
        const speedups = rounds.map((step, round) => rateOf(step) / alone[round]);
        return {
          ...{ way, ranks, scaling, batch, sequencesPerSecond: (1000 * batch) / stepMs },
          ...{ speedup: median(speedups), speedups, stepMs, gradientMs, collectiveMs, updateMs },
          collectiveShare: collectiveMs / stepMs,
        };
      });
    });
  }

  bound(): BoundFigure[] {
    const { batch } = this.#options;
    const alone = this.#alone(batch);
    return [...this.#apart].map(([processes, rates]) => {
      const speedups = rates.map((rate, round) => rate / alone[round]);
      return { processes, batch, speedup: median(speedups), speedups };
    });
  }

  /** Sequences a second of one rank in each round. */
  #alone(batch: number): number[] {
    const entry = [...this.#steps.values()].find((one) => one.ranks === 1 && one.batch === batch);
    return (entry?.rounds ?? []).map(rateOf);
  }
}

const rateOf = ({ batch, stepMs }: StepFigure) => (1000 * batch) / stepMs;

export const scalingPlot = (answer: Awaited<ReturnType<typeof benchScaling>>, batchPerRank: number): string =>
  speedupPlot(answer.predictions, `Predicted speedup, LSTM ${answer.units}, batch ${batchPerRank} a node`);
