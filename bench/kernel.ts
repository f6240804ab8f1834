/**
 * The native kernel's figures on this machine: `node bench/kernel.ts [threads]`.
 *
 * Each shape's answers are checked against the reference kernel first. Then, after a warm-up, medians of repeated calls
 * and the spread (10th to 90th percentile), and the share of the multiply-add peak measured right before. A training
 * sequence counts as three forward passes, a forward pass as 2 T 4H (I + H) operations a layer.
 */
import os from 'node:os';
import {
  initialWeights,
  type Kernel,
  type KernelNetwork,
  type NetworkShape,
  referenceKernel,
  type TrainingBatch,
} from '../src/kernel/index.ts';
import { measureFmaPeak, offerNative } from '../src/kernel/native.ts';

const adam = { learningRate: 1e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weightDecay: 0, clipNorm: 0 };

const shapeOf = (units: number): NetworkShape => ({
  windowLength: 60,
  features: 2,
  lstm: [units],
  dropout: 0.2,
  dense: [
    { units: 32, activation: 'relu' },
    { units: 1, activation: 'linear' },
  ],
});

const flopsOf = ({ windowLength, features, lstm: [units] }: NetworkShape) =>
  8 * windowLength * units * (units + features);

function batchOf({ windowLength, features }: NetworkShape, sequences: number): TrainingBatch {
  const rows = sequences + windowLength;
  return {
    matrix: Float32Array.from({ length: rows * features }, (_, i) => Math.sin(i * 1.7)),
    starts: Int32Array.from({ length: sequences }, (_, i) => i),
    shift: new Float32Array(features),
    gain: new Float32Array(features).fill(1),
    scaleStride: 0,
    targets: Float32Array.from({ length: sequences }, (_, i) => Math.cos(i)),
    loss: { kind: 'mse' },
    dropoutSeed: 1,
    step: 0,
    firstSequence: 0,
  };
}

/** Milliseconds of repeated calls over about a second, after three to warm up. */
async function time(work: () => Promise<unknown>) {
  for (let i = 0; i < 3; i++) await work();
  const times: number[] = [];
  for (const end = performance.now() + 1000; performance.now() < end || times.length < 5; ) {
    const begin = performance.now();
    await work();
    times.push(performance.now() - begin);
  }
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor(share * (times.length - 1))];
  return { median: at(0.5), low: at(0.1), high: at(0.9) };
}

async function checked(kernel: Kernel, shape: NetworkShape): Promise<KernelNetwork> {
  const weights = initialWeights(shape, 1);
  const network = await kernel.createNetwork(shape, weights);
  const reference = await referenceKernel().createNetwork(shape, weights);
  const windows = batchOf(shape, 40);
  const [actual, expected] = [await network.forward(windows), await reference.forward(windows)];
  const worst = Math.max(...actual.map((value, i) => Math.abs(value - expected[i])));
  if (!(worst < 1e-5)) throw new Error(`differs from the reference by ${worst}`);
  return network;
}

const round = (value: number, digits = 3) => Number(value.toPrecision(digits));
const threads = Number(process.argv[2] ?? os.availableParallelism());
const offer = await offerNative({ threads });
if ('unavailable' in offer) throw new Error(offer.unavailable);
const { kernel } = offer;
console.log(
  JSON.stringify({ machine: os.cpus()[0].model, kernel: kernel.description, date: new Date().toISOString() }),
);
const plan: [units: number, training: number[], inference: number[]][] = [
  [50, [32, 128, 256, 512, 1024], [1, 32, 500, 12000]],
  [32, [256], [500]],
  [64, [256], [500]],
  [128, [256], [500]],
  [256, [256], [500]],
];
for (const [units, training, inference] of plan) {
  const shape = shapeOf(units);
  const network = await checked(kernel, shape);
  for (const [what, sizes] of Object.entries({ train: training, infer: inference })) {
    for (const sequences of sizes) {
      const batch = batchOf(shape, sequences);
      const peak = await measureFmaPeak(threads);
      const train = what === 'train';
      const ms = await time(() => (train ? network.trainStep(batch, adam) : network.forward(batch)));
      const gflops = (sequences * flopsOf(shape) * (train ? 3 : 1)) / ms.median / 1e6;
      const figures = {
        ms: round(ms.median),
        from: round(ms.low),
        to: round(ms.high),
        gflops: round(gflops),
        peak: round(peak),
      };
      const rate = { sequencesPerSecond: Math.round((sequences / ms.median) * 1000), share: round(gflops / peak, 2) };
      console.log(JSON.stringify({ what, units, sequences, ...figures, ...rate }));
    }
  }
  network.close();
}
kernel.close();
