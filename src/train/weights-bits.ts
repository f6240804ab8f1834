/** A quick 64-bit hash of weights, for ranks to compare while they train. Not for naming models: see `weightsHash`. */

/** Two 32-bit FNV-1a hashes over the words of `weights`, from different starts and with different steps. */
export function weightsBits(weights: Float32Array): bigint {
  const words = new Uint32Array(weights.buffer, weights.byteOffset, weights.length);
  let one = 0x811c9dc5;
  let other = 0x2545f491;
  for (let i = 0; i < words.length; i++) {
    one = Math.imul(one ^ words[i], 0x01000193);
    other = Math.imul((other ^ words[i]) + (other >>> 15), 0x85ebca6b);
  }
  return BigInt.asIntN(64, (BigInt(one >>> 0) << 32n) | BigInt(other >>> 0));
}
