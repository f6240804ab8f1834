/**
 * One epoch of the reference project's size, 775,248 sequences, through the whole training loop: sampling, steps,
 * validation, checkpoints. `node bench/epoch.ts [BATCH] [THREADS] [THREAD_RANKS]`
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentProgress } from '../src/base/index.ts';
import { recipeOf, scaledAlike, type WindowSet } from '../src/features/index.ts';
import { chooseKernel } from '../src/kernel/index.ts';
import { CheckpointFile, runTraining, shardInMemory, type TrainingRun, trainOnThreads } from '../src/train/index.ts';
import { adam, batchOf, standardShape, windowsOf } from './standard-model.ts';
import { circumstances } from './timing.ts';

const SEQUENCES = 775_248;
const VALIDATION = 20_000;

const [batch, threads, ranks] = [512, 2, 1].map((usual, i) => Number(process.argv[2 + i] ?? usual));
const shape = standardShape(50);

function windowSet(count: number): WindowSet {
  const flat = () => new Float64Array(count);
  const whole = () => new Int32Array(count);
  const rest = { symbol: whole(), asOf: whole(), lastClose: flat(), targetClose: flat(), volatility: flat() };
  const { matrix, starts, shift, gain } = windowsOf(shape, count);
  const none = new Float32Array(0);
  const scales = { scaling: scaledAlike(shift, gain), scales: none };
  return { matrix, starts, ...scales, flows: none, ...rest, recipe: 'cs205', symbols: ['A'] };
}

const kernel = await chooseKernel({ kernel: 'auto', threads: ranks > 1 ? 1 : threads });
const folder = mkdtempSync(join(tmpdir(), 'barcast-epoch-'));
const targets = (count: number) => batchOf(shape, count).targets;
const run: TrainingRun = {
  kernel,
  shape,
  shards: shardInMemory({
    windows: windowSet(SEQUENCES),
    targets: targets(SEQUENCES),
    training: Int32Array.from({ length: SEQUENCES }, (_, i) => i),
  }),
  validation: { windows: windowSet(VALIDATION), targets: targets(VALIDATION) },
  settings: { ...recipeOf('cs205').training, epochs: 1, batch, optimizer: adam },
  seed: 1,
  identity: {},
  checkpoint: new CheckpointFile(join(folder, 'checkpoint.safetensors')),
  checkpointEveryMs: 15_000,
  progress: silentProgress,
};
try {
  const { seconds, steps, times } = await (ranks > 1 ? trainOnThreads(run, ranks) : runTraining(run));
  const rate = Math.round(SEQUENCES / seconds);
  const answer = { seconds, steps, batch, threads, ranks, sequencesPerSecond: rate, times, ...circumstances() };
  process.stdout.write(`${JSON.stringify(answer)}\n`);
} finally {
  kernel.close();
  rmSync(folder, { recursive: true });
}
