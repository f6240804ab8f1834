/** The network that the published figures are about, its arithmetic, and inputs to time it on. */
import { Random } from '../src/base/index.ts';
import type { Loss, NetworkShape, OptimizerSettings, TrainingBatch, Windows } from '../src/kernel/index.ts';

/** LSTM H - Dropout 0.2 - Dense 32 ReLU - Dense 1 ReLU on 60 x 2: the reference project's with H = 50. */
export const standardShape = (units: number): NetworkShape => ({
  windowLength: 60,
  features: 2,
  lstm: [units],
  dropout: 0.2,
  dense: [
    { units: 32, activation: 'relu' },
    { units: 1, activation: 'relu' },
  ],
});

/**
 * Floating-point operations of one sequence's forward pass: two for each multiply-add of the gates and the dense
 * layers; element-wise functions are left out. A training step counts three times as much.
 */
export function forwardFlops({ windowLength, features, lstm, dense }: NetworkShape): number {
  let inputs = features;
  let flops = 0;
  for (const units of lstm) {
    flops += windowLength * 2 * 4 * units * (inputs + units);
    inputs = units;
  }
  for (const { units } of dense) {
    flops += 2 * inputs * units;
    inputs = units;
  }
  return flops;
}

export const adam: OptimizerSettings = {
  learningRate: 1e-4,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-7,
  weightDecay: 0,
  clipNorm: 0,
};
const loss: Loss = { kind: 'mse' };

/** Windows of a random feature matrix, one row apart, as windows of a session lie. */
export function windowsOf({ windowLength, features }: NetworkShape, count: number): Windows {
  const random = new Random(1);
  return {
    matrix: Float32Array.from({ length: (count + windowLength) * features }, () => random.uniform()),
    starts: Int32Array.from({ length: count }, (_, i) => i),
    shift: new Float32Array(features),
    gain: new Float32Array(features).fill(1),
    scaleStride: 0,
  };
}

export function batchOf(shape: NetworkShape, count: number, step = 0): TrainingBatch {
  const random = new Random(2);
  const targets = Float32Array.from({ length: count }, () => random.uniform());
  return { ...windowsOf(shape, count), targets, loss, dropoutSeed: 1, step, firstSequence: 0 };
}
