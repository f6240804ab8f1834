/**
 * The WebGPU kernel on Lavapipe, a second kind of adapter whose subgroups are wider than SwiftShader's and which has
 * half precision: the suite of all kernels in half precision, and what float16 alone brings, small and large gradients.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  GRADIENT_SCALE,
  type GradientSums,
  type KernelNetwork,
  parametersOf,
  referenceKernel,
  type TrainingBatch,
} from '../../src/kernel/index.ts';
import { possibleCuts } from '../../src/kernel/webgpu/cut.ts';
import { assertGradientsAgree, kernelAgreement } from './conformance.ts';
import { kernelBehaviour } from './conformance-behaviour.ts';
import { kernelRefusals } from './conformance-refusals.ts';
import { exampleBatch, exampleWeights, partOf, shapeOf, smallShape } from './examples.ts';
import { adam, bitsOf, describeKernel, refuses, stateBits, withNetwork } from './support.ts';
import { offerLavapipe } from './webgpu-support.ts';

const offerHalf = () => offerLavapipe({ half: true });

// Lavapipe compiles the shaders of a shape for seconds: one shape in full precision, which SwiftShader has all of.
kernelAgreement('webgpu on another adapter', () => offerLavapipe(), { cases: [9] });
kernelBehaviour('webgpu-f16', offerHalf);
kernelRefusals('webgpu-f16', offerHalf);
kernelAgreement('webgpu-f16', offerHalf, { cases: [1, 5] });

/** Windows of zeros leave a network without biases at zero: its gradient grows with its weights alone, at every step. */
const growing = shapeOf(9, 2, [2], [1]);
function growingWeights(recurrent: number): Float32Array {
  const weights = exampleWeights(growing, 1);
  for (const { name, offset, length } of parametersOf(growing)) {
    if (name.endsWith('bias')) weights.fill(0, offset, offset + length);
    // The cell gate of each unit hears of its own unit alone.
    if (name === 'lstm.0.recurrent') {
      weights.fill(0, offset, offset + length);
      for (let unit = 0; unit < 2; unit++) weights[offset + unit * 8 + 4 + unit] = recurrent;
    }
  }
  return weights;
}
/** Its first tile's windows are zeros, whose gradient grows; its second's are not. */
function growingBatch(): TrainingBatch {
  const batch = exampleBatch(growing, 64, 2);
  const { windowLength: T, features: F } = growing;
  const matrix = new Float32Array(3 * T * F).fill(0);
  matrix.fill(2, 2 * T * F);
  const starts = Int32Array.from({ length: 64 }, (_, b) => (b < 32 ? b % T : 2 * T));
  const targets = batch.targets.map((target) => 0.01 * target);
  return { ...batch, targets, matrix, starts, shift: new Float32Array(F), gain: new Float32Array(F).fill(1) };
}

describeKernel('webgpu-f16: the loss scale', offerHalf, (test) => {
  test('keeps a gradient that float16 alone would lose', async (kernel) => {
    // Far from its targets, each output's slope is delta.
    const batch = exampleBatch(growing, 64, 4, { kind: 'huber', delta: 1e-6 });
    const found: GradientSums[] = [];
    for (const each of [kernel, referenceKernel()]) {
      found.push(await withNetwork(each, growing, 3, (network) => network.gradient(batch)));
    }
    assertGradientsAgree(growing, found[0], found[1], kernel.tolerance);
  });

  test('backs off where a gradient grows beyond float16, tile by tile', async (kernel) => {
    const batch = growingBatch();
    const weights = growingWeights(24);
    const own = await kernel.createNetwork(growing, weights);
    const reference = await referenceKernel().createNetwork(growing, weights);
    const gradient = await own.gradient(batch);
    const expected = await reference.gradient(batch);
    // The scale brings the last step's to 2^8 or more, so that the first step's leave float16 twice.
    assert.ok((24 / 4) ** (growing.windowLength - 1) > 2 ** 17);
    assertGradientsAgree(growing, gradient, expected, kernel.tolerance);
    const parts: BigInt64Array[] = [];
    for (const [from, to] of [
      [0, 32],
      [32, 64],
    ]) {
      parts.push((await own.gradient(partOf(growing, batch, from, to))).sums);
    }
    assert.deepEqual(
      parts[0].map((sum, p) => sum + parts[1][p]),
      gradient.sums,
    );
    const apart = await kernel.createNetwork(growing, weights);
    const loss = await apart.trainStep(batch, adam);
    await own.update(gradient, adam);
    assert.deepEqual(await stateBits(apart), await stateBits(own));
    assert.equal(loss, Number(gradient.sums.at(-1)) / GRADIENT_SCALE / 64);
    for (const network of [own, reference, apart]) network.close();
  });

  test('a gradient without bounds is a divergence, and changes nothing', async (kernel) => {
    const network = await kernel.createNetwork(growing, growingWeights(6e4));
    const before = await stateBits(network);
    await refuses('BARCAST_E_DIVERGED', () => network.gradient(growingBatch()));
    await refuses('BARCAST_E_DIVERGED', () => network.trainStep(growingBatch(), adam));
    assert.deepEqual(await stateBits(network), before);
    network.close();
  });

  test('a weight beyond float16 is refused, and so is an update to one', async (kernel) => {
    const weights = exampleWeights(growing, 1);
    const large = weights.map((weight, index) => (index === 3 ? 7e4 : weight));
    await refuses('BARCAST_E_NOT_FINITE', () => kernel.createNetwork(growing, large));
    await withNetwork(kernel, growing, 1, async (network) => {
      await refuses('BARCAST_E_NOT_FINITE', () => network.writeWeights(large));
      await refuses('BARCAST_E_DIVERGED', () => network.trainStep(growingBatch(), { ...adam, learningRate: 1e6 }));
      await network.trainStep(growingBatch(), adam);
    });
  });
});

describeKernel('webgpu-f16: two devices as two ranks', offerHalf, (test) => {
  test('train to the bits of one device with the whole batch', async (one, t) => {
    const offered = await offerHalf();
    if ('unavailable' in offered) return t.skip(`no kernel: ${offered.unavailable}`);
    const two = offered.kernel;
    const weights = exampleWeights(smallShape, 3);
    const networks: KernelNetwork[] = [];
    for (const kernel of [one, one, two]) networks.push(await kernel.createNetwork(smallShape, weights));
    const [alone, ...ranks] = networks;
    for (let step = 0; step < 5; step++) {
      const batch = { ...exampleBatch(smallShape, 100, 4), step };
      await alone.trainStep(batch, adam);
      const parts = [partOf(smallShape, batch, 0, 64), partOf(smallShape, batch, 64, 100)];
      const gradients = await Promise.all(ranks.map((rank, r) => rank.gradient(parts[r])));
      const sums = gradients[0].sums.map((sum, p) => sum + gradients[1].sums[p]);
      await Promise.all(ranks.map((rank) => rank.update({ sums, sequences: 100 }, adam)));
    }
    for (const rank of ranks) assert.deepEqual(await stateBits(rank), await stateBits(alone));
    for (const network of networks) network.close();
    two.close();
  });
});

it('webgpu-f16: states that cross in subgroups of 8 give the same bits', async (t) => {
  const found = [];
  for (const shuffled of [false, true]) {
    const offered = await offerLavapipe({
      half: true,
      cut: (layer, direction, facts) =>
        possibleCuts(layer, direction, facts).find(
          (cut) => cut.shuffled === shuffled && cut.sequences === 4 && cut.groups === 1 && cut.resident,
        )!,
    });
    if ('unavailable' in offered) return t.skip(`no kernel: ${offered.unavailable}`);
    // Two subgroups, the second of three lanes alone.
    const shape = shapeOf(5, 2, [11], [1]);
    found.push(
      await withNetwork(offered.kernel, shape, 1, async (network) => ({
        outputs: bitsOf(await network.forward(exampleBatch(shape, 40, 2))),
        gradient: await network.gradient(exampleBatch(shape, 40, 2)),
      })),
    );
    offered.kernel.close();
  }
  assert.deepEqual(found[1], found[0]);
});
