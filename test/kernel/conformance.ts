/**
 * The suite that every kernel passes: {@link kernelBehaviour}, {@link kernelRefusals}, and agreement with the reference kernel on shapes
 * across the limits of `kernel.ts`.
 *
 * Tolerances are the kernel's own, for float32: outputs within 1e-5 of the largest output, the gradient of every named
 * parameter within 1e-4 of its largest element, the loss within 1e-5 of itself.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  FLOAT32_TOLERANCE,
  GRADIENT_SCALE,
  type GradientSums,
  type Kernel,
  type KernelNetwork,
  type KernelTolerance,
  type Loss,
  type NetworkShape,
  parametersOf,
  referenceKernel,
  type TrainingBatch,
} from '../../src/kernel/index.ts';
import { kernelBehaviour } from './conformance-behaviour.ts';
import { kernelRefusals } from './conformance-refusals.ts';
import { exampleBatch, exampleWindows, shapeOf, usualShape, withColumns } from './examples.ts';
import { assertClose, assertNear, bitsOf, describeKernel, type OfferKernel, withNetwork } from './support.ts';

/** Sizes to go through, for kernels that take long to get ready for a shape. */
export interface ConformanceSizes {
  /** Hidden units; 1 to 35 when absent. */
  readonly hidden?: readonly number[];
  /** Which of the shapes, and those alone; everything when absent. */
  readonly cases?: readonly number[];
}

/** Runs everything on the offered kernel; where there is none, every case is skipped with the reason. */
export function kernelConformance(name: string, offer: OfferKernel, sizes: ConformanceSizes = {}): void {
  kernelBehaviour(name, offer);
  kernelRefusals(name, offer);
  kernelAgreement(name, offer, sizes);
}

const mse: Loss = { kind: 'mse' };
const huber: Loss = { kind: 'huber', delta: 0.6 };
const pinball = (...levels: number[]): Loss => ({ kind: 'pinball', levels });

/** Shape, sequences, loss, and whether each window has a scale of its own. */
const cases: [NetworkShape, number, Loss, boolean][] = [
  [usualShape, 100, mse, false],
  [usualShape, 33, huber, true],
  [shapeOf(1, 1, [1], [1]), 1, mse, false],
  [shapeOf(2, 1, [1, 1, 1], [1]), 31, huber, true],
  [shapeOf(1, 32, [3], [2]), 32, pinball(0.1, 0.9), true],
  [shapeOf(17, 5, [3, 4], [7, 3], 0.5), 33, pinball(0.1, 0.5, 0.9), false],
  [shapeOf(30, 13, [32], [1]), 100, huber, true],
  [shapeOf(12, 2, [32, 50], [16, 8, 4, 2], 0.1), 40, mse, false],
  [shapeOf(9, 7, [33, 17, 5], [9, 1], 0.25), 65, mse, true],
  [shapeOf(512, 2, [3], [1]), 31, mse, false],
  [shapeOf(256, 1, [32], [4, 1]), 2, huber, false],
  [shapeOf(4, 3, [256], [256, 1], 0.2), 33, mse, false],
  [shapeOf(3, 32, [128, 64], [33, 5]), 32, mse, true],
  [
    {
      ...shapeOf(10, 4, [16], [8, 3]),
      dense: [
        { units: 8, activation: 'linear' },
        { units: 3, activation: 'relu' },
      ],
    },
    50,
    mse,
    false,
  ],
];

const describeCase = (shape: NetworkShape, sequences: number, loss: Loss, perWindow: boolean) =>
  `T ${shape.windowLength}, F ${shape.features}, LSTM ${shape.lstm.join('-')}, dropout ${shape.dropout}, dense ` +
  `${shape.dense.map(({ units, activation }) => `${units} ${activation}`).join('-')}, B ${sequences}, ${loss.kind}` +
  (perWindow ? ', a scale a window' : '');

export function kernelAgreement(name: string, offer: OfferKernel, sizes: ConformanceSizes): void {
  const hidden = sizes.hidden ?? Array.from({ length: 35 }, (_, index) => index + 1);
  const reference = referenceKernel();
  /** The same work on both kernels, from the same weights. */
  const onBoth = async <T>(
    kernel: Parameters<typeof withNetwork>[0],
    shape: NetworkShape,
    seed: number,
    work: (network: KernelNetwork) => Promise<T>,
  ) => ({
    actual: await withNetwork(kernel, shape, seed, work),
    expected: await withNetwork(reference, shape, seed, work),
  });

  describeKernel(`${name} kernel: agrees with the reference`, offer, (test) => {
    cases.forEach(([shape, sequences, loss, perWindow], index) => {
      if (sizes.cases?.includes(index) === false) return;
      test(describeCase(shape, sequences, loss, perWindow), async (kernel) => {
        const batch = { ...exampleBatch(shape, sequences, 100 + index, loss, perWindow), firstSequence: 32 * index };
        const { actual, expected } = await onBoth(kernel, shape, 200 + index, async (network) => ({
          outputs: await network.forward(batch),
          gradient: await network.gradient(batch),
        }));
        assertClose(actual.outputs, expected.outputs, toleranceOf(kernel).outputs, 'output');
        assertGradientsAgree(shape, actual.gradient, expected.gradient, toleranceOf(kernel));
      });
    });

    if (sizes.cases) return;

    test('every small number of sequences', async (kernel) => {
      const shape = shapeOf(5, 2, [9], [3, 1], 0.3);
      for (const sequences of [1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65]) {
        const batch = exampleBatch(shape, sequences, 300 + sequences);
        const { actual, expected } = await onBoth(kernel, shape, 301, async (network) => ({
          outputs: await network.forward(batch),
          gradient: await network.gradient(batch),
        }));
        assertClose(actual.outputs, expected.outputs, toleranceOf(kernel).outputs, `B ${sequences}: output`);
        assertGradientsAgree(shape, actual.gradient, expected.gradient, toleranceOf(kernel));
      }
    });

    test('a matrix of the first 14 of 23 features', async (kernel) => {
      const shape = shapeOf(9, 23, [17, 5], [6, 2], 0.2);
      for (const sequences of [1, 9, 64, 75]) {
        const batch = exampleBatch(shape, sequences, 450, huber, sequences !== 64);
        const { narrow, whole } = withColumns(shape, batch, 14);
        const work = async (network: KernelNetwork, each: TrainingBatch) => ({
          outputs: await network.forward(each),
          gradient: await network.gradient(each),
        });
        const { actual, expected } = await onBoth(kernel, shape, 451, (network) => work(network, narrow));
        assertClose(actual.outputs, expected.outputs, toleranceOf(kernel).outputs, `B ${sequences}: output`);
        assertGradientsAgree(shape, actual.gradient, expected.gradient, toleranceOf(kernel));
        const withOnes = await withNetwork(kernel, shape, 451, (network) => work(network, whole));
        assert.deepEqual(bitsOf(actual.outputs), bitsOf(withOnes.outputs));
        assert.deepEqual(actual.gradient, withOnes.gradient);
      }
    });

    test('every small hidden size', async (kernel) => {
      for (const units of hidden) {
        const shape = shapeOf(4, 1 + (units % 5), [units], [1]);
        const batch = exampleBatch(shape, 3, 400 + units);
        const { actual, expected } = await onBoth(kernel, shape, 401, async (network) => ({
          outputs: await network.forward(batch),
          gradient: await network.gradient(batch),
        }));
        assertClose(actual.outputs, expected.outputs, toleranceOf(kernel).outputs, `H ${units}: output`);
        assertGradientsAgree(shape, actual.gradient, expected.gradient, toleranceOf(kernel));
      }
    });

    test('inputs far beyond what the gates resolve', async (kernel) => {
      const shape = shapeOf(6, 2, [8], [1]);
      const windows = { ...exampleWindows(shape, 33, 500), gain: Float32Array.of(1e4, -1e6) };
      const { actual, expected } = await onBoth(kernel, shape, 501, (network) => network.forward(windows));
      assertClose(actual, expected, toleranceOf(kernel).outputs, 'output');
    });

    test('thirty steps of training end at the same loss', async (kernel) => {
      const shape = shapeOf(8, 3, [12], [6, 2], 0.2);
      const settings = { learningRate: 0.003, beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weightDecay: 0.01, clipNorm: 1 };
      const { actual, expected } = await onBoth(kernel, shape, 600, async (network) => {
        const losses = [];
        for (let step = 0; step < 30; step++) {
          losses.push(await network.trainStep({ ...exampleBatch(shape, 40, 601, huber), step }, settings));
        }
        return losses;
      });
      assertClose(actual, expected, 1e-3, 'loss of step');
    });
  });
}

const toleranceOf = ({ tolerance = FLOAT32_TOLERANCE }: Kernel) => tolerance;

export function assertGradientsAgree(
  shape: NetworkShape,
  actual: GradientSums,
  expected: GradientSums,
  tolerance: KernelTolerance = FLOAT32_TOLERANCE,
): void {
  assert.equal(actual.sequences, expected.sequences);
  const mean = ({ sums, sequences }: GradientSums) =>
    Array.from(sums, (sum) => Number(sum) / GRADIENT_SCALE / sequences);
  const [actualMean, expectedMean] = [mean(actual), mean(expected)];
  for (const { name, offset, length } of parametersOf(shape)) {
    const block = (values: number[]) => values.slice(offset, offset + length);
    assertClose(block(actualMean), block(expectedMean), tolerance.gradients, name);
  }
  const loss = expectedMean.at(-1)!;
  assertNear(actualMean.at(-1)!, loss, tolerance.outputs * loss, 'loss');
}

/** Several kernels (one on one thread, one on two) train to exactly the same bits. Skipped where one is unavailable. */
export function kernelsGiveSameBits(title: string, offers: readonly OfferKernel[]): void {
  it(title, async (t) => {
    const settings = { learningRate: 0.003, beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weightDecay: 0.01, clipNorm: 0.1 };
    const ends: { weights: Float32Array; m: Float32Array; v: Float32Array }[] = [];
    for (const offer of offers) {
      const offered = await offer();
      if ('unavailable' in offered) return t.skip(`no kernel: ${offered.unavailable}`);
      const end = await withNetwork(offered.kernel, usualShape, 700, async (network) => {
        for (let step = 0; step < 20; step++)
          await network.trainStep(exampleBatch(usualShape, 100, 701 + step), settings);
        const { m, v } = await network.readOptimizer();
        return { weights: await network.readWeights(), m, v };
      });
      offered.kernel.close();
      ends.push(end);
    }
    for (const end of ends.slice(1)) assert.deepEqual(end, ends[0]);
  });
}
