/** A small training that is quickly learned, for tests of the loop. */
import { Random, silentProgress } from '../../src/base/index.ts';
import { selectWindows, type TrainingDefaults, type WindowSet } from '../../src/features/index.ts';
import type { Kernel, NetworkShape } from '../../src/kernel/index.ts';
import { type LoadedShard, shardInMemory, type TrainingRun } from '../../src/train/index.ts';

const T = 6;
const F = 2;
export const shape: NetworkShape = {
  windowLength: T,
  features: F,
  lstm: [4],
  dropout: 0.2,
  dense: [{ units: 1, activation: 'linear' }],
};
export const settings: TrainingDefaults = {
  epochs: 3,
  batch: 48,
  loss: { kind: 'mse' },
  optimizer: { learningRate: 0.02, beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weightDecay: 0, clipNorm: 1 },
  validationSplit: 'chronological',
  validationShare: 0.2,
  patience: 0,
  schedule: 'cosine',
};

/** Windows whose target is the mean of their first feature: easy to learn. */
function sample(): LoadedShard & { validation: Int32Array } {
  const random = new Random(9);
  const count = 250;
  const rows = count + T;
  const matrix = Float32Array.from({ length: rows * F }, () => random.normal());
  const targets = Float32Array.from({ length: count }, (_, w) => {
    let sum = 0;
    for (let t = 0; t < T; t++) sum += matrix[(w + t) * F];
    return sum / T;
  });
  const flat = (value: number) => new Float64Array(count).fill(value);
  const windows: WindowSet = {
    recipe: 'returns',
    symbols: ['A'],
    symbol: new Int32Array(count),
    asOf: Int32Array.from({ length: count }, (_, w) => w + T),
    lastClose: flat(1),
    targetClose: flat(1),
    volatility: flat(1),
    matrix,
    starts: Int32Array.from({ length: count }, (_, w) => w),
    flows: new Float32Array(0),
    scaling: {
      columns: F,
      shift: new Float32Array(F),
      gain: new Float32Array(F).fill(1),
      width: 2 * F,
      ownShifts: Int32Array.from({ length: 2 * F }, (_, i) => i >> 1),
      ownGains: Int32Array.from({ length: 2 * F }, (_, i) => (i >> 1) + (i % 2) * F),
    },
    scales: Float32Array.from({ length: 2 * count * F }, (_, i) => 0.1 * random.normal() + (i % (2 * F) < F ? 0 : 1)),
  };
  const indices = Int32Array.from({ length: count }, (_, w) => w);
  return { windows, targets, training: indices.subarray(0, 200), validation: indices.subarray(200) };
}

export const data = sample();
export const baseRun = (kernel: Kernel): TrainingRun => ({
  kernel,
  shape,
  shards: shardInMemory(data),
  validation: {
    windows: selectWindows(data.windows, data.validation),
    targets: Float32Array.from(data.validation, (window) => data.targets[window]),
  },
  settings,
  seed: 5,
  identity: { run: 'this' },
  checkpointEveryMs: Number.POSITIVE_INFINITY,
  progress: silentProgress,
});
