/** The layout of the flat array, initial weights, and which units a step drops. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { philox4x32 } from '../../src/base/index.ts';
import {
  checkShape,
  dropoutWord,
  initialWeights,
  meanLoss,
  type NetworkShape,
  outputsOf,
  parameterCount,
  parametersOf,
} from '../../src/kernel/index.ts';
import { shapeOf, smallShape, usualShape } from './examples.ts';

/** The numbers of one named parameter. */
function blockOf(shape: NetworkShape, weights: Float32Array, name: string) {
  const { offset, length, dimensions } = parametersOf(shape).find((parameter) => parameter.name === name)!;
  return { values: weights.subarray(offset, offset + length), rows: dimensions[0], columns: dimensions[1] };
}

describe('parameters', () => {
  it('lie one after the other in the documented order', () => {
    const layout = parametersOf(smallShape).map(({ name, dimensions, offset }) => `${name} [${dimensions}] ${offset}`);
    assert.deepEqual(layout, [
      'lstm.0.kernel [3,24] 0',
      'lstm.0.recurrent [6,24] 72',
      'lstm.0.bias [24] 216',
      'lstm.1.kernel [6,20] 240',
      'lstm.1.recurrent [5,20] 360',
      'lstm.1.bias [20] 460',
      'dense.0.kernel [5,4] 480',
      'dense.0.bias [4] 500',
      'dense.1.kernel [4,2] 504',
      'dense.1.bias [2] 512',
    ]);
    assert.equal(parameterCount(smallShape), 514);
    assert.equal(outputsOf(smallShape), 2);
  });

  it('number what Keras counts for the reference project: 12,265', () => {
    assert.equal(parameterCount(usualShape), 12_265);
  });

  it('refuse a shape beyond the limits, naming it', () => {
    assert.throws(() => checkShape({ ...smallShape, windowLength: 513 }), {
      code: 'BARCAST_E_SHAPE',
      message: /513 steps/,
    });
    assert.throws(() => checkShape({ ...smallShape, lstm: [257] }), { code: 'BARCAST_E_SHAPE', message: /257 units/ });
    assert.throws(() => checkShape({ ...smallShape, dropout: Number.NaN }), { code: 'BARCAST_E_SHAPE' });
    assert.throws(() => checkShape({ ...smallShape, dense: [{ units: 1, activation: 'tanh' as 'relu' }] }), {
      code: 'BARCAST_E_SHAPE',
      message: /tanh/,
    });
    checkShape(shapeOf(512, 32, [256, 256, 256], [256, 256, 256, 256], 0.999));
    checkShape(shapeOf(1, 1, [1], [1]));
  });
});

describe('initial weights', () => {
  it('are the same bits for the same seed, and others for another', () => {
    assert.deepEqual(initialWeights(usualShape, 7), initialWeights(usualShape, 7));
    assert.notDeepEqual(initialWeights(usualShape, 7), initialWeights(usualShape, 8));
  });

  it('have orthonormal rows in each recurrent kernel', () => {
    const shape = shapeOf(4, 3, [21, 64], [1]);
    const weights = initialWeights(shape, 1);
    for (const name of ['lstm.0.recurrent', 'lstm.1.recurrent']) {
      const { values, rows, columns } = blockOf(shape, weights, name);
      for (let a = 0; a < rows; a++) {
        for (let b = 0; b <= a; b++) {
          let dot = 0;
          for (let c = 0; c < columns; c++) dot += values[a * columns + c] * values[b * columns + c];
          assert.ok(Math.abs(dot - (a === b ? 1 : 0)) < 1e-6, `${name}: rows ${a} and ${b}`);
        }
      }
    }
  });

  it('fill each kernel evenly within the limit of Glorot and Bengio', () => {
    const weights = initialWeights(usualShape, 2);
    for (const name of ['lstm.0.kernel', 'dense.0.kernel']) {
      const { values, rows, columns } = blockOf(usualShape, weights, name);
      const limit = Math.sqrt(6 / (rows + columns));
      const sizes = values.map(Math.abs);
      assert.ok(Math.max(...sizes) <= limit && Math.max(...sizes) > 0.97 * limit, name);
      // Uniform: mean 0 and mean square limit^2 / 3, within five standard errors.
      const mean = values.reduce((sum, w) => sum + w, 0) / values.length;
      const square = values.reduce((sum, w) => sum + w * w, 0) / values.length;
      assert.ok(Math.abs(mean) < (5 * limit) / Math.sqrt(3 * values.length), name);
      assert.ok(Math.abs(square / (limit ** 2 / 3) - 1) < 5 * Math.sqrt(0.8 / values.length), name);
    }
  });

  it('have biases of 0 but 1 for the forget gate', () => {
    const weights = initialWeights(smallShape, 3);
    const bias = blockOf(smallShape, weights, 'lstm.0.bias').values;
    assert.deepEqual([...bias], [...Array(6).fill(0), ...Array(6).fill(1), ...Array(12).fill(0)]);
    assert.deepEqual([...blockOf(smallShape, weights, 'dense.0.bias').values], [0, 0, 0, 0]);
  });
});

describe('dropout words', () => {
  it('are the lanes of one Philox block a four units', () => {
    const block = new Uint32Array(4);
    philox4x32(11, 22, 33, 1, 0, 0x64726f70, block);
    assert.deepEqual(
      [4, 5, 6, 7].map((unit) => dropoutWord(11, 22, 33, unit)),
      [...block],
    );
  });

  it('take seed, step and sequence modulo 2^32', () => {
    assert.equal(dropoutWord(2 ** 32 + 1, 2 ** 33 + 2, 2 ** 34 + 3, 9), dropoutWord(1, 2, 3, 9));
    assert.equal(dropoutWord(-1, 2, 3, 9), dropoutWord(2 ** 32 - 1, 2, 3, 9));
  });

  it('drop the share asked for', () => {
    let dropped = 0;
    for (let sequence = 0; sequence < 200; sequence++) {
      for (let unit = 0; unit < 50; unit++) if (dropoutWord(1, 2, sequence, unit) < 0.2 * 2 ** 32) dropped++;
    }
    // Binomial with 10,000 draws: 2,000, standard deviation 40.
    assert.ok(Math.abs(dropped - 2000) < 200, `${dropped}`);
  });
});

describe('mean loss', () => {
  const predicted = Float32Array.of(1, 2, 3, 4);
  const targets = Float32Array.of(1.5, 0, 3, 8);
  it('is that of the definitions', () => {
    assert.equal(meanLoss({ kind: 'mse' }, predicted, targets), (0.25 + 4 + 0 + 16) / 4);
    assert.equal(meanLoss({ kind: 'huber', delta: 2 }, predicted, targets), (0.125 + 2 + 0 + 6) / 4);
    // Outputs 0 at level 0.25 and 1 at level 0.75, by turns.
    assert.equal(meanLoss({ kind: 'pinball', levels: [0.25, 0.75] }, predicted, targets), (0.125 + 0.5 + 0 + 3) / 4);
  });
  it('refuses lengths that do not fit', () => {
    assert.throws(() => meanLoss({ kind: 'mse' }, predicted, targets.slice(1)), { code: 'BARCAST_E_SHAPE' });
    assert.throws(() => meanLoss({ kind: 'pinball', levels: [0.1, 0.5, 0.9] }, predicted, targets), {
      code: 'BARCAST_E_SHAPE',
    });
  });
});
