/**
 * A model in one file: safetensors with the tensors of `weights.safetensors` and the whole description as the
 * metadata's `description`. Any reader of safetensors can take the weights from it.
 */
import { BarcastError } from '../base/index.ts';
import { type ModelDescription, parseDescription } from './description.ts';
import type { Model } from './model.ts';
import { decodeSafetensors, encodeSafetensors } from './safetensors.ts';
import { weightsFromTensors, weightsHash, weightsToTensors } from './weights.ts';

/** @param weights `[P]`. */
export function encodeModelFile(description: ModelDescription, weights: Float32Array): Uint8Array {
  const metadata = { format: 'barcast', description: JSON.stringify(description) };
  return encodeSafetensors({ tensors: weightsToTensors(description.shape, weights), metadata });
}

/** The bytes of {@link encodeModelFile} for an open model. */
export async function exportSafetensors(model: Model): Promise<Uint8Array> {
  return encodeModelFile(model.description, await model.readWeights());
}

/** @param source named in errors. @throws BARCAST_E_MODEL_FORMAT for anything that is not a whole, sound model */
export function decodeModelFile(
  bytes: Uint8Array,
  source: string,
): { description: ModelDescription; weights: Float32Array } {
  const file = decodeSafetensors(bytes, source);
  const text: unknown = file.metadata?.description;
  const refuse = (what: string, remedy: string): never => {
    throw new BarcastError('BARCAST_E_MODEL_FORMAT', `${source}: ${what}`, remedy);
  };
  if (typeof text !== 'string')
    return refuse('it holds weights without a description', 'export the model once more with barcast');
  const description = parseDescription(text, source);
  const weights = weightsFromTensors(description.shape, file, source);
  if (weightsHash(weights) !== description.weightsHash) {
    refuse('its weights are not those that its description names', 'restore it from a copy');
  }
  return { description, weights };
}
