/**
 * WGSL from the tiles' gradients to new weights: 64-bit fixed point as two words, and Adam as in
 * `reference/optimizer.ts`, in float32.
 */

import type { OptimizerSettings } from '../kernel.ts';
import { GRADIENT_SCALE } from '../kernel.ts';
import type { NetworkPlan } from './plan.ts';
import { FINITE, FLAGS, HALF_MAX } from './shaders-common.ts';

/**
 * Adds the tiles to the sums, tile after tile, each rounded to a multiple of 2^-40. Exact integer arithmetic: a
 * float32 is m 2^e with whole m below 2^24, so that m 2^(e + 40) is one shift; within 2^22 it fits 63 bits.
 * Bindings: count (of tiles), tiles, sums, flags.
 */
export function addTiles(plan: NetworkPlan): string {
  return `
@group(0) @binding(0) var<uniform> count: vec4u;
@group(0) @binding(1) var<storage, read> tiles: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<vec2u>;
@group(0) @binding(3) var<storage, read_write> flags: array<atomic<u32>>;
fn fixedPoint(bits: u32) -> vec2u {
  let exponent = i32((bits >> 23u) & 0xffu);
  var m = bits & 0x7fffffu;
  if (exponent > 0) { m |= 0x800000u; }
  let shift = max(exponent, 1) - 110;
  var value = vec2u(0);
  if (shift >= 32) { value = vec2u(0, m << u32(shift - 32)); }
  else if (shift > 0) { value = vec2u(m << u32(shift), m >> u32(32 - shift)); }
  else if (shift == 0) { value = vec2u(m, 0); }
  else if (shift >= -25) { value = vec2u((m + (1u << u32(-shift - 1))) >> u32(-shift), 0); }
  if ((bits >> 31u) == 1u) { value = vec2u(~value.x + 1u, ~value.y + select(0u, 1u, value.x == 0u)); }
  return value;
}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x > ${plan.parameters}u) { return; }
  var sum = sums[id.x];
  var wrong = false;
  for (var tile = 0u; tile < count.x; tile++) {
    let bits = bitcast<u32>(tiles[tile * ${plan.parameters + 1}u + id.x]);
    if ((bits & 0x7fffffffu) > 0x4a800000u) { wrong = true; continue; }
    let term = fixedPoint(bits);
    let low = sum.x + term.x;
    let high = sum.y + term.y + select(0u, 1u, low < term.x);
    wrong = wrong || (((~(sum.y ^ term.y)) & (sum.y ^ high)) >> 31u) == 1u;
    sum = vec2u(low, high);
  }
  sums[id.x] = sum;
  if (wrong) { atomicStore(&flags[${FLAGS.diverged}], 1u); }
}`;
}

/** The update's numbers: `settingsOf` fills it. */
const SETTINGS = `
struct Settings {
  scale: f32, clip: f32, rate: f32, beta1: f32,
  fresh1: f32, beta2: f32, fresh2: f32, correction1: f32,
  correction2: f32, epsilon: f32, decay: f32, weightDecay: f32,
}
@group(0) @binding(0) var<uniform> settings: Settings;
// From the absolute value: a small negative one would drown in the rounding of its low word.
fn mean(sum: vec2u) -> f32 {
  var value = sum;
  let negative = (sum.y >> 31u) == 1u;
  if (negative) { value = vec2u(~sum.x + 1u, ~sum.y + select(0u, 1u, sum.x == 0u)); }
  let size = fma(f32(value.y), 4294967296f, f32(value.x)) * settings.scale;
  return select(size, -size, negative);
}`;

export const SETTINGS_BYTES = 48;

/** {@link SETTINGS}' numbers. @param t updates, with this one */
export function settingsOf(settings: OptimizerSettings, sequences: number, t: number): Float32Array {
  const { learningRate, beta1, beta2, epsilon, weightDecay, clipNorm } = settings;
  return Float32Array.of(
    1 / (GRADIENT_SCALE * sequences),
    clipNorm,
    learningRate,
    beta1,
    1 - beta1,
    beta2,
    1 - beta2,
    1 - beta1 ** t,
    1 - beta2 ** t,
    epsilon,
    learningRate * weightDecay,
    weightDecay,
  );
}

/** The squared norm of the mean gradient, in one fixed order. Bindings: settings, sums, norm. One workgroup. */
export function norm(plan: NetworkPlan): string {
  return `${SETTINGS}
@group(0) @binding(1) var<storage, read> sums: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> norm: array<f32>;
var<workgroup> parts: array<f32, 256>;
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) thread: u32) {
  var sum = 0f;
  for (var p = thread; p < ${plan.parameters}u; p += 256u) {
    let g = mean(sums[p]);
    sum = fma(g, g, sum);
  }
  parts[thread] = sum;
  workgroupBarrier();
  for (var half = 128u; half > 0u; half /= 2u) {
    if (thread < half) { parts[thread] += parts[thread + half]; }
    workgroupBarrier();
  }
  if (thread == 0u) { norm[0] = sqrt(parts[0]); }
}`;
}

/** Whether a new weight is a number that the passes can take. */
const fits = (plan: NetworkPlan, weight: string) =>
  plan.half ? `(finite(${weight}) && abs(${weight}) <= ${HALF_MAX})` : `finite(${weight})`;

/** Bindings: settings, sums, norm, weights, moments [m, v], the same two after the update, flags. */
export function adam(plan: NetworkPlan): string {
  const P = plan.parameters;
  return `${SETTINGS}
@group(0) @binding(1) var<storage, read> sums: array<vec2u>;
@group(0) @binding(2) var<storage, read> norm: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read> moments: array<f32>;
@group(0) @binding(5) var<storage, read_write> newWeights: array<f32>;
@group(0) @binding(6) var<storage, read_write> newMoments: array<f32>;
@group(0) @binding(7) var<storage, read_write> flags: array<atomic<u32>>;
${FINITE}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let p = id.x;
  if (p >= ${P}u) { return; }
  var g = mean(sums[p]);
  if (settings.clip > 0 && norm[0] > settings.clip) { g *= settings.clip / norm[0]; }
  let m = settings.beta1 * moments[p] + settings.fresh1 * g;
  let v = settings.beta2 * moments[${P}u + p] + settings.fresh2 * g * g;
  let w = weights[p];
  let direction = (m / settings.correction1) / (sqrt(v / settings.correction2) + settings.epsilon);
  let next = w - settings.rate * direction - settings.decay * w;
  newMoments[p] = m;
  newMoments[${P}u + p] = v;
  newWeights[p] = next;
  if (!${fits(plan, 'next')} || !finite(m) || !finite(v)) { atomicStore(&flags[${FLAGS.update}], 1u); }
}`;
}

const LARS_TRUST = 0.001;

/**
 * LAMB and LARS: a workgroup a tensor, whose norms come first. Bindings as {@link adam}. Grid: tensors.
 */
export function tensorwise(plan: NetworkPlan, kind: 'lamb' | 'lars'): string {
  const P = plan.parameters;
  const list = (of: 'offset' | 'length') => plan.tensors.map((tensor) => `${tensor[of]}u`).join(', ');
  const count = plan.tensors.length;
  return `${SETTINGS}
@group(0) @binding(1) var<storage, read> sums: array<vec2u>;
@group(0) @binding(2) var<storage, read> norm: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read> moments: array<f32>;
@group(0) @binding(5) var<storage, read_write> newWeights: array<f32>;
@group(0) @binding(6) var<storage, read_write> newMoments: array<f32>;
@group(0) @binding(7) var<storage, read_write> flags: array<atomic<u32>>;
${FINITE}
const offsets = array<u32, ${count}>(${list('offset')});
const lengths = array<u32, ${count}>(${list('length')});
var<workgroup> parts: array<vec2f, 256>;
fn gradient(p: u32) -> f32 {
  let g = mean(sums[p]);
  return select(g, g * (settings.clip / norm[0]), settings.clip > 0 && norm[0] > settings.clip);
}
// The two moments after the update, and the step before its rate.
fn moved(p: u32) -> vec3f {
  let g = gradient(p);
  let decayed = settings.weightDecay * weights[p];
  ${
    kind === 'lamb'
      ? `let m = settings.beta1 * moments[p] + settings.fresh1 * g;
  let v = settings.beta2 * moments[${P}u + p] + settings.fresh2 * g * g;
  return vec3f(m, v, (m / settings.correction1) / (sqrt(v / settings.correction2) + settings.epsilon) + decayed);`
      : `return vec3f(moments[p], moments[${P}u + p], g + decayed);`
  }
}
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3u) {
  var places = offsets;
  var sizes = lengths;
  let offset = places[group.x];
  let end = offset + sizes[group.x];
  var squares = vec2f(0);
  for (var p = offset + thread; p < end; p += 256u) {
    let other = ${kind === 'lamb' ? 'moved(p).z' : 'gradient(p)'};
    squares += vec2f(weights[p] * weights[p], other * other);
  }
  parts[thread] = squares;
  workgroupBarrier();
  for (var half = 128u; half > 0u; half /= 2u) {
    if (thread < half) { parts[thread] += parts[thread + half]; }
    workgroupBarrier();
  }
  let norms = sqrt(parts[0]);
  var ratio = 1f;
  ${
    kind === 'lamb'
      ? 'if (norms.x > 0 && norms.y > 0) { ratio = norms.x / norms.y; }'
      : `let bottom = norms.y + settings.weightDecay * norms.x;
  if (norms.x > 0 && bottom > 0) { ratio = ${LARS_TRUST} * norms.x / bottom; }`
  }
  for (var p = offset + thread; p < end; p += 256u) {
    let state = moved(p);
    ${
      kind === 'lamb'
        ? `let m = state.x;
    let next = weights[p] - settings.rate * ratio * state.z;`
        : `let m = settings.beta1 * state.x + settings.rate * ratio * state.z;
    let next = weights[p] - m;`
    }
    newMoments[p] = m;
    newMoments[${P}u + p] = state.y;
    newWeights[p] = next;
    if (!${fits(plan, 'next')} || !finite(m) || !finite(state.y)) { atomicStore(&flags[${FLAGS.update}], 1u); }
  }
}`;
}

/** The update takes effect where no flag is up. Bindings: flags, the new weights and moments, those of record. */
export function commit(plan: NetworkPlan): string {
  const P = plan.parameters;
  return `
@group(0) @binding(0) var<storage, read> flags: array<u32>;
@group(0) @binding(1) var<storage, read> newWeights: array<f32>;
@group(0) @binding(2) var<storage, read> newMoments: array<f32>;
@group(0) @binding(3) var<storage, read_write> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> moments: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if ((flags[0] | flags[1] | flags[2] | flags[3]) != 0u || id.x >= ${2 * P}u) { return; }
  moments[id.x] = newMoments[id.x];
  if (id.x < ${P}u) { weights[id.x] = newWeights[id.x]; }
}`;
}
