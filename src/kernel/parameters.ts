/**
 * How a network's parameters lie in one flat float32 array, and how they are named.
 *
 * For LSTM layer l with I inputs and H units: `lstm.l.kernel [I, 4H]`, `lstm.l.recurrent [H, 4H]`, `lstm.l.bias [4H]`;
 * then for dense layer d with I inputs and U units: `dense.d.kernel [I, U]`, `dense.d.bias [U]`. Row-major; the four
 * gates stand in Keras's order: input, forget, cell, output.
 */
import { BarcastError, Random } from '../base/index.ts';
import type { NetworkShape } from './kernel.ts';

export interface Parameter {
  readonly name: string;
  readonly dimensions: readonly number[];
  /** Index of its first number in the flat array. */
  readonly offset: number;
  readonly length: number;
}

const wholeWithin = (value: number, low: number, high: number) =>
  Number.isInteger(value) && value >= low && value <= high;

/** @throws BARCAST_E_SHAPE for a shape beyond the limits that `kernel.ts` states */
export function checkShape(shape: NetworkShape): void {
  const refuse = (what: string, limit: string) => {
    throw new BarcastError('BARCAST_E_SHAPE', what, `choose ${limit}`);
  };
  if (!wholeWithin(shape.windowLength, 1, 512))
    refuse(`a window of ${shape.windowLength} steps`, 'a whole number from 1 to 512');
  if (!wholeWithin(shape.features, 1, 32)) refuse(`${shape.features} features`, 'a whole number from 1 to 32');
  if (!wholeWithin(shape.lstm.length, 1, 3)) refuse(`${shape.lstm.length} LSTM layers`, 'one to three');
  for (const units of shape.lstm) {
    if (!wholeWithin(units, 1, 256)) refuse(`an LSTM layer of ${units} units`, 'a whole number from 1 to 256');
  }
  if (!(shape.dropout >= 0 && shape.dropout < 1))
    refuse(`a dropout of ${shape.dropout}`, 'a share from 0 to less than 1');
  if (!wholeWithin(shape.dense.length, 1, 4)) refuse(`${shape.dense.length} dense layers`, 'one to four');
  for (const { units, activation } of shape.dense) {
    if (!wholeWithin(units, 1, 256)) refuse(`a dense layer of ${units} units`, 'a whole number from 1 to 256');
    if (activation !== 'linear' && activation !== 'relu') refuse(`an activation '${activation}'`, 'linear or relu');
  }
}

/** O, the number of outputs. */
export const outputsOf = (shape: NetworkShape): number => shape.dense[shape.dense.length - 1].units;

/** Every parameter in the order of the flat array. @throws BARCAST_E_SHAPE */
export function parametersOf(shape: NetworkShape): Parameter[] {
  checkShape(shape);
  const parameters: Parameter[] = [];
  let offset = 0;
  const add = (name: string, ...dimensions: number[]) => {
    const length = dimensions.reduce((product, n) => product * n, 1);
    parameters.push({ name, dimensions, offset, length });
    offset += length;
  };
  let inputs = shape.features;
  shape.lstm.forEach((units, layer) => {
    add(`lstm.${layer}.kernel`, inputs, 4 * units);
    add(`lstm.${layer}.recurrent`, units, 4 * units);
    add(`lstm.${layer}.bias`, 4 * units);
    inputs = units;
  });
  shape.dense.forEach(({ units }, layer) => {
    add(`dense.${layer}.kernel`, inputs, units);
    add(`dense.${layer}.bias`, units);
    inputs = units;
  });
  return parameters;
}

/** P, the number of parameters. */
export function parameterCount(shape: NetworkShape): number {
  const last = parametersOf(shape).at(-1)!;
  return last.offset + last.length;
}

/**
 * Fresh weights as Keras makes them: kernels uniform within sqrt(6 / (inputs + outputs)) (Glorot & Bengio 2010),
 * recurrent kernels orthogonal (Saxe, McClelland & Ganguli 2014), biases 0 but the forget gate's at 1 (Jozefowicz,
 * Zaremba & Sutskever 2015). The same seed gives the same bits.
 */
export function initialWeights(shape: NetworkShape, seed: number): Float32Array {
  const weights = new Float32Array(parameterCount(shape));
  parametersOf(shape).forEach((parameter, index) => {
    const random = new Random(seed, 0x1000 + index);
    const slice = weights.subarray(parameter.offset, parameter.offset + parameter.length);
    const [rows, columns] = parameter.dimensions;
    if (parameter.name.endsWith('.recurrent')) fillOrthogonal(slice, rows, columns, random);
    else if (parameter.name.endsWith('.kernel')) {
      const limit = Math.sqrt(6 / (rows + columns));
      for (let i = 0; i < slice.length; i++) slice[i] = (2 * random.uniform() - 1) * limit;
    } else if (parameter.name.startsWith('lstm.')) slice.fill(1, rows / 4, rows / 2);
  });
  return weights;
}

/** Orthonormal rows, `[rows, columns]` with rows <= columns, by modified Gram-Schmidt on normal draws. */
function fillOrthogonal(out: Float32Array, rows: number, columns: number, random: Random): void {
  const basis = Array.from({ length: rows }, () => Float64Array.from({ length: columns }, () => random.normal()));
  basis.forEach((row, r) => {
    for (let previous = 0; previous < r; previous++) {
      const other = basis[previous];
      let dot = 0;
      for (let c = 0; c < columns; c++) dot += row[c] * other[c];
      for (let c = 0; c < columns; c++) row[c] -= dot * other[c];
    }
    const norm = Math.hypot(...row);
    for (let c = 0; c < columns; c++) out[r * columns + c] = row[c] /= norm;
  });
}
