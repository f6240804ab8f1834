/** Pieces of WGSL that several shaders share. */

/** The chunk that a dispatch works on: `chunkWords` fills it. */
export const CHUNK = `
struct Chunk {
  // sequences that count, and those there is room for
  count: u32, stride: u32,
  // place of the chunk's first sequence in the call's batch, and in the step's batch
  first: u32, place: u32,
  seed: u32, step: u32, scaleStride: u32, batch: u32,
  delta: f32, unused0: u32, unused1: u32, unused2: u32,
}
@group(0) @binding(0) var<uniform> chunk: Chunk;`;

export const CHUNK_BYTES = 48;

/** What happened: any of these makes the call an error. */
export const FLAGS = { input: 0, diverged: 1, update: 2 } as const;

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
