/** The WebGPU kernel passes the suite of all kernels, on a software GPU. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { GradientSums, KernelNetwork } from '../../src/kernel/index.ts';
import { type Cut, possibleCuts } from '../../src/kernel/webgpu/cut.ts';
import { kernelConformance } from './conformance.ts';
import { exampleBatch, exampleWeights, partOf, smallShape } from './examples.ts';
import { adam, bitsOf, describeKernel, stateBits, withNetwork } from './support.ts';
import { offerTested } from './webgpu-support.ts';

// SwiftShader compiles the shaders of a shape for half a second.
kernelConformance('webgpu', () => offerTested(), { hidden: [1, 3, 8, 31, 33, 35] });

it('webgpu: every cut of the workgroups gives the same bits', async (t) => {
  const found: { outputs: Uint32Array; gradient: GradientSums }[] = [];
  // One of each kind: sequences and units a thread, groups, where the weights lie, and how states cross.
  const kinds: Partial<Cut>[] = [
    { sequences: 8, groups: 4, units: 1, resident: true },
    { sequences: 4, groups: 2, resident: false },
    { sequences: 16, groups: 1, resident: true },
    { sequences: 8, units: 2, groups: 2, resident: true },
    { sequences: 4, shuffled: true, resident: true },
    { sequences: 8, units: 2, shuffled: true, resident: false },
  ];
  for (const kind of kinds) {
    const offered = await offerTested({
      cut: (layer, direction, facts) =>
        possibleCuts(layer, direction, facts).find((cut) =>
          Object.entries({ shuffled: false, ...kind }).every(([key, value]) => cut[key as keyof Cut] === value),
        )!,
    });
    if ('unavailable' in offered) return t.skip(`no kernel: ${offered.unavailable}`);
    const shape = { ...smallShape, lstm: [6] };
    const batch = exampleBatch(shape, 70, 2);
    found.push(
      await withNetwork(offered.kernel, shape, 1, async (network) => ({
        outputs: bitsOf(await network.forward(batch)),
        gradient: await network.gradient(batch),
      })),
    );
    offered.kernel.close();
  }
  for (const other of found.slice(1)) assert.deepEqual(other, found[0]);
});

it('webgpu: a batch in many chunks gives the bits of one', async (t) => {
  const found = [];
  for (const chunkBytes of [undefined, 1]) {
    const offered = await offerTested({ chunkBytes });
    if ('unavailable' in offered) return t.skip(`no kernel: ${offered.unavailable}`);
    const batch = exampleBatch(smallShape, 140, 2, { kind: 'pinball', levels: [0.2, 0.7] }, true);
    found.push(
      await withNetwork(offered.kernel, smallShape, 1, async (network) => ({
        outputs: bitsOf(await network.forward(batch)),
        gradient: await network.gradient(batch),
        loss: await network.trainStep(batch, adam),
        state: await stateBits(network),
      })),
    );
    offered.kernel.close();
  }
  assert.deepEqual(found[1], found[0]);
});

describeKernel(
  'webgpu: two devices as two ranks',
  () => offerTested(),
  (test) => {
    test('train to the bits of one device with the whole batch', async (one, t) => {
      const offered = await offerTested();
      if ('unavailable' in offered) return t.skip(`no kernel: ${offered.unavailable}`);
      const two = offered.kernel;
      const settings = { ...adam, clipNorm: 0.5, weightDecay: 0.01 };
      const weights = exampleWeights(smallShape, 3);
      const networks: KernelNetwork[] = [];
      for (const kernel of [one, one, two]) networks.push(await kernel.createNetwork(smallShape, weights));
      const [alone, ...ranks] = networks;
      for (let step = 0; step < 10; step++) {
        const batch = { ...exampleBatch(smallShape, 100, 4), step };
        await alone.trainStep(batch, settings);
        const parts = [partOf(smallShape, batch, 0, 64), partOf(smallShape, batch, 64, 100)];
        const gradients = await Promise.all(ranks.map((rank, r) => rank.gradient(parts[r])));
        const sums = gradients[0].sums.map((sum, p) => sum + gradients[1].sums[p]);
        await Promise.all(ranks.map((rank) => rank.update({ sums, sequences: 100 }, settings)));
      }
      for (const rank of ranks) assert.deepEqual(await stateBits(rank), await stateBits(alone));
      for (const network of networks) network.close();
      two.close();
    });
  },
);
