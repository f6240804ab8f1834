/** What threads, tiles and the event loop do to the native kernel's answers: nothing. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { Kernel } from '../../src/kernel/index.ts';
import { offerNative } from '../../src/kernel/native.ts';
import type { InstructionSet } from '../../src/kernel/native-library.ts';
import { exampleBatch, exampleWeights, exampleWindows, shapeOf, usualShape } from './examples.ts';
import { instructionSetsHere } from './native-support.ts';
import { adam, bitsOf, stateBits, withNetwork } from './support.ts';

/** Runs `work` on a kernel and closes it; skips, and answers undefined, where there is none. */
async function onKernel<T>(
  t: TestContext,
  threads: number,
  instructionSet: InstructionSet | undefined,
  work: (kernel: Kernel) => Promise<T>,
): Promise<T | undefined> {
  const offer = await offerNative({ threads, instructionSet });
  if ('unavailable' in offer) {
    t.skip(offer.unavailable);
    return undefined;
  }
  try {
    return await work(offer.kernel);
  } finally {
    offer.kernel.close();
  }
}

for (const instructionSet of instructionSetsHere()) {
  describe(`native threads (${instructionSet})`, () => {
    it('100 training steps end in the same bits with 1, 2 and 3 threads', async (t) => {
      const shape = shapeOf(20, 2, [50], [32, 1], 0.2);
      const batches = [0, 1, 2, 3].map((seed) => exampleBatch(shape, 150, seed));
      const settings = { ...adam, weightDecay: 0.01, clipNorm: 0.05 };
      const train = (kernel: Kernel) =>
        withNetwork(kernel, shape, 9, async (network) => {
          const losses: number[] = [];
          for (let step = 0; step < 100; step++) {
            losses.push(await network.trainStep({ ...batches[step % 4], step }, settings));
          }
          assert.ok(losses[99] < losses[0]);
          return { losses, state: await stateBits(network) };
        });
      const one = await onKernel(t, 1, instructionSet, train);
      if (!one) return;
      for (const threads of [2, 3]) assert.deepEqual(await onKernel(t, threads, instructionSet, train), one);
    });

    it('an answer depends neither on its neighbours nor on its place', async (t) => {
      for (const shape of [usualShape, shapeOf(3, 5, [200, 7], [5, 3])]) {
        const windows = exampleWindows(shape, 75, 31);
        const outputs = shape.dense[shape.dense.length - 1].units;
        await onKernel(t, 2, instructionSet, (kernel) =>
          withNetwork(kernel, shape, 32, async (network) => {
            const all = bitsOf(await network.forward(windows));
            for (const [first, count] of [
              [0, 1],
              [3, 8],
              [40, 17],
              [70, 5],
              [1, 64],
            ]) {
              const some = await network.forward({ ...windows, starts: windows.starts.slice(first, first + count) });
              assert.deepEqual(bitsOf(some), all.slice(first * outputs, (first + count) * outputs));
            }
          }),
        );
      }
    });
  });
}

describe('native calls', () => {
  it('a long call lets the event loop turn', async (t) => {
    await onKernel(t, 1, undefined, (kernel) =>
      withNetwork(kernel, usualShape, 1, async (network) => {
        const batch = exampleBatch(usualShape, 512, 2);
        let turns = 0;
        let running = true;
        const turn = () => {
          turns++;
          if (running) setImmediate(turn);
        };
        setImmediate(turn);
        await network.trainStep(batch, adam);
        running = false;
        assert.ok(turns > 2, `${turns} turns`);
      }),
    );
  });

  it('a call that may keep the thread for its time lets nothing else run, and gives the same', async (t) => {
    await onKernel(t, 1, undefined, async (kernel) => {
      const batch = exampleBatch(usualShape, 256, 2);
      const weights = exampleWeights(usualShape, 1);
      const [usual, patient] = [
        await kernel.createNetwork(usualShape, weights),
        await kernel.createNetwork(usualShape, weights, 10_000),
      ];
      let turned = false;
      setImmediate(() => {
        turned = true;
      });
      const loss = await patient.trainStep(batch, adam);
      assert.equal(turned, false);
      assert.equal(await usual.trainStep(batch, adam), loss);
      assert.equal(turned, true);
      assert.deepEqual(await stateBits(patient), await stateBits(usual));
      for (const network of [usual, patient]) network.close();
    });
  });

  it('two networks of one kernel may compute at the same time', async (t) => {
    await onKernel(t, 2, undefined, async (kernel) => {
      const networks = [
        await kernel.createNetwork(usualShape, exampleWeights(usualShape, 1)),
        await kernel.createNetwork(usualShape, exampleWeights(usualShape, 1)),
      ];
      const batch = exampleBatch(usualShape, 128, 5);
      for (let step = 0; step < 5; step++) {
        const [a, b] = await Promise.all(networks.map((network) => network.trainStep({ ...batch, step }, adam)));
        assert.equal(a, b);
      }
      const [a, b] = await Promise.all(networks.map(stateBits));
      assert.deepEqual(a, b);
      for (const network of networks) network.close();
    });
  });

  it('a network outlives the closing of its kernel', async (t) => {
    const offer = await offerNative({ threads: 2 });
    if ('unavailable' in offer) return t.skip(offer.unavailable);
    const network = await offer.kernel.createNetwork(usualShape, exampleWeights(usualShape, 3));
    offer.kernel.close();
    const outputs = await network.forward(exampleWindows(usualShape, 100, 4));
    assert.ok(outputs.every(Number.isFinite));
    network.close();
  });

  it('a batch whose losses add up to more than 64 bits hold is refused, not wrapped around', async (t) => {
    await onKernel(t, 2, undefined, (kernel) =>
      withNetwork(kernel, usualShape, 6, async (network) => {
        // Each tile's loss is 32 * 250^2 = 2 million, within a tile's limit; five of them exceed 2^23.
        const batch = exampleBatch(usualShape, 160, 7);
        const far = { ...batch, targets: batch.targets.map(() => 250) };
        await assert.rejects(network.gradient(far), { code: 'BARCAST_E_DIVERGED' });
        const some = { ...far, starts: far.starts.slice(0, 64), targets: far.targets.slice(0, 64) };
        assert.ok((await network.gradient(some)).sums.at(-1)! > 0n);
      }),
    );
  });
});
