/** Two questions about a kernel on this machine, answered in a second: is it right, and how fast is it? */
import { Random } from '../base/index.ts';
import type { Kernel, NetworkShape, TrainingBatch } from './kernel.ts';
import { FLOAT32_TOLERANCE, GRADIENT_SCALE } from './kernel.ts';
import { initialWeights, parametersOf } from './parameters.ts';
import { referenceKernel } from './reference.ts';

const checked: NetworkShape = {
  windowLength: 12,
  features: 3,
  lstm: [11, 7],
  dropout: 0.2,
  dense: [
    { units: 5, activation: 'relu' },
    { units: 2, activation: 'linear' },
  ],
};
const timed: NetworkShape = { ...checked, windowLength: 60, features: 2, lstm: [50] };
const TIMED_SEQUENCES = 1024;

/** @param columns features that the matrix holds */
function batchOf({ windowLength, features }: NetworkShape, sequences: number, columns = features): TrainingBatch {
  const random = new Random(3);
  return {
    matrix: Float32Array.from({ length: (sequences + windowLength) * columns }, () => random.normal()),
    columns,
    starts: Int32Array.from({ length: sequences }, (_, b) => b),
    shift: new Float32Array(features).fill(0.1),
    gain: new Float32Array(features).fill(0.9),
    scaleStride: 0,
    targets: Float32Array.from({ length: 2 * sequences }, () => random.normal()),
    loss: { kind: 'mse' },
    dropoutSeed: 5,
    step: 1,
    firstSequence: 0,
  };
}

/** Largest difference, of the largest number expected. */
function difference(found: ArrayLike<number>, expected: ArrayLike<number>, from: number, to: number): number {
  let most = 0;
  let largest = 1e-6;
  for (let i = from; i < to; i++) {
    const own = Math.abs(found[i] - expected[i]);
    most = own <= most ? most : own;
    largest = Math.max(largest, Math.abs(expected[i]));
  }
  return most / largest;
}

/** What differs from the reference by more than float32 explains, for a message; nothing where all agrees. */
export async function selfCheck(kernel: Kernel): Promise<string | undefined> {
  const weights = initialWeights(checked, 1);
  const batch = batchOf(checked, 37, checked.features - 1);
  const answers = [];
  for (const each of [kernel, referenceKernel()]) {
    const network = await each.createNetwork(checked, weights);
    try {
      const outputs = await network.forward(batch);
      const { sums } = await network.gradient(batch);
      answers.push({ outputs, gradient: Array.from(sums, (sum) => Number(sum) / GRADIENT_SCALE) });
    } finally {
      network.close();
    }
  }
  const { tolerance = FLOAT32_TOLERANCE } = kernel;
  const [found, expected] = answers;
  const outputs = difference(found.outputs, expected.outputs, 0, expected.outputs.length);
  if (!(outputs <= tolerance.outputs)) return `its outputs are off by ${outputs.toExponential(1)}`;
  for (const { name, offset, length } of parametersOf(checked)) {
    const gradient = difference(found.gradient, expected.gradient, offset, offset + length);
    if (!(gradient <= tolerance.gradients)) return `the gradient of ${name} is off by ${gradient.toExponential(1)}`;
  }
  return undefined;
}

/** Sequences a second of gradients of the usual network: the best of three after one that does not count. */
export async function raceTime(kernel: Kernel): Promise<number> {
  const network = await kernel.createNetwork(timed, initialWeights(timed, 1));
  try {
    const batch = batchOf(timed, TIMED_SEQUENCES);
    let best = Number.POSITIVE_INFINITY;
    for (let run = 0; run < 4; run++) {
      const before = performance.now();
      await network.gradient(batch);
      if (run > 0) best = Math.min(best, performance.now() - before);
    }
    return Math.round((1000 * TIMED_SEQUENCES) / best);
  } finally {
    network.close();
  }
}
