/** A network's flat weights as named tensors and back, and the hash that names their bits. */
import { createHash } from 'node:crypto';
import { BarcastError } from '../base/index.ts';
import { type NetworkShape, parameterCount, parametersOf } from '../kernel/index.ts';
import type { Tensor, TensorFile } from './safetensors.ts';

/** SHA-256 of the weights' little-endian float32 bytes, in hexadecimal: equal hashes are equal bits. */
export function weightsHash(weights: Float32Array): string {
  return createHash('sha256')
    .update(new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength))
    .digest('hex');
}

/** The parameters of `[P]` weights by name, in the order of the flat array; the data is shared. */
export function weightsToTensors(shape: NetworkShape, weights: Float32Array): Map<string, Tensor> {
  return new Map(
    parametersOf(shape).map(({ name, dimensions, offset, length }) => [
      name,
      { dimensions, data: weights.subarray(offset, offset + length) },
    ]),
  );
}

/** `[P]` weights from named tensors. @throws BARCAST_E_MODEL_FORMAT when one is missing, of another shape or not finite */
export function weightsFromTensors(shape: NetworkShape, file: TensorFile, source: string): Float32Array {
  const weights = new Float32Array(parameterCount(shape));
  for (const { name, dimensions, offset } of parametersOf(shape)) {
    const tensor = file.tensors.get(name);
    const fits = tensor !== undefined && tensor.dimensions.join() === dimensions.join();
    if (!fits) {
      const has = tensor ? `is [${tensor.dimensions}]` : 'is missing';
      throw new BarcastError(
        'BARCAST_E_MODEL_FORMAT',
        `${source}: tensor '${name}' ${has}, not [${dimensions}]`,
        'use the weights that belong to this description',
      );
    }
    if (!tensor.data.every(Number.isFinite)) {
      throw new BarcastError(
        'BARCAST_E_MODEL_FORMAT',
        `${source}: tensor '${name}' holds a number that is not finite`,
        'restore it from a copy, or train again',
      );
    }
    weights.set(tensor.data, offset);
  }
  return weights;
}
