/** Networks, windows and batches made from a seed, for the tests of kernels. */
import { Random } from '../../src/base/index.ts';
import {
  initialWeights,
  type Loss,
  type NetworkShape,
  outputsOf,
  type TrainingBatch,
  type Windows,
} from '../../src/kernel/index.ts';

/** The shape of the reference project: LSTM 50 - Dense 32 ReLU - Dense 1 on 60 x 2. */
export const usualShape: NetworkShape = {
  windowLength: 60,
  features: 2,
  lstm: [50],
  dropout: 0.2,
  dense: [
    { units: 32, activation: 'relu' },
    { units: 1, activation: 'linear' },
  ],
};

/** Large enough to have every part, small enough to be cheap. */
export const smallShape: NetworkShape = {
  windowLength: 7,
  features: 3,
  lstm: [6, 5],
  dropout: 0.3,
  dense: [
    { units: 4, activation: 'relu' },
    { units: 2, activation: 'linear' },
  ],
};

export const shapeOf = (
  windowLength: number,
  features: number,
  lstm: number[],
  dense: number[],
  dropout = 0,
): NetworkShape => ({
  windowLength,
  features,
  lstm,
  dropout,
  dense: dense.map((units, d) => ({ units, activation: d < dense.length - 1 ? 'relu' : 'linear' })),
});

/** Initial weights with biases that are not zero, so that a bias left out is seen. */
export function exampleWeights(shape: NetworkShape, seed: number): Float32Array {
  const random = new Random(seed, 77);
  return initialWeights(shape, seed).map((weight) => weight + 0.1 * random.normal());
}

/**
 * Windows at random rows of a matrix whose columns have levels and sizes of their own, which the scales undo.
 * `perWindow` gives every window a scale of its own.
 */
export function exampleWindows(shape: NetworkShape, sequences: number, seed: number, perWindow = false): Windows {
  const random = new Random(seed, 78);
  const { windowLength, features } = shape;
  const rows = windowLength + sequences;
  const matrix = Float32Array.from(
    { length: rows * features },
    (_, i) => 3 * (i % features) + random.normal() * (1 + (i % features)),
  );
  const scales = perWindow ? sequences : 1;
  const column = Array.from({ length: scales * features }, (_, i) => i % features);
  return {
    matrix,
    starts: Int32Array.from({ length: sequences }, () => random.below(rows - windowLength + 1)),
    shift: Float32Array.from(column, (f) => 3 * f + 0.2 * random.normal()),
    gain: Float32Array.from(column, (f) => (0.5 + random.uniform()) / (1 + f)),
    scaleStride: perWindow ? features : 0,
  };
}

export function exampleBatch(
  shape: NetworkShape,
  sequences: number,
  seed: number,
  loss: Loss = { kind: 'mse' },
  perWindow = false,
): TrainingBatch {
  const random = new Random(seed, 79);
  return {
    ...exampleWindows(shape, sequences, seed, perWindow),
    targets: Float32Array.from({ length: sequences * outputsOf(shape) }, () => random.normal()),
    loss,
    dropoutSeed: seed + 1000,
    step: seed + 5,
    firstSequence: 0,
  };
}

/** The windows over their matrix's first columns alone, and over one that has ones for the rest. */
export function withColumns<W extends Windows>(shape: NetworkShape, windows: W, columns: number) {
  const { features } = shape;
  const rows = windows.matrix.length / features;
  const at = (i: number) => windows.matrix[Math.floor(i / columns) * features + (i % columns)];
  return {
    narrow: { ...windows, matrix: Float32Array.from({ length: rows * columns }, (_, i) => at(i)), columns },
    whole: { ...windows, matrix: windows.matrix.map((x, i) => (i % features < columns ? x : 1)) },
  };
}

/** Sequences `from` to `to` of a batch as a batch of its own, as a rank would get them. */
export function partOf(shape: NetworkShape, batch: TrainingBatch, from: number, to: number): TrainingBatch {
  const outputs = outputsOf(shape);
  const scale = (array: Float32Array) =>
    batch.scaleStride === 0 ? array : array.slice(from * batch.scaleStride, to * batch.scaleStride);
  return {
    ...batch,
    starts: batch.starts.slice(from, to),
    targets: batch.targets.slice(from * outputs, to * outputs),
    shift: scale(batch.shift),
    gain: scale(batch.gain),
    firstSequence: batch.firstSequence + from,
  };
}
