/**
 * What every kernel must do, checked without another kernel: against formulas written out here, or against itself
 * where the contract demands the same bits.
 */
import assert from 'node:assert/strict';
import {
  dropoutWord,
  GRADIENT_SCALE,
  type GradientSums,
  type Loss,
  type OptimizerSettings,
  parameterCount,
  parametersOf,
} from '../../src/kernel/index.ts';
import {
  exampleBatch,
  exampleWeights,
  exampleWindows,
  partOf,
  shapeOf,
  smallShape,
  usualShape,
  withColumns,
} from './examples.ts';
import {
  adam,
  assertClose,
  assertNear,
  bitsOf,
  describeKernel,
  exampleSums,
  type OfferKernel,
  stateBits,
  withNetwork,
} from './support.ts';

/** One update by the formula of `OptimizerSettings`, in float64. */
function formulaUpdate(
  state: { weights: number[]; m: number[]; v: number[]; updates: number },
  { sums, sequences }: GradientSums,
  s: OptimizerSettings,
) {
  const mean = state.weights.map((_, p) => Number(sums[p]) / GRADIENT_SCALE / sequences);
  const norm = Math.hypot(...mean);
  const gradient = s.clipNorm > 0 && norm > s.clipNorm ? mean.map((g) => (g * s.clipNorm) / norm) : mean;
  const updates = state.updates + 1;
  const m = gradient.map((g, p) => s.beta1 * state.m[p] + (1 - s.beta1) * g);
  const v = gradient.map((g, p) => s.beta2 * state.v[p] + (1 - s.beta2) * g * g);
  const weights = state.weights.map((w, p) => {
    const step = m[p] / (1 - s.beta1 ** updates) / (Math.sqrt(v[p] / (1 - s.beta2 ** updates)) + s.epsilon);
    return w - s.learningRate * step - s.learningRate * s.weightDecay * w;
  });
  return { weights, m, v, updates };
}

/** Loss of one output by the definition in `kernel.ts`. */
function formulaLoss(loss: Loss, output: number, predicted: number, target: number): number {
  const error = predicted - target;
  if (loss.kind === 'mse') return error ** 2;
  if (loss.kind === 'huber') {
    return Math.abs(error) <= loss.delta ? 0.5 * error ** 2 : loss.delta * (Math.abs(error) - 0.5 * loss.delta);
  }
  return Math.max(loss.levels[output] * -error, (loss.levels[output] - 1) * -error);
}

export function kernelBehaviour(name: string, offer: OfferKernel): void {
  describeKernel(`${name} kernel: behaviour`, offer, (test) => {
    test('says what it is', (kernel) => {
      assert.ok(Number.isInteger(kernel.threads) && kernel.threads >= 1);
      assert.notEqual(kernel.description, '');
    });

    test('forward and gradient give the same bits twice', (kernel) =>
      withNetwork(kernel, usualShape, 1, async (network) => {
        const batch = exampleBatch(usualShape, 70, 2);
        assert.deepEqual(bitsOf(await network.forward(batch)), bitsOf(await network.forward(batch)));
        assert.deepEqual(await network.gradient(batch), await network.gradient(batch));
      }));

    test('a gradient in memory that the caller gives is the same, and asks for enough of it', (kernel) =>
      withNetwork(kernel, smallShape, 1, async (network) => {
        const batch = exampleBatch(smallShape, 70, 2);
        const { sums } = await network.gradient(batch);
        const into = new BigInt64Array(sums.length).fill(77n);
        const first = await network.gradient(batch, into);
        assert.deepEqual(first.sums, sums);
        assert.deepEqual(await network.gradient(batch, into), { sums, sequences: 70 });
        if (first.sums !== into) return;
        const refused = { code: 'BARCAST_E_SHAPE' };
        await assert.rejects(network.gradient(batch, new BigInt64Array(sums.length - 1)), refused);
        await assert.rejects(network.gradient(batch, new Float64Array(sums.length) as never), refused);
      }));

    test('two networks of one kernel do not disturb each other', async (kernel) => {
      const windows = exampleWindows(smallShape, 40, 3);
      await withNetwork(kernel, smallShape, 4, async (one) => {
        const alone = await one.forward(windows);
        await withNetwork(kernel, usualShape, 5, async (other) => {
          await other.trainStep(exampleBatch(usualShape, 33, 6), adam);
          assert.deepEqual(await one.forward(windows), alone);
        });
        assert.deepEqual(await one.forward(windows), alone);
      });
    });

    test('scales on the fly as a matrix scaled beforehand', (kernel) =>
      withNetwork(kernel, smallShape, 7, async (network) => {
        const { windowLength: steps, features } = smallShape;
        const windows = exampleWindows(smallShape, 37, 8, true);
        const matrix = new Float32Array(37 * steps * features);
        for (let b = 0; b < 37; b++) {
          for (let i = 0; i < steps * features; i++) {
            const scale = b * features + (i % features);
            const centred = Math.fround(windows.matrix[windows.starts[b] * features + i] - windows.shift[scale]);
            matrix[b * steps * features + i] = centred * windows.gain[scale];
          }
        }
        const scaled = {
          matrix,
          starts: Int32Array.from({ length: 37 }, (_, b) => b * steps),
          shift: new Float32Array(features),
          gain: new Float32Array(features).fill(1),
          scaleStride: 0,
        };
        assert.deepEqual(bitsOf(await network.forward(windows)), bitsOf(await network.forward(scaled)));
      }));

    test('one scale for all windows equals the same scale given for each', (kernel) =>
      withNetwork(kernel, smallShape, 9, async (network) => {
        const common = exampleBatch(smallShape, 33, 10);
        const repeat = (row: Float32Array) => Float32Array.from({ length: 33 * 3 }, (_, i) => row[i % 3]);
        const each = { ...common, shift: repeat(common.shift), gain: repeat(common.gain), scaleStride: 3 };
        assert.deepEqual(await network.forward(each), await network.forward(common));
        assert.deepEqual(await network.gradient(each), await network.gradient(common));
      }));

    for (const perWindow of [false, true]) {
      const scales = perWindow ? 'a scale a window' : 'one scale for all';
      test(`a matrix of the first features is one with ones for the rest, to the bit: ${scales}`, async (kernel) => {
        for (const columns of [1, 2, 3]) {
          const loss: Loss = { kind: 'pinball', levels: [0.2, 0.7] };
          const batch = exampleBatch(smallShape, 37, 60 + columns, loss, perWindow);
          const { narrow, whole } = withColumns(smallShape, batch, columns);
          const answers = [];
          for (const each of [narrow, whole]) {
            answers.push(
              await withNetwork(kernel, smallShape, 61, async (network) => ({
                outputs: bitsOf(await network.forward(each)),
                one: bitsOf(await network.forward(partOf(smallShape, each, 36, 37))),
                gradient: await network.gradient(each),
                loss: await network.trainStep(each, adam),
                state: await stateBits(network),
              })),
            );
          }
          assert.deepEqual(answers[0], answers[1], `${columns} columns`);
        }
      });
    }

    test('the columns may be others at each call, over the same numbers', (kernel) =>
      withNetwork(kernel, smallShape, 62, async (network) => {
        const windows = exampleWindows(smallShape, 20, 63);
        const given = new Float32Array(6 * Math.ceil(windows.matrix.length / 6)); // whole rows of 1, 2 and 3 numbers
        given.set(windows.matrix);
        for (const columns of [3, 1, 2, 1, undefined]) {
          // What a live forecaster does: its own matrix, with other numbers than at the call before.
          given[windows.starts[5] * (columns ?? 3)] += 0.5;
          const matrix = Float32Array.from(windows.matrix, (_, i) => {
            const [row, f] = [Math.floor(i / 3), i % 3];
            return f < (columns ?? 3) ? given[row * (columns ?? 3) + f] : 1;
          });
          assert.deepEqual(
            bitsOf(await network.forward({ ...windows, matrix: given, columns })),
            bitsOf(await network.forward({ ...windows, matrix })),
            `${columns} columns`,
          );
        }
      }));

    test('reads windows that lie in shared memory', (kernel) =>
      withNetwork(kernel, smallShape, 11, async (network) => {
        const windows = exampleWindows(smallShape, 5, 12);
        const matrix = new Float32Array(new SharedArrayBuffer(windows.matrix.byteLength));
        matrix.set(windows.matrix);
        assert.deepEqual(await network.forward({ ...windows, matrix }), await network.forward(windows));
      }));

    test('the loss is the mean over outputs and sequences', async (kernel) => {
      const shape = { ...smallShape, dropout: 0 };
      const losses: Loss[] = [{ kind: 'mse' }, { kind: 'huber', delta: 0.7 }, { kind: 'pinball', levels: [0.1, 0.75] }];
      await withNetwork(kernel, shape, 13, async (network) => {
        for (const loss of losses) {
          const batch = exampleBatch(shape, 50, 14, loss);
          const predicted = await network.forward(batch);
          const terms = Array.from(predicted, (p, i) => formulaLoss(loss, i % 2, p, batch.targets[i]));
          const expected = terms.reduce((sum, term) => sum + term) / terms.length;
          const { sums, sequences } = await network.gradient(batch);
          assert.equal(sequences, 50);
          assertNear(Number(sums.at(-1)) / GRADIENT_SCALE / sequences, expected, 1e-5 * expected, loss.kind);
        }
      });
    });

    test('drops the units that dropoutWord names, and those alone', async (kernel) => {
      const sequences = 40;
      const shape = shapeOf(3, 2, [19], [sequences], 0.4);
      const weights = exampleWeights(shape, 15);
      const dense = parametersOf(shape).filter(({ name }) => name.startsWith('dense.'));
      // An output layer of zeros answers 0, so that output b hears of sequence b alone, whose target is 1 there.
      for (const { offset, length } of dense) weights.fill(0, offset, offset + length);
      const targets = new Float32Array(sequences * sequences);
      for (let b = 0; b < sequences; b++) targets[b * sequences + b] = 1;
      const batch = { ...exampleBatch(shape, sequences, 16), targets, firstSequence: 64 };
      const network = await kernel.createNetwork(shape, weights);
      const { sums } = await network.gradient(batch);
      network.close();
      const dropped: boolean[] = [];
      const expected: boolean[] = [];
      for (let b = 0; b < sequences; b++) {
        for (let unit = 0; unit < 19; unit++) {
          dropped.push(sums[dense[0].offset + unit * sequences + b] === 0n);
          expected.push(dropoutWord(batch.dropoutSeed, batch.step, 64 + b, unit) < Math.round(0.4 * 2 ** 32));
        }
      }
      assert.deepEqual(dropped, expected);
      assert.ok(expected.includes(true) && expected.includes(false));
    });

    test('forward drops nothing', async (kernel) => {
      const windows = exampleWindows(smallShape, 9, 17);
      const answers = [];
      for (const dropout of [0, 0.9]) {
        answers.push(await withNetwork(kernel, { ...smallShape, dropout }, 18, (network) => network.forward(windows)));
      }
      assert.deepEqual(answers[0], answers[1]);
    });

    test('parts of a batch cut at tiles add up to the same integers', (kernel) =>
      withNetwork(kernel, smallShape, 19, async (network) => {
        const batch = { ...exampleBatch(smallShape, 100, 20, { kind: 'huber', delta: 0.5 }, true), firstSequence: 32 };
        const whole = await network.gradient(batch);
        const added = new BigInt64Array(whole.sums.length);
        for (const [from, to] of [
          [96, 100],
          [0, 32],
          [32, 96],
        ]) {
          const part = await network.gradient(partOf(smallShape, batch, from, to));
          assert.equal(part.sequences, to - from);
          for (let p = 0; p < added.length; p++) added[p] += part.sums[p];
        }
        assert.deepEqual(added, whole.sums);
        const moved = await network.gradient({ ...batch, firstSequence: 64 });
        assert.notDeepEqual(moved.sums, whole.sums, 'another place in the batch draws other masks');
      }));

    test('an empty batch adds nothing', (kernel) =>
      withNetwork(kernel, smallShape, 21, async (network) => {
        const batch = partOf(smallShape, exampleBatch(smallShape, 4, 22), 0, 0);
        assert.equal((await network.forward(batch)).length, 0);
        const { sums, sequences } = await network.gradient(batch);
        assert.equal(sequences, 0);
        assert.equal(sums.length, parameterCount(smallShape) + 1);
        assert.ok(sums.every((sum) => sum === 0n));
      }));

    test('gradient leaves the weights and the optimiser as they are', (kernel) =>
      withNetwork(kernel, smallShape, 23, async (network) => {
        const before = await stateBits(network);
        await network.gradient(exampleBatch(smallShape, 33, 24));
        assert.deepEqual(await stateBits(network), before);
      }));

    const optimizers: Record<string, OptimizerSettings> = {
      Adam: adam,
      AdamW: { ...adam, beta1: 0.8, beta2: 0.99, weightDecay: 0.1 },
      'Adam with a clipped gradient': { ...adam, clipNorm: 0.05 },
      'Adam with a gradient below the clip': { ...adam, clipNorm: 1e3 },
    };
    for (const [title, settings] of Object.entries(optimizers)) {
      test(`updates by the formula: ${title}`, (kernel) =>
        withNetwork(kernel, smallShape, 25, async (network) => {
          const zeros = new Array<number>(parameterCount(smallShape)).fill(0);
          let expected = { weights: [...(await network.readWeights())], m: zeros, v: zeros, updates: 0 };
          for (let step = 0; step < 4; step++) {
            // Sizes differ from step to step, so that a wrong moment cannot cancel out.
            const gradient = exampleSums(smallShape, 33 + step, 26 + step, 0.1 * 3 ** step);
            await network.update(gradient, settings);
            expected = formulaUpdate(expected, gradient, settings);
          }
          const state = await network.readOptimizer();
          assert.equal(state.updates, 4);
          assertClose(state.m, expected.m, 1e-6, 'm');
          assertClose(state.v, expected.v, 1e-6, 'v');
          assertClose(await network.readWeights(), expected.weights, 1e-6, 'weights');
        }));
    }

    test('trainStep is gradient and update, to the bit', async (kernel) => {
      const settings = { ...adam, clipNorm: 0.5, weightDecay: 0.01 };
      const steps = [0, 1, 2].map((seed) => exampleBatch(smallShape, 45, 30 + seed));
      const together = await withNetwork(kernel, smallShape, 27, async (network) => {
        const losses = [];
        for (const batch of steps) losses.push(await network.trainStep(batch, settings));
        return { losses, state: await stateBits(network) };
      });
      const apart = await withNetwork(kernel, smallShape, 27, async (network) => {
        const losses = [];
        for (const batch of steps) {
          const gradient = await network.gradient(batch);
          await network.update(gradient, settings);
          losses.push(Number(gradient.sums.at(-1)) / GRADIENT_SCALE / gradient.sequences);
        }
        return { losses, state: await stateBits(network) };
      });
      assert.deepEqual(together.state, apart.state);
      assertClose(together.losses, apart.losses, 1e-7, 'loss of step');
    });

    test('training lowers the loss', (kernel) =>
      withNetwork(kernel, { ...smallShape, dropout: 0 }, 34, async (network) => {
        // Both outputs are to say what the first feature was at the last step: learnable, so the loss has far to fall.
        const batch = exampleBatch(smallShape, 32, 35);
        const lastInput = (b: number) =>
          (batch.matrix[(batch.starts[b] + smallShape.windowLength - 1) * smallShape.features] - batch.shift[0]) *
          batch.gain[0];
        batch.targets.set(Float32Array.from(batch.targets, (_, i) => lastInput(i >> 1)));
        const first = await network.trainStep(batch, adam);
        let last = first;
        for (let step = 0; step < 100; step++) last = await network.trainStep(batch, adam);
        assert.ok(last < 0.25 * first, `from ${first} to ${last}`);
      }));

    test('a saved state resumes to the same bits', async (kernel) => {
      const batches = Array.from({ length: 6 }, (_, step) => exampleBatch(smallShape, 40, 40 + step));
      await withNetwork(kernel, smallShape, 36, async (straight) => {
        for (const batch of batches.slice(0, 3)) await straight.trainStep(batch, adam);
        const weights = await straight.readWeights();
        const optimizer = await straight.readOptimizer();
        for (const batch of batches.slice(3)) await straight.trainStep(batch, adam);
        await withNetwork(kernel, smallShape, 37, async (resumed) => {
          await resumed.writeWeights(weights);
          await resumed.writeOptimizer(optimizer);
          for (const batch of batches.slice(3)) await resumed.trainStep(batch, adam);
          assert.deepEqual(await stateBits(resumed), await stateBits(straight));
        });
      });
    });

    test('weights and moments come back as they were written, as copies', async (kernel) => {
      const given = exampleWeights(smallShape, 38);
      const network = await kernel.createNetwork(smallShape, given);
      try {
        const kept = given.slice();
        given.fill(9);
        const read = await network.readWeights();
        assert.deepEqual(read, kept);
        read.fill(9);
        assert.deepEqual(await network.readWeights(), kept);
        const other = exampleWeights(smallShape, 39);
        const windows = exampleWindows(smallShape, 3, 40);
        const before = await network.forward(windows);
        await network.writeWeights(other);
        assert.deepEqual(await network.readWeights(), other);
        assert.notDeepEqual(await network.forward(windows), before);
        const state = { m: other.map((w) => w / 3), v: other.map((w) => w * w), updates: 12 };
        await network.writeOptimizer(state);
        assert.deepEqual(await network.readOptimizer(), state);
        assert.deepEqual(await network.readWeights(), other);
      } finally {
        network.close();
      }
    });
  });
}
