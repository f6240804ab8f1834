/**
 * WGSL around the LSTM layers: windows gathered from the feature matrix, weights packed, dropout, dense layers, losses
 * and their way back. Memory as in `plan.ts`, equations as in `reference/dense.ts` and `loss.ts`.
 */
import type { Loss } from '../kernel.ts';
import type { DensePlan, NetworkPlan } from './plan.ts';
import { CHUNK, FINITE, FLAGS, HALF_MAX, numbersOf } from './shaders-common.ts';

/** Weights in the order in which the LSTM passes read them. Bindings: weights, packed. One dispatch a layer's unit. */
export function packWeights(plan: NetworkPlan): string {
  const { enable, vector, write } = numbersOf(plan.half);
  const layers = plan.lstm.map(({ inputs, units: H, offset, packed, transposed }) => {
    const K = inputs + H;
    return `if (id.x < ${(K + 1) * H}u) {
    let row = id.x / ${H}u;
    let unit = id.x % ${H}u;
    let at = ${offset}u + row * ${4 * H}u + unit;
    let w = ${write(`vec4f(weights[at], weights[at + ${H}u], weights[at + ${2 * H}u], weights[at + ${3 * H}u])`)};
    packed[${packed}u + id.x] = w;
    if (row < ${K}u) { packed[${transposed}u + unit * ${K}u + row] = w; }
  }`;
  });
  return `${enable}
@group(0) @binding(0) var<storage, read> weights: array<f32>;
@group(0) @binding(1) var<storage, read_write> packed: array<${vector}>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  ${layers.join('\n  ')}
}`;
}

export const packThreads = ({ lstm }: NetworkPlan): number =>
  Math.max(...lstm.map(({ inputs, units }) => (inputs + units + 1) * units));

/**
 * Scaled windows into the first layer's inputs. Bindings: chunk, matrix, starts, scales (shifts, then gains), inputs,
 * flags. Grid: n/4 * F, T.
 */
export function gather(plan: NetworkPlan): string {
  const F = plan.features;
  const K = F + plan.lstm[0].units;
  const { enable, vector, write } = numbersOf(plan.half);
  // Far beyond what a gate tells apart, but no infinity.
  const held = plan.half ? `clamp(scaled, -${HALF_MAX}, ${HALF_MAX})` : 'scaled';
  return `${enable}${CHUNK}
@group(0) @binding(1) var<storage, read> matrix: array<f32>;
@group(0) @binding(2) var<storage, read> starts: array<u32>;
@group(0) @binding(3) var<storage, read> scales: array<f32>;
@group(0) @binding(4) var<storage, read_write> inputs: array<${vector}>;
@group(0) @binding(5) var<storage, read_write> flags: array<atomic<u32>>;
${FINITE}
fn input(sequence: u32, t: u32, feature: u32) -> f32 {
  if (sequence >= chunk.count) { return 0; }
  let b = chunk.first + sequence;
  var raw = 1f;
  if (feature < chunk.columns) { raw = matrix[(starts[b] + t) * chunk.columns + feature]; }
  let gains = select(chunk.batch * ${F}u, ${F}u, chunk.scaleStride == 0u);
  let at = b * chunk.scaleStride + feature;
  let centred = raw - scales[at];
  let scaled = centred * scales[gains + at];
  if (!finite(raw) || !finite(scaled)) { atomicStore(&flags[${FLAGS.input}], 1u); }
  return ${held};
}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let quarter = chunk.stride / 4u;
  if (id.x >= quarter * ${F}u) { return; }
  let q = id.x / ${F}u;
  let f = id.x % ${F}u;
  inputs[(id.y * quarter + q) * ${K}u + f] =
    ${write('vec4f(input(4u * q, id.y, f), input(4u * q + 1u, id.y, f), input(4u * q + 2u, id.y, f), input(4u * q + 3u, id.y, f))')};
}`;
}

/** Dropout of the last hidden state by `dropoutWord`. Bindings: chunk, head, mask. Grid: units / 4, n/4. */
export function drop(plan: NetworkPlan): string {
  const { units: H } = plan.lstm[plan.lstm.length - 1];
  const threshold = Math.round(plan.dropout * 2 ** 32);
  const dropped = (word: string) => (threshold >= 2 ** 32 ? 'true' : `${word} < ${threshold}u`);
  return `${CHUNK}
@group(0) @binding(1) var<storage, read_write> head: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> mask: array<vec4f>;
fn multiplyHigh(a: u32, b: u32) -> u32 {
  let middle = (a >> 16u) * (b & 0xffffu) + (((a & 0xffffu) * (b & 0xffffu)) >> 16u);
  let cross = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
  return (a >> 16u) * (b >> 16u) + (middle >> 16u) + (cross >> 16u);
}
fn philox(sequence: u32, block: u32) -> vec4u {
  var k0 = chunk.seed;
  var k1 = chunk.step;
  var x = vec4u(sequence, block, 0u, 0x64726f70u);
  for (var round = 0u; round < 10u; round++) {
    x = vec4u(multiplyHigh(0xcd9e8d57u, x.z) ^ x.y ^ k0, 0xcd9e8d57u * x.z,
              multiplyHigh(0xd2511f53u, x.x) ^ x.w ^ k1, 0xd2511f53u * x.x);
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  return x;
}
fn multiplier(word: u32) -> f32 {
  if (${dropped('word')}) { return 0; }
  return ${Math.fround(1 / (1 - plan.dropout))};
}
@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ${Math.ceil(H / 4)}u || id.y >= chunk.stride / 4u) { return; }
  let first = chunk.place + 4u * id.y;
  let w0 = philox(first, id.x);
  let w1 = philox(first + 1u, id.x);
  let w2 = philox(first + 2u, id.x);
  let w3 = philox(first + 3u, id.x);
  for (var lane = 0u; lane < 4u; lane++) {
    let unit = 4u * id.x + lane;
    if (unit < ${H}u) {
      let kept = vec4f(multiplier(w0[lane]), multiplier(w1[lane]), multiplier(w2[lane]), multiplier(w3[lane]));
      mask[id.y * ${H}u + unit] = kept;
      head[id.y * ${plan.headRows}u + unit] *= kept;
    }
  }
}`;
}

/** One dense layer. Bindings: chunk, weights, head. Grid: units, n/4. */
export function denseForward(plan: NetworkPlan, d: number): string {
  const { inputs: I, units: U, relu, offset, row, inputRow }: DensePlan = plan.dense[d];
  const R = plan.headRows;
  return `${CHUNK}
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> head: array<vec4f>;
@compute @workgroup_size(32, 2)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ${U}u || id.y >= chunk.stride / 4u) { return; }
  var sum = vec4f(weights[${offset + I * U}u + id.x]);
  for (var i = 0u; i < ${I}u; i++) {
    sum = fma(vec4f(weights[${offset}u + i * ${U}u + id.x]), head[id.y * ${R}u + ${inputRow}u + i], sum);
  }
  head[id.y * ${R}u + ${row}u + id.x] = ${relu ? 'select(sum, vec4f(0), sum < vec4f(0))' : 'sum'};
}`;
}

/** The outputs in the caller's order. Bindings: chunk, head (as numbers), outputs. */
export function collect(plan: NetworkPlan): string {
  const O = plan.outputs;
  const { row } = plan.dense[plan.dense.length - 1];
  return `${CHUNK}
@group(0) @binding(1) var<storage, read> head: array<f32>;
@group(0) @binding(2) var<storage, read_write> outputs: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= chunk.count || id.y >= ${O}u) { return; }
  outputs[(chunk.first + id.x) * ${O}u + id.y] = head[((id.x / 4u) * ${plan.headRows}u + ${row}u + id.y) * 4u + id.x % 4u];
}`;
}

/** Loss and slope of one output, as in `loss.ts`. */
const losses: Record<Loss['kind'], { loss: string; slope: string }> = {
  mse: { loss: 'e * e', slope: '2 * e' },
  huber: {
    loss: 'select(chunk.delta * (abs(e) - 0.5 * chunk.delta), 0.5 * e * e, abs(e) <= chunk.delta)',
    slope: 'select(chunk.delta * sign(e), e, abs(e) <= chunk.delta)',
  },
  pinball: {
    loss: 'select((1 - level) * e, -level * e, e < 0)',
    slope: 'select(select(1 - level, -level, e < 0), 0, e == 0)',
  },
};

/**
 * A tile's loss and the gradient of its outputs before their activation. Bindings: chunk, head and its gradient (as
 * numbers), goals (targets, then the quantile levels), tiles. One workgroup a tile.
 */
export function lossGradient(plan: NetworkPlan, kind: Loss['kind']): string {
  const O = plan.outputs;
  const { row, relu } = plan.dense[plan.dense.length - 1];
  return `${CHUNK}
@group(0) @binding(1) var<storage, read> head: array<f32>;
@group(0) @binding(2) var<storage, read_write> headGradient: array<f32>;
@group(0) @binding(3) var<storage, read> goals: array<f32>;
@group(0) @binding(4) var<storage, read_write> tiles: array<f32>;
var<workgroup> sums: array<f32, 32>;
@compute @workgroup_size(32)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let b = group.x * 32u + lane;
  let counts = b < chunk.count;
  var sum = 0f;
  for (var o = 0u; o < ${O}u; o++) {
    let at = ((b / 4u) * ${plan.headRows}u + ${row}u + o) * 4u + b % 4u;
    var slope = 0f;
    if (counts) {
      let e = head[at] - goals[(chunk.first + b) * ${O}u + o];
      ${kind === 'pinball' ? `let level = goals[chunk.batch * ${O}u + o];` : ''}
      sum += ${losses[kind].loss};
      slope = (${losses[kind].slope}) / ${O};
      ${relu ? 'if (head[at] == 0) { slope = 0; }' : ''}
    }
    headGradient[at] = slope;
  }
  sums[lane] = sum / ${O};
  workgroupBarrier();
  if (lane == 0u) {
    var total = 0f;
    for (var s = 0u; s < 32u; s++) { total += sums[s]; }
    tiles[group.x * ${plan.parameters + 1}u + ${plan.parameters}u] = total;
  }
}`;
}

/** What a dense layer tells the one below. Bindings: chunk, weights, head, headGradient. Grid: inputs, n/4. */
export function denseBackward(plan: NetworkPlan, d: number): string {
  const { inputs: I, units: U, offset, row, inputRow } = plan.dense[d];
  const R = plan.headRows;
  const relu = d > 0 && plan.dense[d - 1].relu;
  return `${CHUNK}
@group(0) @binding(1) var<storage, read> weights: array<f32>;
${relu ? '@group(0) @binding(3) var<storage, read> head: array<vec4f>;' : ''}
@group(0) @binding(2) var<storage, read_write> headGradient: array<vec4f>;
@compute @workgroup_size(32, 2)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ${I}u || id.y >= chunk.stride / 4u) { return; }
  var sum = vec4f(0);
  for (var u = 0u; u < ${U}u; u++) {
    sum = fma(vec4f(weights[${offset}u + id.x * ${U}u + u]), headGradient[id.y * ${R}u + ${row}u + u], sum);
  }
  let to = id.y * ${R}u + ${inputRow}u + id.x;
  headGradient[to] = ${relu ? 'select(sum, vec4f(0), head[to] == vec4f(0))' : 'sum'};
}`;
}

/** A tile's gradient of a dense layer's weights. Bindings: chunk, head, headGradient, tiles. Grid: units, inputs + 1, tiles. */
export function denseGradient(plan: NetworkPlan, d: number): string {
  const { inputs: I, units: U, offset, row, inputRow } = plan.dense[d];
  const R = plan.headRows;
  return `
@group(0) @binding(0) var<storage, read> head: array<vec4f>;
@group(0) @binding(1) var<storage, read> headGradient: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> tiles: array<f32>;
@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ${U}u) { return; }
  var sum = vec4f(0);
  for (var q = 0u; q < 8u; q++) {
    let at = (id.z * 8u + q) * ${R}u;
    var x = vec4f(1);
    if (id.y < ${I}u) { x = head[at + ${inputRow}u + id.y]; }
    sum = fma(x, headGradient[at + ${row}u + id.x], sum);
  }
  tiles[id.z * ${plan.parameters + 1}u + ${offset}u + id.y * ${U}u + id.x] = (sum.x + sum.y) + (sum.z + sum.w);
}`;
}
