/** WGSL of the way back through one LSTM layer; the equations are in `reference/lstm.ts`, the memory in `plan.ts`. */
import type { Cut } from './cut.ts';
import type { NetworkPlan } from './plan.ts';
import { ACTIVATIONS, CHUNK, FLAGS, numbersOf, repeat } from './shaders-common.ts';
import { directives, GATES, KEPT, overRows, threadsOf } from './shaders-pass.ts';

/** Marks the tile of a quarter of sequences as one to begin anew with a smaller loss scale. */
const backOff = (quarter: string) => `if (over) {
    atomicStore(&backoff[chunk.first / 32u + (${quarter}) / 8u], chunk.attempt + 1u);
    atomicStore(&flags[${FLAGS.overflow}], 1u);
  }`;

const BACKOFF = (binding: number) => `
@group(0) @binding(${binding}) var<storage, read_write> backoff: array<atomic<u32>>;
@group(0) @binding(${binding + 1}) var<storage, read_write> flags: array<atomic<u32>>;`;

/**
 * Back through all steps: the gates' gradients take the gates' place. Bindings: chunk, packed weights, gates, cells;
 * then for the top layer the head's gradient and the dropout mask, else the gradient that the layer above wrote; in
 * half precision the loss scale at the top, how often tiles were begun anew, and flags.
 */
export function lstmBackward(plan: NetworkPlan, l: number, cut: Cut): string {
  const { inputs: I, units: H, transposed, half } = plan.lstm[l];
  const K = I + H;
  const top = l === plan.lstm.length - 1;
  const { U, V, W, threads, each, parameters, own } = threadsOf(cut, H);
  const { vector, read } = numbersOf(half);
  // Only the recurrent part is needed: [H, H] of the transposed [H, K].
  const weights = cut.resident
    ? {
        memory: `var<workgroup> weights: array<${vector}, ${H * H}>;`,
        load: `for (var w = thread; w < ${H * H}u; w += ${threads}u) { weights[w] = packed[${transposed + I}u + (w / ${H}u) * ${K}u + w % ${H}u]; }`,
        at: (unit: string) => read(`weights[k * ${H}u + ${unit}]`),
      }
    : { memory: '', load: '', at: (unit: string) => read(`packed[${transposed + I}u + k * ${K}u + ${unit}]`) };
  const slopes = Array.from({ length: 4 * V }, (_, s) => ({
    name: `s${Math.floor(s / V)}${s % V}`,
    at: (row: string) => `slopes[(${row} * 4u + ${Math.floor(s / V)}u) * ${W}u + mine + ${s % V}u]`,
  }));
  const sums = `${repeat(U, (u) => `let w${u} = ${weights.at(`unit${u}`)};`)}
      ${each((u, v) => ['x', 'y', 'z', 'w'].map((gate, q) => `sum${u}${v} = fma(vec4f(w${u}.${gate}), s${q}${v}, sum${u}${v});`).join(' '))}`;
  const scaled = half ? ' * lossScale[(first + mine) / 8u].x' : '';
  return `${directives(half, cut)}${CHUNK}
@group(0) @binding(1) var<storage, read> packed: array<${vector}>;
@group(0) @binding(2) var<storage, read_write> gates: array<${vector}>;
@group(0) @binding(3) var<storage, read> cells: array<${vector}>;
@group(0) @binding(4) var<storage, read> above: array<${top ? 'vec4f' : vector}>;
${top ? '@group(0) @binding(5) var<storage, read> mask: array<vec4f>;' : ''}
${top && half ? '@group(0) @binding(6) var<storage, read> lossScale: array<vec2f>;' : ''}
${half ? BACKOFF(top ? 7 : 5) : ''}
var<workgroup> slopes: array<${vector}, ${4 * H * W}>;
${weights.memory}
${ACTIVATIONS}
${half ? KEPT.half : KEPT.full}
@compute @workgroup_size(${threads})
fn main(${parameters}) {
  ${own}
  ${weights.load}
  ${each((u, v) => `var cellSlope${u}${v} = vec4f(0);`)}
  ${each((u, v) =>
    top
      ? `var hiddenSlope${u}${v} = above[(first + mine + ${v}u) * ${plan.headRows}u + unit${u}] * mask[(first + mine + ${v}u) * ${H}u + unit${u}]${scaled};`
      : `var hiddenSlope${u}${v} = vec4f(0);`,
  )}
  for (var back = 0u; back < ${plan.steps}u; back++) {
    let t = ${plan.steps - 1}u - back;
    ${each((u, v) => {
      const own = `${u}${v}`;
      return `{
      let at = t * quarter + first + mine + ${v}u;
      ${top ? '' : `hiddenSlope${own} += ${read(`above[at * ${H}u + unit${u}]`)};`}
      ${GATES.map((gate, q) => `let ${gate} = ${read(`gates[(at * 4u + ${q}u) * ${H}u + unit${u}]`)};`).join('\n      ')}
      let squashed = hyperbolic(${read(`cells[at * ${H}u + unit${u}]`)});
      var before = vec4f(0);
      if (t > 0u) { before = ${read(`cells[(at - quarter) * ${H}u + unit${u}]`)}; }
      let dc = fma(hiddenSlope${own} * o, vec4f(1) - squashed * squashed, cellSlope${own});
      let di = kept(dc * g * i * (vec4f(1) - i));
      let df = kept(dc * before * f * (vec4f(1) - f));
      let dg = kept(dc * i * (vec4f(1) - g * g));
      let dout = kept(hiddenSlope${own} * squashed * o * (vec4f(1) - o));
      cellSlope${own} = dc * f;
      ${['di', 'df', 'dg', 'dout']
        .map(
          (slope, q) =>
            `gates[(at * 4u + ${q}u) * ${H}u + unit${u}] = ${slope}; slopes[(unit${u} * 4u + ${q}u) * ${W}u + mine + ${v}u] = ${slope};`,
        )
        .join('\n      ')}
    }`;
    })}
    workgroupBarrier();
    ${each((u, v) => `var sum${u}${v} = vec4f(0);`)}
    ${overRows(cut, half, H, slopes, sums)}
    ${each((u, v) => `hiddenSlope${u}${v} = sum${u}${v};`)}
    workgroupBarrier();
  }
  ${half ? backOff('first + mine') : ''}
}`;
}

/**
 * What a layer's gates tell the layer below: `below[t] = gates[t] W^T`. Bindings: chunk, packed, gates, below; in half
 * precision how often tiles were begun anew, and flags.
 */
export function lstmBelow(plan: NetworkPlan, l: number): string {
  const { inputs: I, units: H, transposed, half } = plan.lstm[l];
  const { vector, read } = numbersOf(half);
  return `${directives(half)}${CHUNK}
@group(0) @binding(1) var<storage, read> packed: array<${vector}>;
@group(0) @binding(2) var<storage, read> gates: array<${vector}>;
@group(0) @binding(3) var<storage, read_write> below: array<${vector}>;
${half ? BACKOFF(4) : ''}
${half ? KEPT.half : KEPT.full}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ${I}u) { return; }
  let at = id.z * (chunk.stride / 4u) + id.y;
  var sum = vec4f(0);
  for (var unit = 0u; unit < ${H}u; unit++) {
    let w = ${read(`packed[${transposed}u + unit * ${I + H}u + id.x]`)};
    ${['x', 'y', 'z', 'w']
      .map((gate, q) => `sum = fma(vec4f(w.${gate}), ${read(`gates[(at * 4u + ${q}u) * ${H}u + unit]`)}, sum);`)
      .join('\n    ')}
  }
  below[at * ${I}u + id.x] = kept(sum);
  ${half ? backOff('id.y') : ''}
}`;
}

/** Rows of a layer's inputs whose gradients one thread sums. */
export const GRADIENT_ROWS = 4;

/**
 * A tile's gradient of a layer's weights, over steps and then sequences: each of four lanes sums every fourth sequence,
 * the lanes are added last. Bindings: chunk, inputs, gates, tiles; in half precision the loss scale. Grid: units,
 * blocks of rows, tiles.
 */
export function lstmGradient(plan: NetworkPlan, l: number): string {
  const { inputs: I, units: H, offset, half } = plan.lstm[l];
  const K = I + H;
  const { vector, read } = numbersOf(half);
  return `${directives(half)}${CHUNK}
@group(0) @binding(1) var<storage, read> inputs: array<${vector}>;
@group(0) @binding(2) var<storage, read> gates: array<${vector}>;
@group(0) @binding(3) var<storage, read_write> tiles: array<f32>;
${half ? '@group(0) @binding(4) var<storage, read> lossScale: array<vec2f>;' : ''}
fn total(x: vec4f, tile: u32) -> f32 { return ((x.x + x.y) + (x.z + x.w))${half ? ' * lossScale[tile].y' : ''}; }
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ${H}u) { return; }
  let unit = id.x;
  let row = id.y * ${GRADIENT_ROWS}u;
  ${repeat(GRADIENT_ROWS, (r) => GATES.map((gate) => `var ${gate}${r} = vec4f(0);`).join(' '))}
  for (var t = 0u; t < ${plan.steps}u; t++) {
    for (var q = 0u; q < 8u; q++) {
      let at = t * (chunk.stride / 4u) + id.z * 8u + q;
      ${GATES.map((gate, q) => `let of_${gate} = ${read(`gates[(at * 4u + ${q}u) * ${H}u + unit]`)};`).join('\n      ')}
      ${repeat(
        GRADIENT_ROWS,
        (r) => `{
        var x = vec4f(1);
        if (row + ${r}u < ${K}u) { x = ${read(`inputs[at * ${K}u + row + ${r}u]`)}; }
        ${GATES.map((gate) => `${gate}${r} = fma(x, of_${gate}, ${gate}${r});`).join(' ')}
      }`,
      )}
    }
  }
  let to = id.z * ${plan.parameters + 1}u + ${offset}u + unit;
  ${repeat(
    GRADIENT_ROWS,
    (r) => `if (row + ${r}u <= ${K}u) {
    ${GATES.map((gate, q) => `tiles[to + (row + ${r}u) * ${4 * H}u + ${q * H}u] = total(${gate}${r}, id.z);`).join('\n    ')}
  }`,
  )}
}`;
}
