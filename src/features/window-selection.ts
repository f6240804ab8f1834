/** Some windows of a set: by their indices, or a range of them. */
import type { WindowSet } from './recipe.ts';

/** The windows with the given indices, in that order; the matrix is shared. */
export function selectWindows(windows: WindowSet, indices: Int32Array): WindowSet {
  const S = windows.scaling.width;
  return {
    ...windows,
    starts: indices.map((w) => windows.starts[w]),
    symbol: indices.map((w) => windows.symbol[w]),
    asOf: indices.map((w) => windows.asOf[w]),
    lastClose: pick(windows.lastClose, indices),
    targetClose: pick(windows.targetClose, indices),
    volatility: pick(windows.volatility, indices),
    scales: pickRows(windows.scales, indices, S),
  };
}

/** The windows from number `from` to `to`, as a view: nothing is copied. */
export function rangeOfWindows(windows: WindowSet, from: number, to: number): WindowSet {
  const S = windows.scaling.width;
  return {
    ...windows,
    starts: windows.starts.subarray(from, to),
    symbol: windows.symbol.subarray(from, to),
    asOf: windows.asOf.subarray(from, to),
    lastClose: windows.lastClose.subarray(from, to),
    targetClose: windows.targetClose.subarray(from, to),
    volatility: windows.volatility.subarray(from, to),
    scales: windows.scales.subarray(from * S, to * S),
  };
}

function pick(values: Float64Array, indices: Int32Array): Float64Array {
  const out = new Float64Array(indices.length);
  for (let i = 0; i < out.length; i++) out[i] = values[indices[i]];
  return out;
}

function pickRows(values: Float32Array, indices: Int32Array, stride: number): Float32Array {
  const out = new Float32Array(indices.length * stride);
  for (let i = 0; i < indices.length; i++) {
    out.set(values.subarray(indices[i] * stride, (indices[i] + 1) * stride), i * stride);
  }
  return out;
}
