/** Refusals shared by this folder: arrays of another length, values that are not finite or not positive. */
import { BarcastError } from '../base/index.ts';

type Values = Float64Array | Float32Array | Int32Array;

/** @throws BARCAST_E_SHAPE */
export function requireLength(name: string, values: Values, length: number): void {
  if (values.length === length) return;
  throw new BarcastError(
    'BARCAST_E_SHAPE',
    `${name} has ${values.length} values for ${length} windows`,
    'give one value for each window',
  );
}

/** @throws BARCAST_E_NOT_FINITE */
export function requireFinite(name: string, values: Float64Array): void {
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) throw notFinite(`${name} of window ${i} is ${values[i]}`);
  }
}

/** @throws BARCAST_E_NOT_FINITE */
export function requirePositive(name: string, values: Float64Array): void {
  for (let i = 0; i < values.length; i++) {
    if (!(values[i] > 0 && values[i] < Number.POSITIVE_INFINITY)) {
      throw notFinite(`${name} of window ${i} is ${values[i]}`);
    }
  }
}

export const notFinite = (what: string): BarcastError =>
  new BarcastError('BARCAST_E_NOT_FINITE', what, 'keep only windows whose values are all known');
