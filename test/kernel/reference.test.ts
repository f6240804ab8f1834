/**
 * The oracle itself: one LSTM step worked out by hand, a forward pass written a second time without any of the
 * kernel's code, every gradient against finite differences, and the behaviour that all kernels share.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  dropoutWord,
  GRADIENT_LIMIT,
  GRADIENT_SCALE,
  type KernelNetwork,
  type Loss,
  type NetworkShape,
  outputsOf,
  parametersOf,
  referenceKernel,
  type TrainingBatch,
  type Windows,
} from '../../src/kernel/index.ts';
import { kernelBehaviour } from './conformance-behaviour.ts';
import { kernelRefusals } from './conformance-refusals.ts';
import { exampleBatch, exampleWeights, exampleWindows, shapeOf, smallShape, withColumns } from './examples.ts';
import { assertClose, assertNear } from './support.ts';

kernelBehaviour('reference', () => ({ kernel: referenceKernel() }));
kernelRefusals('reference', () => ({ kernel: referenceKernel() }));

const kernel = referenceKernel();

describe('reference kernel: forward', () => {
  it('two steps of one LSTM unit, worked out by hand', async () => {
    const shape = shapeOf(2, 1, [1], [1]);
    // kernel i f g o, recurrent i f g o, bias i f g o; dense kernel, dense bias
    const weights = Float32Array.of(0.5, -1, 2, 1, 0.25, 0.5, -0.75, 1, 0, 1, -0.5, 0.25, 3, -1);
    const network = await kernel.createNetwork(shape, weights);
    const windows = {
      matrix: Float32Array.of(5, 4),
      starts: Int32Array.of(0),
      shift: Float32Array.of(3),
      gain: Float32Array.of(0.5),
      scaleStride: 0,
    };
    // Inputs (5 - 3) 0.5 = 1 and (4 - 3) 0.5 = 0.5.
    // Step 1: z = 0.5, 0, 1.5, 1.25; i = 0.6224593, f = 0.5, g = 0.9051483, o = 0.7772999
    //         c = i g = 0.5634180, h = o tanh(c) = 0.7772999 * 0.5105090 = 0.3968186
    // Step 2: z = 0.25 + 0.0992046, -0.5 + 0.1984093 + 1, 1 - 0.2976139 - 0.5, 0.5 + 0.3968186 + 0.25
    //         i = sigmoid(0.3492046) = 0.5864247, f = sigmoid(0.6984093) = 0.6678350,
    //         g = tanh(0.2023861) = 0.1996673, o = sigmoid(1.1468186) = 0.7589293
    //         c = 0.6678350 * 0.5634180 + 0.5864247 * 0.1996673 = 0.4933601, h = 0.7589293 * 0.4568792 = 0.3467391
    // Output: 3 * 0.34673905 - 1 = 0.04021715
    const [output] = await network.forward(windows);
    assertNear(output, 0.04021715, 1e-8, 'output');
  });

  it('agrees with the equations written out in plain arrays', async () => {
    const shapes = [
      smallShape,
      shapeOf(5, 2, [3, 4, 2], [5, 4, 3]),
      shapeOf(1, 1, [1], [1]),
      shapeOf(40, 9, [13], [2]),
    ];
    for (const [index, shape] of shapes.entries()) {
      const weights = exampleWeights(shape, index);
      const windows = exampleWindows(shape, 19, index + 10, index % 2 === 0);
      const network = await kernel.createNetwork(shape, weights);
      const { narrow } = withColumns(shape, windows, Math.ceil(shape.features / 2));
      for (const each of [windows, narrow]) {
        assertClose(await network.forward(each), plainForward(shape, weights, each), 1e-7, `shape ${index}: output`);
      }
    }
  });
});

/** The forward pass by the equations, one number after the other. */
function plainForward(shape: NetworkShape, weights: Float32Array, windows: Windows): number[] {
  const parameters = new Map(parametersOf(shape).map((parameter) => [parameter.name, parameter]));
  const at = (name: string, row: number, column = 0) => {
    const { offset, dimensions } = parameters.get(name)!;
    return weights[offset + (dimensions.length === 2 ? row * dimensions[1] + column : row)];
  };
  const sum = (length: number, term: (i: number) => number) =>
    Array.from({ length }, (_, i) => term(i)).reduce((a, b) => a + b, 0);
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
  return Array.from(windows.starts).flatMap((start, b) => {
    let sequence = Array.from({ length: shape.windowLength }, (_, t) =>
      Array.from({ length: shape.features }, (_, f) => {
        const scale = b * windows.scaleStride + f;
        const columns = windows.columns ?? shape.features;
        const raw = f < columns ? windows.matrix[(start + t) * columns + f] : 1;
        return Math.fround(Math.fround(raw - windows.shift[scale]) * windows.gain[scale]);
      }),
    );
    shape.lstm.forEach((units, l) => {
      let h = new Array<number>(units).fill(0);
      let c = h;
      sequence = sequence.map((x) => {
        const z = (gate: number, j: number) => {
          const column = gate * units + j;
          return (
            sum(x.length, (i) => x[i] * at(`lstm.${l}.kernel`, i, column)) +
            sum(units, (i) => h[i] * at(`lstm.${l}.recurrent`, i, column)) +
            at(`lstm.${l}.bias`, column)
          );
        };
        const cell = c.map((before, j) => sigmoid(z(1, j)) * before + sigmoid(z(0, j)) * Math.tanh(z(2, j)));
        h = cell.map((value, j) => sigmoid(z(3, j)) * Math.tanh(value));
        c = cell;
        return h;
      });
    });
    let values = sequence[sequence.length - 1];
    shape.dense.forEach(({ units, activation }, d) => {
      values = Array.from({ length: units }, (_, u) => {
        const z = sum(values.length, (i) => values[i] * at(`dense.${d}.kernel`, i, u)) + at(`dense.${d}.bias`, u);
        return activation === 'relu' ? Math.max(0, z) : z;
      });
    });
    return values;
  });
}

/** Mean loss of a batch: the last of the fixed-point sums. */
const lossOf = async (network: KernelNetwork, batch: TrainingBatch): Promise<number> => {
  const { sums, sequences } = await network.gradient(batch);
  return Number(sums.at(-1)) / GRADIENT_SCALE / sequences;
};

describe('reference kernel: gradients against finite differences', () => {
  /**
   * Steps of 2^-8 on weights rounded to multiples of 2^-12 are exact in float32. The five-point stencil's error is
   * about step^4 times the fifth derivative, and 1e-9 from the fixed point of the losses.
   */
  const step = 2 ** -8;
  const tolerance = 1e-7;

  /**
   * Weights, and biases that keep every ReLU and every loss on its side of its kink within the steps taken: dense
   * units lie at about +2 or, each third, -2; targets at a distance from the outputs, some beyond Huber's delta.
   */
  function kinkFree(shape: NetworkShape, loss: Loss, seed: number) {
    const weights = exampleWeights(shape, seed).map((w) => Math.round(w * 0.5 * 2 ** 12) / 2 ** 12);
    shape.dense.forEach(({ units, activation }, d) => {
      const { offset } = parametersOf(shape).find(({ name }) => name === `dense.${d}.bias`)!;
      if (activation === 'relu') for (let u = 0; u < units; u++) weights[offset + u] += u % 3 === 2 ? -2 : 2;
    });
    const batch = exampleBatch(shape, 11, seed + 1, loss, seed % 2 === 1);
    const distances = [40, -40, 1, -1.5];
    batch.targets.set(
      batch.targets.map((_, i) => distances[i % distances.length] * (loss.kind === 'pinball' ? 20 : 1)),
    );
    return { weights, batch };
  }

  const relu = (units: number) => ({ units, activation: 'relu' as const });
  const linear = (units: number) => ({ units, activation: 'linear' as const });
  const base: NetworkShape = { windowLength: 4, features: 2, lstm: [3], dropout: 0, dense: [linear(1)] };
  const cases: Record<string, [NetworkShape, Loss]> = {
    'one layer': [base, { kind: 'mse' }],
    'one step': [{ ...base, windowLength: 1 }, { kind: 'mse' }],
    'sizes that fill no row of four': [
      { ...base, features: 5, lstm: [7], dense: [relu(6), linear(3)] },
      { kind: 'mse' },
    ],
    'two LSTM layers and two outputs': [{ ...base, lstm: [4, 3], dense: [relu(5), linear(2)] }, { kind: 'mse' }],
    'three LSTM layers': [{ ...base, lstm: [2, 3, 2] }, { kind: 'mse' }],
    'four dense layers': [{ ...base, dense: [relu(4), linear(3), relu(3), linear(2)] }, { kind: 'mse' }],
    'a ReLU output': [{ ...base, dense: [linear(4), relu(3)] }, { kind: 'mse' }],
    'Huber loss': [
      { ...base, dense: [relu(4), linear(2)] },
      { kind: 'huber', delta: 10 },
    ],
    'pinball loss': [
      { ...base, dense: [relu(4), linear(3)] },
      { kind: 'pinball', levels: [0.1, 0.5, 0.9] },
    ],
    dropout: [{ ...base, lstm: [3, 6], dropout: 0.4, dense: [relu(4), linear(2)] }, { kind: 'mse' }],
  };
  Object.entries(cases).forEach(([title, [shape, loss]], index) => {
    it(title, async () => {
      const { weights, batch } = kinkFree(shape, loss, 20 + index);
      const network = await kernel.createNetwork(shape, weights);
      const { sums, sequences } = await network.gradient(batch);
      const lossAt = async (p: number, steps: number) => {
        await network.writeWeights(weights.map((w, i) => (i === p ? w + steps * step : w)));
        return lossOf(network, batch);
      };
      let largest = 0;
      for (let p = 0; p < weights.length; p++) {
        const near = (await lossAt(p, 1)) - (await lossAt(p, -1));
        const far = (await lossAt(p, 2)) - (await lossAt(p, -2));
        const expected = (8 * near - far) / (12 * step);
        const actual = Number(sums[p]) / GRADIENT_SCALE / sequences;
        largest = Math.max(largest, Math.abs(expected));
        assertNear(actual, expected, tolerance * Math.max(1, Math.abs(expected)), `gradient of weight ${p}`);
      }
      assert.ok(largest > 0.01, 'the gradient is not all but zero');
    });
  });

  it('dropout scales what it keeps by 1 / (1 - dropout)', async () => {
    const shape = shapeOf(3, 2, [8], [1], 0.4);
    const weights = exampleWeights(shape, 60);
    const { offset } = parametersOf(shape).find(({ name }) => name === 'dense.0.kernel')!;
    const batch = exampleBatch(shape, 1, 61);
    const undropped = await kernel.createNetwork({ ...shape, dropout: 0 }, weights);
    const dropped = await kernel.createNetwork(shape, weights);
    const [without, withDropout] = [await undropped.gradient(batch), await dropped.gradient(batch)];
    // d(loss)/d(kernel) = slope * state: the states' ratio is the gradients' over that of the bias, which is the slope.
    const state = (sums: BigInt64Array, unit: number) => Number(sums[offset + unit]) / Number(sums[offset + 8]);
    for (let unit = 0; unit < 8; unit++) {
      const kept = dropoutWord(batch.dropoutSeed, batch.step, 0, unit) >= Math.round(0.4 * 2 ** 32);
      const expected = kept ? state(without.sums, unit) / 0.6 : 0;
      assertNear(state(withDropout.sums, unit), expected, 1e-7, `unit ${unit}`);
    }
  });

  it('sums that would leave their 64 bits are a divergence', async () => {
    const shape = shapeOf(1, 1, [1], [1]);
    const network = await kernel.createNetwork(shape, exampleWeights(shape, 62));
    const batch = exampleBatch(shape, 128, 63);
    // Each tile's loss is 0.8 of the limit: two tiles fit into 63 bits, four do not.
    const far = { ...batch, targets: batch.targets.map(() => Math.sqrt((0.8 * GRADIENT_LIMIT) / 32)) };
    await network.gradient({ ...far, starts: far.starts.slice(0, 64), targets: far.targets.slice(0, 64) });
    await assert.rejects(network.gradient(far), { code: 'BARCAST_E_DIVERGED' });
  });

  it('lets the event loop turn between tiles', async () => {
    const network = await kernel.createNetwork(smallShape, exampleWeights(smallShape, 64));
    let turns = 0;
    let running = true;
    const count = () => {
      turns++;
      if (running) setImmediate(count);
    };
    setImmediate(count);
    await network.forward(exampleWindows(smallShape, 32 * 5, 65));
    running = false;
    assert.ok(turns >= 3, `${turns} turns`);
    assert.equal((await network.forward(exampleWindows(smallShape, 3, 66))).length, 3 * outputsOf(smallShape));
  });
});
