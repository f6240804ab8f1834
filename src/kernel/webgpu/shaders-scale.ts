/**
 * WGSL of the loss scale, for training in half precision: gradients of a small loss would vanish in float16, so that
 * they are multiplied on their way back and divided again before they are summed up (Micikevicius et al. 2018).
 *
 * A scale is a power of two that each tile has for itself: the one that brings the largest gradient of its last hidden
 * states to between 2^8 and 2^9. Where a gradient further back leaves float16 all the same, the call is begun anew with
 * 2^-8 of that tile's scale. It hangs on nothing but the tile's own sequences: not on the steps before, which a
 * checkpoint would have to keep, nor on another rank's.
 */
import type { NetworkPlan } from './plan.ts';
import { CHUNK } from './shaders-common.ts';

/**
 * Tries before a gradient counts as one without bounds. The last one's largest begins at 2^-8: a smaller scale would lose
 * at its beginning what it saves at its end. It may grow by 2^23 on its way.
 */
export const MOST_ATTEMPTS = 3;
const TARGET = 8;
const BACK_OFF = 8;

/** Bindings: chunk, headGradient, mask, backoff, lossScale (the scale and its inverse). One workgroup a tile. */
export function chooseLossScale(plan: NetworkPlan): string {
  const { units: H } = plan.lstm[plan.lstm.length - 1];
  return `${CHUNK}
@group(0) @binding(1) var<storage, read> headGradient: array<vec4f>;
@group(0) @binding(2) var<storage, read> mask: array<vec4f>;
@group(0) @binding(3) var<storage, read> backoff: array<u32>;
@group(0) @binding(4) var<storage, read_write> lossScale: array<vec2f>;
var<workgroup> most: array<u32, 64>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3u) {
  var own = 0u;
  for (var x = thread; x < ${8 * H}u; x += 64u) {
    let at = group.x * 8u + x / ${H}u;
    let unit = x % ${H}u;
    // Bits of numbers from 0 on stand in the order of the numbers.
    let bits = bitcast<vec4u>(abs(headGradient[at * ${plan.headRows}u + unit] * mask[at * ${H}u + unit]));
    own = max(max(own, max(bits.x, bits.y)), max(bits.z, bits.w));
  }
  most[thread] = own;
  workgroupBarrier();
  if (thread > 0u) { return; }
  for (var other = 1u; other < 64u; other++) { own = max(own, most[other]); }
  let exponent = i32(own >> 23u) - 127;
  let back = i32(backoff[chunk.first / 32u + group.x]) * ${BACK_OFF};
  let scale = select(clamp(${TARGET} - exponent - back, -100, 100), 0, own == 0u);
  lossScale[group.x] = vec2f(bitcast<f32>(u32(127 + scale) << 23u), bitcast<f32>(u32(127 - scale) << 23u));
}`;
}
