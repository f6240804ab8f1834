/**
 * What the two passes over an LSTM layer's steps have in common.
 *
 * A thread owns one or two units of 4 to 16 sequences: its sums and cell states stay in registers over all time steps
 * of a dispatch, the states of the workgroup's sequences lie in workgroup memory, and so do the layer's weights where
 * they fit. Sums over rows go in one fixed order whatever the cut.
 */
import type { Cut } from './cut.ts';
import { HALF_MAX, numbersOf, repeat } from './shaders-common.ts';

export const GATES = ['i', 'f', 'g', 'o'];

/** Names and numbers of a cut. U units and V vec4s of sequences a thread, W vec4s a workgroup. */
export function threadsOf(cut: Cut, H: number) {
  const U = cut.units;
  const V = cut.sequences / 4;
  const W = V * cut.groups;
  const each = (code: (u: number, v: number) => string) => repeat(U, (u) => repeat(V, (v) => code(u, v)));
  return {
    U,
    V,
    W,
    threads: (H / U) * cut.groups,
    /** `code` for each of a thread's units and vec4s. */
    each,
    parameters: `@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3u${
      cut.shuffled ? ', @builtin(subgroup_invocation_id) lane: u32' : ''
    }`,
    own: `${repeat(U, (u) => `let unit${u} = thread % ${H / U}u + ${(u * H) / U}u;`)}
  let mine = (thread / ${H / U}u) * ${V}u;
  let first = group.x * ${W}u;
  let quarter = chunk.stride / 4u;
  ${cut.shuffled ? 'let lanes = subgroupAdd(1u);' : ''}`,
  };
}

/** What comes before all else in a shader: the features it needs. */
export const directives = (half: boolean, cut?: Cut): string =>
  numbersOf(half).enable +
  // Every lane goes through as many rows as its subgroup has lanes, however many that are.
  (cut?.shuffled ? 'enable subgroups;\ndiagnostic(off, subgroup_uniformity);\n' : '');

/** A number of workgroup memory that every thread of a group reads, row by row. */
export interface Shared {
  readonly name: string;
  readonly at: (row: string) => string;
}

/**
 * `body` for each of `count` rows with what all threads read of it: from workgroup memory by each thread, or by one
 * lane of a subgroup each, from which the others take it in turn.
 */
export function overRows(
  { shuffled }: Cut,
  half: boolean,
  count: number,
  shared: readonly Shared[],
  body: string,
): string {
  const { read } = numbersOf(half);
  const lines = (code: (one: Shared) => string) => shared.map(code).join(' ');
  if (!shuffled) {
    return `for (var k = 0u; k < ${count}u; k++) {
      ${lines(({ name, at }) => `let ${name} = ${read(at('k'))};`)}
      ${body}
    }`;
  }
  return `for (var base = 0u; base < ${count}u; base += lanes) {
      let row = min(base + lane, ${count - 1}u);
      ${lines(({ name, at }) => `let ${name}Own = ${at('row')};`)}
      let rows = min(lanes, ${count}u - base);
      for (var j = 0u; j < rows; j++) {
        let k = base + j;
        ${lines(({ name }) => `let ${name} = ${read(`subgroupShuffle(${name}Own, j)`)};`)}
        ${body}
      }
    }`;
}

/** `kept(x)`, a gradient as it is stored; in half precision one too large for it is cut and remembered in `over`. */
export const KEPT = {
  full: 'fn kept(x: vec4f) -> vec4f { return x; }',
  half: `
var<private> over = false;
fn kept(x: vec4f) -> vec4h {
  over = over || any(abs(x) > vec4f(${HALF_MAX}));
  return vec4h(clamp(x, vec4f(-${HALF_MAX}), vec4f(${HALF_MAX})));
}`,
};
