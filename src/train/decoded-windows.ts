/** What a calibration is fitted on: windows with a known target, and what a network's outputs for them stand for. */
import type { DecodedOutputs, WindowSet } from '../features/index.ts';

export interface DecodedWindows {
  readonly windows: WindowSet;
  readonly decoded: DecodedOutputs;
}

/** Log returns to the horizon of windows with a known target, divided by each window's own volatility. */
export function scaledReturns(windows: WindowSet): Float64Array {
  return Float64Array.from(
    windows.starts,
    (_, i) => Math.log(windows.targetClose[i] / windows.lastClose[i]) / windows.volatility[i],
  );
}

/** `[N]` each: the parts, divided by the volatility. */
export const scaledParts = ({ windows, decoded }: DecodedWindows): Float64Array[] =>
  decoded.parts.map((part) => part.map((value, i) => value / windows.volatility[i]));

/** One after another. */
export function concat(parts: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
