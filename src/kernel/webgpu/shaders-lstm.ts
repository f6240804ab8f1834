/**
 * WGSL of one LSTM layer; the equations are in `reference/lstm.ts`, the memory in `plan.ts`.
 *
 * A thread owns one unit of 4 or 8 sequences: its gates' sums and cell states stay in registers over all time steps of
 * a dispatch, the hidden states of the workgroup's sequences lie in workgroup memory, and so do the layer's weights
 * where they fit. Sums over rows go in one fixed order whatever the cut.
 */

import type { Cut, LstmPlan, NetworkPlan } from './plan.ts';
import { ACTIVATIONS, CHUNK, repeat } from './shaders-common.ts';

const GATES = ['i', 'f', 'g', 'o'];

/** How the weights are read, and the code that brings them at hand. */
function weightsOf({ resident }: Cut, first: number, count: number, threads: number) {
  if (!resident) return { memory: '', load: '', at: (index: string) => `packed[${first}u + ${index}]` };
  return {
    memory: `var<workgroup> weights: array<vec4f, ${count}>;`,
    load: `for (var w = thread; w < ${count}u; w += ${threads}u) { weights[w] = packed[${first}u + w]; }`,
    at: (index: string) => `weights[${index}]`,
  };
}

/**
 * All steps of a layer. Bindings: chunk, packed weights, its inputs, where its last hidden state goes (`head`); then
 * with `next` the inputs of the layer above, and with `keep` (training) gates and cells.
 */
export function lstmForward(plan: NetworkPlan, l: number, cut: Cut, keep: boolean): string {
  const layer: LstmPlan = plan.lstm[l];
  const { inputs: I, units: H } = layer;
  const K = I + H;
  const top = l === plan.lstm.length - 1;
  const V = cut.sequences / 4;
  const W = V * cut.groups;
  const threads = H * cut.groups;
  const weights = weightsOf(cut, layer.packed, (K + 1) * H, threads);
  const upper = top ? undefined : plan.lstm[l + 1];
  const upperRows = upper ? upper.inputs + upper.units : 0;
  let binding = 3;
  const bind = (name: string, type = 'array<vec4f>') =>
    `@group(0) @binding(${binding++}) var<storage, read_write> ${name}: ${type};`;
  return `${CHUNK}
@group(0) @binding(1) var<storage, read> packed: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> inputs: array<vec4f>;
${bind(top ? 'head' : 'above')}
${keep ? `${bind('gates')}\n${bind('cells')}` : ''}
var<workgroup> state: array<vec4f, ${K * W}>;
${weights.memory}
${ACTIVATIONS}
@compute @workgroup_size(${threads})
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3u) {
  let unit = thread % ${H}u;
  let mine = (thread / ${H}u) * ${V}u;
  let first = group.x * ${W}u;
  let quarter = chunk.stride / 4u;
  ${weights.load}
  ${repeat(V, (v) => `var cell${v} = vec4f(0); var hidden${v} = vec4f(0);`)}
  ${repeat(V, (v) => `state[(${I}u + unit) * ${W}u + mine + ${v}u] = vec4f(0);`)}
  for (var t = 0u; t < ${plan.steps}u; t++) {
    for (var x = thread; x < ${I * W}u; x += ${threads}u) {
      state[x] = inputs[(t * quarter + first + x % ${W}u) * ${K}u + x / ${W}u];
    }
    ${keep ? repeat(V, (v) => `inputs[(t * quarter + first + mine + ${v}u) * ${K}u + ${I}u + unit] = hidden${v};`) : ''}
    workgroupBarrier();
    let bias = ${weights.at(`${K * H}u + unit`)};
    ${repeat(V, (v) => `var i${v} = vec4f(bias.x); var f${v} = vec4f(bias.y); var g${v} = vec4f(bias.z); var o${v} = vec4f(bias.w);`)}
    for (var k = 0u; k < ${K}u; k++) {
      let w = ${weights.at(`k * ${H}u + unit`)};
      ${repeat(
        V,
        (v) => `let s${v} = state[k * ${W}u + mine + ${v}u];
      i${v} = fma(vec4f(w.x), s${v}, i${v}); f${v} = fma(vec4f(w.y), s${v}, f${v});
      g${v} = fma(vec4f(w.z), s${v}, g${v}); o${v} = fma(vec4f(w.w), s${v}, o${v});`,
      )}
    }
    ${repeat(
      V,
      (v) => `i${v} = sigmoid(i${v}); f${v} = sigmoid(f${v}); g${v} = hyperbolic(g${v}); o${v} = sigmoid(o${v});
    cell${v} = fma(f${v}, cell${v}, i${v} * g${v});
    hidden${v} = o${v} * hyperbolic(cell${v});`,
    )}
    workgroupBarrier();
    ${repeat(
      V,
      (v) => `{
      state[(${I}u + unit) * ${W}u + mine + ${v}u] = hidden${v};
      let at = t * quarter + first + mine + ${v}u;
      ${keep ? GATES.map((gate, q) => `gates[(at * 4u + ${q}u) * ${H}u + unit] = ${gate}${v};`).join(' ') : ''}
      ${keep ? `cells[at * ${H}u + unit] = cell${v};` : ''}
      ${top ? '' : `above[at * ${upperRows}u + unit] = hidden${v};`}
    }`,
    )}
  }
  ${top ? repeat(V, (v) => `head[(first + mine + ${v}u) * ${plan.headRows}u + unit] = hidden${v};`) : ''}
}`;
}

/**
 * Back through all steps: the gates' gradients take the gates' place. Bindings: chunk, packed weights, gates, cells;
 * then for the top layer the head's gradient and the dropout mask, else the gradient that the layer above wrote.
 */
export function lstmBackward(plan: NetworkPlan, l: number, cut: Cut): string {
  const layer = plan.lstm[l];
  const { inputs: I, units: H } = layer;
  const K = I + H;
  const top = l === plan.lstm.length - 1;
  const V = cut.sequences / 4;
  const W = V * cut.groups;
  const threads = H * cut.groups;
  // Only the recurrent part is needed: [H, H] of the transposed [H, K].
  const weights = cut.resident
    ? {
        memory: `var<workgroup> weights: array<vec4f, ${H * H}>;`,
        load: `for (var w = thread; w < ${H * H}u; w += ${threads}u) { weights[w] = packed[${layer.transposed + I}u + (w / ${H}u) * ${K}u + w % ${H}u]; }`,
        at: (unit: string) => `weights[${unit} * ${H}u + unit]`,
      }
    : { memory: '', load: '', at: (unit: string) => `packed[${layer.transposed + I}u + ${unit} * ${K}u + unit]` };
  return `${CHUNK}
@group(0) @binding(1) var<storage, read> packed: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> gates: array<vec4f>;
@group(0) @binding(3) var<storage, read> cells: array<vec4f>;
@group(0) @binding(4) var<storage, read> above: array<vec4f>;
${top ? '@group(0) @binding(5) var<storage, read> mask: array<vec4f>;' : ''}
var<workgroup> slopes: array<vec4f, ${4 * H * W}>;
${weights.memory}
${ACTIVATIONS}
@compute @workgroup_size(${threads})
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3u) {
  let unit = thread % ${H}u;
  let mine = (thread / ${H}u) * ${V}u;
  let first = group.x * ${W}u;
  let quarter = chunk.stride / 4u;
  ${weights.load}
  ${repeat(V, (v) => `var cellSlope${v} = vec4f(0);`)}
  ${repeat(V, (v) =>
    top
      ? `var hiddenSlope${v} = above[(first + mine + ${v}u) * ${plan.headRows}u + unit] * mask[(first + mine + ${v}u) * ${H}u + unit];`
      : `var hiddenSlope${v} = vec4f(0);`,
  )}
  for (var back = 0u; back < ${plan.steps}u; back++) {
    let t = ${plan.steps - 1}u - back;
    ${repeat(
      V,
      (v) => `{
      let at = t * quarter + first + mine + ${v}u;
      ${top ? '' : `hiddenSlope${v} += above[at * ${H}u + unit];`}
      let i = gates[(at * 4u) * ${H}u + unit];
      let f = gates[(at * 4u + 1u) * ${H}u + unit];
      let g = gates[(at * 4u + 2u) * ${H}u + unit];
      let o = gates[(at * 4u + 3u) * ${H}u + unit];
      let squashed = hyperbolic(cells[at * ${H}u + unit]);
      var before = vec4f(0);
      if (t > 0u) { before = cells[(at - quarter) * ${H}u + unit]; }
      let dc = fma(hiddenSlope${v} * o, vec4f(1) - squashed * squashed, cellSlope${v});
      let di = dc * g * i * (vec4f(1) - i);
      let df = dc * before * f * (vec4f(1) - f);
      let dg = dc * i * (vec4f(1) - g * g);
      let dout = hiddenSlope${v} * squashed * o * (vec4f(1) - o);
      cellSlope${v} = dc * f;
      ${['di', 'df', 'dg', 'dout']
        .map(
          (slope, q) =>
            `gates[(at * 4u + ${q}u) * ${H}u + unit] = ${slope}; slopes[(unit * 4u + ${q}u) * ${W}u + mine + ${v}u] = ${slope};`,
        )
        .join('\n      ')}
    }`,
    )}
    workgroupBarrier();
    ${repeat(V, (v) => `var sum${v} = vec4f(0);`)}
    for (var other = 0u; other < ${H}u; other++) {
      let w = ${weights.at('other')};
      ${repeat(V, (v) =>
        ['x', 'y', 'z', 'w']
          .map(
            (gate, q) =>
              `sum${v} = fma(vec4f(w.${gate}), slopes[(other * 4u + ${q}u) * ${W}u + mine + ${v}u], sum${v});`,
          )
          .join(' '),
      )}
    }
    ${repeat(V, (v) => `hiddenSlope${v} = sum${v};`)}
    workgroupBarrier();
  }
}`;
}

/** What a layer's gates tell the layer below: `below[t] = gates[t] W^T`. Bindings: chunk, packed, gates, below. */
export function lstmBelow(plan: NetworkPlan, l: number): string {
  const { inputs: I, units: H, transposed } = plan.lstm[l];
  return `${CHUNK}
@group(0) @binding(1) var<storage, read> packed: array<vec4f>;
@group(0) @binding(2) var<storage, read> gates: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> below: array<vec4f>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ${I}u) { return; }
  let at = id.z * (chunk.stride / 4u) + id.y;
  var sum = vec4f(0);
  for (var unit = 0u; unit < ${H}u; unit++) {
    let w = packed[${transposed}u + unit * ${I + H}u + id.x];
    sum = fma(vec4f(w.x), gates[(at * 4u) * ${H}u + unit], sum);
    sum = fma(vec4f(w.y), gates[(at * 4u + 1u) * ${H}u + unit], sum);
    sum = fma(vec4f(w.z), gates[(at * 4u + 2u) * ${H}u + unit], sum);
    sum = fma(vec4f(w.w), gates[(at * 4u + 3u) * ${H}u + unit], sum);
  }
  below[at * ${I}u + id.x] = sum;
}`;
}

/** Rows of a layer's inputs whose gradients one thread sums. */
export const GRADIENT_ROWS = 4;

/**
 * A tile's gradient of a layer's weights, over steps and then sequences: each of four lanes sums every fourth sequence,
 * the lanes are added last. Bindings: chunk, inputs, gates, tiles. Grid: units, blocks of rows, tiles.
 */
export function lstmGradient(plan: NetworkPlan, l: number): string {
  const { inputs: I, units: H, offset } = plan.lstm[l];
  const K = I + H;
  return `${CHUNK}
@group(0) @binding(1) var<storage, read> inputs: array<vec4f>;
@group(0) @binding(2) var<storage, read> gates: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> tiles: array<f32>;
fn total(x: vec4f) -> f32 { return (x.x + x.y) + (x.z + x.w); }
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ${H}u) { return; }
  let unit = id.x;
  let row = id.y * ${GRADIENT_ROWS}u;
  ${repeat(GRADIENT_ROWS, (r) => GATES.map((gate) => `var ${gate}${r} = vec4f(0);`).join(' '))}
  for (var t = 0u; t < ${plan.steps}u; t++) {
    for (var q = 0u; q < 8u; q++) {
      let at = t * (chunk.stride / 4u) + id.z * 8u + q;
      let di = gates[(at * 4u) * ${H}u + unit];
      let df = gates[(at * 4u + 1u) * ${H}u + unit];
      let dg = gates[(at * 4u + 2u) * ${H}u + unit];
      let dout = gates[(at * 4u + 3u) * ${H}u + unit];
      ${repeat(
        GRADIENT_ROWS,
        (r) => `{
        var x = vec4f(1);
        if (row + ${r}u < ${K}u) { x = inputs[at * ${K}u + row + ${r}u]; }
        i${r} = fma(x, di, i${r}); f${r} = fma(x, df, f${r}); g${r} = fma(x, dg, g${r}); o${r} = fma(x, dout, o${r});
      }`,
      )}
    }
  }
  let to = id.z * ${plan.parameters + 1}u + ${offset}u + unit;
  ${repeat(
    GRADIENT_ROWS,
    (r) => `if (row + ${r}u <= ${K}u) {
    ${GATES.map((gate, q) => `tiles[to + (row + ${r}u) * ${4 * H}u + ${q * H}u] = total(${gate}${r});`).join('\n    ')}
  }`,
  )}
}`;
}
