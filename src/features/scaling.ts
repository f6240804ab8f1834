/**
 * How windows become a kernel's inputs, (x - shift) * gain, in the form that a whole market keeps of it: what all
 * windows share once, and of each window only the numbers that are its own. A kernel takes `[B, F]` shifts and gains,
 * which are made batch by batch.
 */
import type { Windows } from '../kernel/index.ts';

export interface Scaling {
  /** Features that the matrix holds, the first ones; the others are 1 in every row. */
  readonly columns: number;
  /** `[F]` what a feature is shifted by, and multiplied with then, where a window has nothing of its own. */
  readonly shift: Float32Array;
  readonly gain: Float32Array;
  /** S: numbers that each window has of its own; 0 when all are scaled alike. */
  readonly width: number;
  /** Features with a shift of each window's own, and its place among the window's numbers, by turns; likewise gains. */
  readonly ownShifts: Int32Array;
  readonly ownGains: Int32Array;
}

/** All windows alike. @param shift, gain `[F]` */
export const scaledAlike = (shift: Float32Array, gain: Float32Array, columns = shift.length): Scaling => ({
  columns,
  shift,
  gain,
  width: 0,
  ownShifts: new Int32Array(0),
  ownGains: new Int32Array(0),
});

/** Inputs as they are. */
export const unscaled = (features: number, columns = features): Scaling =>
  scaledAlike(new Float32Array(features), new Float32Array(features).fill(1), columns);

type KernelScales = Pick<Windows, 'shift' | 'gain' | 'scaleStride'>;

/** Shifts and gains of batches, in arrays that are made once. */
export class BatchScales {
  readonly #scaling: Scaling;
  readonly #shift: Float32Array;
  readonly #gain: Float32Array;

  /** @param size windows of the largest batch */
  constructor(scaling: Scaling, size: number) {
    const F = scaling.shift.length;
    const numbers = scaling.width === 0 ? 0 : size * F;
    this.#scaling = scaling;
    this.#shift = new Float32Array(numbers);
    this.#gain = new Float32Array(numbers);
    for (let at = 0; at < numbers; at += F) {
      this.#shift.set(scaling.shift, at);
      this.#gain.set(scaling.gain, at);
    }
  }

  /**
   * The kernel's scales of some windows, valid until the next call.
   * @param scales `[N, S]`
   * @param indices which windows, in their order; the first ones when left out
   */
  of(scales: Float32Array, count: number, indices?: Int32Array): KernelScales {
    const { shift, gain, width, ownShifts, ownGains } = this.#scaling;
    if (width === 0) return { shift, gain, scaleStride: 0 };
    const F = shift.length;
    const shifts = this.#shift;
    const gains = this.#gain;
    for (let b = 0; b < count; b++) {
      const own = (indices === undefined ? b : indices[b]) * width;
      const at = b * F;
      for (let i = 0; i < ownShifts.length; i += 2) shifts[at + ownShifts[i]] = scales[own + ownShifts[i + 1]];
      for (let i = 0; i < ownGains.length; i += 2) gains[at + ownGains[i]] = scales[own + ownGains[i + 1]];
    }
    return { shift: shifts.subarray(0, count * F), gain: gains.subarray(0, count * F), scaleStride: F };
  }
}

/** What a window set holds that a kernel needs. */
interface ScaledWindows {
  readonly matrix: Float32Array;
  readonly starts: Int32Array;
  readonly scaling: Scaling;
  readonly scales: Float32Array;
}

/** A window set as a kernel takes it, with arrays of its own for the scales. */
export function kernelWindows({ matrix, starts, scaling, scales }: ScaledWindows): Windows {
  const count = starts.length;
  return { matrix, columns: scaling.columns, starts, ...new BatchScales(scaling, count).of(scales, count) };
}
