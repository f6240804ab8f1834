/**
 * Philox4x32-10, a counter-based generator (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3", SC11): the same key and counter give the same four words on every machine, thread and order of calls.
 */

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

/** High 32 bits of the 64-bit product of two unsigned 32-bit words. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const cross = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(cross / 0x10000)) >>> 0;
}

/** Ten rounds of Philox4x32. `out` receives four unsigned words; `key` is two words, `counter` four. */
export function philox4x32(
  key0: number,
  key1: number,
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  out: Uint32Array,
): void {
  let k0 = key0 >>> 0;
  let k1 = key1 >>> 0;
  let [x0, x1, x2, x3] = [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0];
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(M0, x0);
    const low0 = Math.imul(M0, x0) >>> 0;
    const high1 = multiplyHigh(M1, x2);
    const low1 = Math.imul(M1, x2) >>> 0;
    x0 = (high1 ^ x1 ^ k0) >>> 0;
    x1 = low1;
    x2 = (high0 ^ x3 ^ k1) >>> 0;
    x3 = low0;
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  out[0] = x0;
  out[1] = x1;
  out[2] = x2;
  out[3] = x3;
}

/** A stream of random numbers over {@link philox4x32}: (seed, stream) name it, and it can be saved and restored. */
export class Random {
  readonly #seed: number;
  readonly #stream: number;
  readonly #block = new Uint32Array(4);
  #position: number;

  /**
   * @param seed any integer; its low 32 bits and the next 21 are used
   * @param stream independent streams of one seed
   * @param position how many words were already drawn
   */
  constructor(seed: number, stream = 0, position = 0) {
    this.#seed = seed;
    this.#stream = stream >>> 0;
    this.#position = position;
    if (position % 4 !== 0) this.#fill(Math.floor(position / 4));
  }

  get position(): number {
    return this.#position;
  }

  #fill(block: number): void {
    philox4x32(
      this.#seed,
      this.#stream,
      block,
      Math.floor(block / 2 ** 32),
      Math.floor(this.#seed / 2 ** 32),
      0,
      this.#block,
    );
  }

  /** The next unsigned 32-bit word. */
  word(): number {
    const lane = this.#position % 4;
    if (lane === 0) this.#fill(Math.floor(this.#position / 4));
    this.#position++;
    return this.#block[lane];
  }

  /** Uniform in [0, 1) with 32 bits. */
  uniform(): number {
    return this.word() / 2 ** 32;
  }

  /** Uniform whole number in [0, bound); bound at most 2^32. The bias is below bound / 2^32. */
  below(bound: number): number {
    return Math.floor(this.uniform() * bound);
  }

  /** Standard normal by Box and Muller (1958); draws two words a number. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log((this.word() + 0.5) / 2 ** 32));
    return radius * Math.cos((2 * Math.PI * this.word()) / 2 ** 32);
  }

  /** Shuffles in place (Fisher and Yates, Durstenfeld's form). */
  shuffle(values: Int32Array): void {
    for (let i = values.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const kept = values[i];
      values[i] = values[j];
      values[j] = kept;
    }
  }
}

/** A 32-bit hash of a text (FNV-1a), to turn a name into a stream of its own. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
