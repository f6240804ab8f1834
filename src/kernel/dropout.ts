/** Which units a training step drops: a pure function, the same in every kernel. */
import { philox4x32 } from '../base/index.ts';

const block = new Uint32Array(4);

/**
 * The random word of one unit: lane `unit mod 4` of Philox4x32-10 with key (seed, step) and counter
 * (sequence, floor(unit / 4), 0, 0x64726f70), all taken modulo 2^32. The unit is dropped when
 * `word < round(dropout * 2^32)`; a kept one is multiplied by 1 / (1 - dropout) in float32.
 */
export function dropoutWord(seed: number, step: number, sequence: number, unit: number): number {
  philox4x32(seed, step, sequence, unit >>> 2, 0, 0x64726f70, block);
  return block[unit & 3];
}
