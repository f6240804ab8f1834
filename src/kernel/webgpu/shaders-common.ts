/** Pieces of WGSL that several shaders share. */

/** The chunk that a dispatch works on: `chunkWords` fills it. */
export const CHUNK = `
struct Chunk {
  // sequences that count, and those there is room for
  count: u32, stride: u32,
  // place of the chunk's first sequence in the call's batch, and in the step's batch
  first: u32, place: u32,
  seed: u32, step: u32, scaleStride: u32, batch: u32,
  // of the loss scale, how often the call was begun anew
  delta: f32, attempt: u32,
  // features that the matrix holds
  columns: u32, unused: u32,
}
@group(0) @binding(0) var<uniform> chunk: Chunk;`;

export const CHUNK_BYTES = 48;

/** {@link CHUNK}'s numbers, without the rest of the struct's room. */
export interface ChunkNumbers {
  readonly count: number;
  readonly stride: number;
  readonly first: number;
  readonly place: number;
  readonly seed: number;
  readonly step: number;
  readonly scaleStride: number;
  readonly batch: number;
  readonly delta: number;
  readonly attempt: number;
  readonly columns: number;
}

export function chunkWords(of: ChunkNumbers): Uint32Array {
  const words = new Uint32Array(CHUNK_BYTES / 4);
  words.set([of.count, of.stride, of.first, of.place, of.seed, of.step, of.scaleStride, of.batch]);
  words.set([of.attempt, of.columns], 9);
  new Float32Array(words.buffer)[8] = of.delta;
  return words;
}

/** What happened: any of these makes the call an error. */
export const FLAGS = { input: 0, diverged: 1, update: 2, overflow: 3 } as const;

/** Largest number of float16. */
export const HALF_MAX = 65504;

/** How numbers that LSTM layers keep are stored, and how they are read and written. */
export const numbersOf = (half: boolean) =>
  half
    ? {
        enable: 'enable f16;\n',
        vector: 'vec4h',
        read: (stored: string) => `vec4f(${stored})`,
        write: (value: string) => `vec4h(${value})`,
      }
    : { enable: '', vector: 'vec4f', read: (stored: string) => stored, write: (value: string) => value };

/** Compilers may assume that there is no NaN: only the bits tell. */
export const FINITE = `
fn finite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }`;

/** With e^-|x| alone, whose absolute error WGSL keeps near that of float32 (3 + 2 |x| units in the last place). */
export const ACTIVATIONS = `
fn sigmoid(x: vec4f) -> vec4f {
  let e = exp(-abs(x));
  return select(vec4f(1), e, x < vec4f(0)) / (vec4f(1) + e);
}
fn hyperbolic(x: vec4f) -> vec4f {
  let e = exp(-2 * abs(x));
  return sign(x) * (vec4f(1) - e) / (vec4f(1) + e);
}`;

/** `count` copies of a piece of code. */
export const repeat = (count: number, code: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => code(index)).join('\n  ');
