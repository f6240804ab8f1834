/** What every kernel must refuse, with which code, and that it stays usable after. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { GRADIENT_LIMIT, type Loss, outputsOf, type TrainingBatch } from '../../src/kernel/index.ts';
import { exampleBatch, exampleWeights, exampleWindows, partOf, smallShape, withColumns } from './examples.ts';
import { adam, describeKernel, exampleSums, type OfferKernel, refuses, stateBits, withNetwork } from './support.ts';

export function kernelRefusals(name: string, offer: OfferKernel): void {
  describeKernel(`${name} kernel: refusals`, offer, (test) => {
    test('refuses bad shapes and weights', async (kernel) => {
      const weights = exampleWeights(smallShape, 1);
      const spoiled = weights.slice();
      spoiled[11] = Number.NaN;
      for (const change of [
        { windowLength: 0 },
        { windowLength: 513 },
        { features: 33 },
        { lstm: [] },
        { lstm: [1, 1, 1, 1] },
        { lstm: [257] },
        { lstm: [2.5] },
        { dropout: 1 },
        { dense: [] },
        { dense: [{ units: 0, activation: 'linear' as const }] },
      ]) {
        await refuses('BARCAST_E_SHAPE', () => kernel.createNetwork({ ...smallShape, ...change }, weights));
      }
      await refuses('BARCAST_E_SHAPE', () => kernel.createNetwork(smallShape, weights.slice(1)));
      await refuses('BARCAST_E_NOT_FINITE', () => kernel.createNetwork(smallShape, spoiled));
    });

    test('refuses bad input and stays usable', (kernel) =>
      withNetwork(kernel, smallShape, 41, async (network) => {
        const good = exampleBatch(smallShape, 35, 42);
        const answer = await network.forward(good);
        const state = await stateBits(network);
        for (const [code, change] of badBatches(good)) {
          await refuses(code, () => network.gradient({ ...good, ...change }));
          await refuses(code, () => network.trainStep({ ...good, ...change }, adam));
          const ofWindows = ['matrix', 'starts', 'shift', 'gain', 'scaleStride', 'columns'].some(
            (key) => key in change,
          );
          if (ofWindows) await refuses(code, () => network.forward({ ...good, ...change }));
        }
        for (const change of [
          { learningRate: -1 },
          { beta1: 1 },
          { beta2: Number.NaN },
          { epsilon: 0 },
          { clipNorm: -1 },
          { weightDecay: Infinity },
        ]) {
          await refuses('BARCAST_E_USAGE', () => network.trainStep(good, { ...adam, ...change }));
          await refuses('BARCAST_E_USAGE', () =>
            network.update(exampleSums(smallShape, 1, 1, 1), { ...adam, ...change }),
          );
        }
        const sums = exampleSums(smallShape, 2, 1, 1).sums;
        await refuses('BARCAST_E_SHAPE', () => network.update({ sums: sums.slice(1), sequences: 2 }, adam));
        await refuses('BARCAST_E_SHAPE', () => network.update({ sums, sequences: 0 }, adam));
        await refuses('BARCAST_E_SHAPE', () => network.trainStep(partOf(smallShape, good, 0, 0), adam));
        const weights = await network.readWeights();
        await refuses('BARCAST_E_SHAPE', () => network.writeWeights(weights.slice(1)));
        await refuses('BARCAST_E_NOT_FINITE', () => network.writeWeights(weights.map(() => Infinity)));
        const optimizer = await network.readOptimizer();
        await refuses('BARCAST_E_SHAPE', () => network.writeOptimizer({ ...optimizer, m: weights.slice(1) }));
        await refuses('BARCAST_E_NOT_FINITE', () =>
          network.writeOptimizer({ ...optimizer, v: weights.map(() => Number.NaN) }),
        );
        await refuses('BARCAST_E_SHAPE', () => network.writeOptimizer({ ...optimizer, updates: -1 }));
        assert.deepEqual(await stateBits(network), state);
        assert.deepEqual(await network.forward(good), answer);
      }));

    test('a NaN outside every window is no error', (kernel) =>
      withNetwork(kernel, smallShape, 43, async (network) => {
        const windows = exampleWindows(smallShape, 20, 44);
        const last = Math.max(...windows.starts) + smallShape.windowLength;
        const matrix = new Float32Array((last + 2) * smallShape.features).fill(Number.NaN);
        matrix.set(windows.matrix.subarray(0, last * smallShape.features));
        assert.deepEqual(await network.forward({ ...windows, matrix }), await network.forward(windows));
        const { narrow } = withColumns(smallShape, windows, 2);
        const longer = new Float32Array((last + 2) * 2).fill(Number.NaN);
        longer.set(narrow.matrix.subarray(0, last * 2));
        assert.deepEqual(await network.forward({ ...narrow, matrix: longer }), await network.forward(narrow));
      }));

    test('tells which number of a narrower matrix is none', (kernel) =>
      withNetwork(kernel, smallShape, 51, async (network) => {
        const { narrow } = withColumns(smallShape, exampleWindows(smallShape, 1, 52), 2);
        const row = narrow.starts[0] + 3;
        const matrix = narrow.matrix.map((x, i) => (i === row * 2 + 1 ? Number.NaN : x));
        await assert.rejects(network.forward({ ...narrow, matrix }), {
          code: 'BARCAST_E_NOT_FINITE',
          message: `window 0 holds NaN at row ${row}, feature 1, which scales to NaN`,
        });
        const gain = Float32Array.of(1, 1, 3e38);
        await assert.rejects(network.forward({ ...narrow, shift: Float32Array.of(0, 0, -9), gain }), {
          code: 'BARCAST_E_NOT_FINITE',
          message: `window 0 holds 1 at row ${narrow.starts[0]}, feature 2, which scales to Infinity`,
        });
      }));

    test('a gradient or loss beyond the fixed point is a divergence', (kernel) =>
      withNetwork(kernel, smallShape, 45, async (network) => {
        const state = await stateBits(network);
        const good = exampleBatch(smallShape, 33, 46);
        // Of one sequence's loss the limit is passed by itself; just below it is not.
        const error = Math.sqrt(GRADIENT_LIMIT);
        const one = partOf(smallShape, { ...good, targets: good.targets.map(() => 1.2 * error) }, 0, 1);
        await refuses('BARCAST_E_DIVERGED', () => network.gradient(one));
        await refuses('BARCAST_E_DIVERGED', () => network.trainStep(one, adam));
        await refuses('BARCAST_E_DIVERGED', () => network.gradient({ ...good, targets: good.targets.map(() => 3e38) }));
        assert.deepEqual(await stateBits(network), state);
        await network.gradient({ ...one, targets: one.targets.map(() => 0.8 * error) });
      }));

    test('an update beyond float32 is a divergence', (kernel) =>
      withNetwork(kernel, smallShape, 47, async (network) => {
        const gradient = exampleSums(smallShape, 1, 48, 1);
        await refuses('BARCAST_E_DIVERGED', () => network.update(gradient, { ...adam, learningRate: 1e39 }));
      }));

    test('calls must not overlap, nor follow close', async (kernel) => {
      const windows = exampleWindows(smallShape, 33, 49);
      const network = await kernel.createNetwork(smallShape, exampleWeights(smallShape, 50));
      const first = network.forward(windows);
      await refuses('BARCAST_E_INTERNAL', () => network.readWeights());
      const answer = await first;
      assert.deepEqual(await network.forward(windows), answer);
      network.close();
      network.close();
      await refuses('BARCAST_E_INTERNAL', () => network.forward(windows));
      await refuses('BARCAST_E_INTERNAL', () => network.readWeights());
    });
  });

  it(`${name} kernel: a closed kernel makes no networks`, async (t) => {
    const offered = await offer();
    if ('unavailable' in offered) return t.skip(`no kernel: ${offered.unavailable}`);
    offered.kernel.close();
    offered.kernel.close();
    await refuses('BARCAST_E_INTERNAL', () => offered.kernel.createNetwork(smallShape, exampleWeights(smallShape, 1)));
  });
}

/** Everything that can be wrong with a batch of `smallShape`, one at a time. */
function badBatches(good: TrainingBatch): [string, Partial<TrainingBatch>][] {
  const { starts, targets, matrix } = good;
  const withNumber = (array: Float32Array, index: number, value: number) =>
    array.map((x, i) => (i === index ? value : x));
  const inWindow = starts[34] * smallShape.features + 4;
  const rows = matrix.length / smallShape.features;
  const outputs = outputsOf(smallShape);
  const { matrix: narrow } = withColumns(smallShape, good, 2).narrow;
  return [
    ['BARCAST_E_SHAPE', { matrix: matrix.slice(1) }],
    ['BARCAST_E_SHAPE', { matrix: matrix.slice(0, smallShape.features * (smallShape.windowLength - 1)) }],
    ['BARCAST_E_SHAPE', { matrix: Float64Array.from(matrix) as unknown as Float32Array }],
    ['BARCAST_E_SHAPE', { starts: starts.map((s, i) => (i === 33 ? -1 : s)) }],
    ['BARCAST_E_SHAPE', { starts: starts.map((s, i) => (i === 33 ? rows - smallShape.windowLength + 1 : s)) }],
    ['BARCAST_E_SHAPE', { shift: new Float32Array(2) }],
    ['BARCAST_E_SHAPE', { gain: new Float32Array(4).fill(1) }],
    ['BARCAST_E_SHAPE', { scaleStride: 1 }],
    ['BARCAST_E_SHAPE', { scaleStride: 3 }],
    ...[0, -1, 4, 1.5, Number.NaN, '2' as unknown as number].map((columns): [string, Partial<TrainingBatch>] => [
      'BARCAST_E_SHAPE',
      { columns },
    ]),
    ['BARCAST_E_SHAPE', { columns: 2, matrix: narrow.slice(1) }],
    ['BARCAST_E_SHAPE', { columns: 2, matrix: narrow.slice(0, 2 * (Math.max(...starts) + 6)) }],
    ['BARCAST_E_NOT_FINITE', { columns: 2, matrix: withNumber(narrow, starts[34] * 2 + 13, Number.NaN) }],
    ['BARCAST_E_SHAPE', { targets: targets.slice(outputs) }],
    ['BARCAST_E_SHAPE', { firstSequence: 16 }],
    ['BARCAST_E_SHAPE', { firstSequence: -32 }],
    ['BARCAST_E_SHAPE', { loss: { kind: 'pinball', levels: [0.5] } }],
    ['BARCAST_E_USAGE', { loss: { kind: 'pinball', levels: [0.5, 1] } }],
    ['BARCAST_E_USAGE', { loss: { kind: 'huber', delta: 0 } }],
    ['BARCAST_E_USAGE', { loss: { kind: 'nothing' } as unknown as Loss }],
    ['BARCAST_E_USAGE', { step: 0.5 }],
    ['BARCAST_E_NOT_FINITE', { matrix: withNumber(matrix, inWindow, Number.NaN) }],
    ['BARCAST_E_NOT_FINITE', { matrix: withNumber(matrix, inWindow, -Infinity) }],
    ['BARCAST_E_NOT_FINITE', { shift: withNumber(good.shift, 1, Number.NaN) }],
    ['BARCAST_E_NOT_FINITE', { gain: withNumber(good.gain, 2, Infinity) }],
    [
      'BARCAST_E_NOT_FINITE',
      { gain: withNumber(good.gain, 2, 3e38), matrix: withNumber(matrix, starts[34] * 3 + 5, 3e38) },
    ],
    ['BARCAST_E_NOT_FINITE', { targets: withNumber(targets, targets.length - 1, Number.NaN) }],
  ];
}
