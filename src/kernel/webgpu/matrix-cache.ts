/**
 * Whether the feature matrix on the device is still the one that a call brings. A training gives the same matrix every
 * step, a live forecaster writes into its own between calls: the same array is taken for the same matrix only as far
 * as a copy kept here has the same bits in every window of the call, or in the whole matrix where that is less.
 */
import type { Windows } from '../kernel.ts';

export class MatrixCache {
  #matrix: Float32Array | undefined;
  #copy: Buffer | undefined;

  /** The device's copy is gone. */
  forget(): void {
    this.#matrix = undefined;
    this.#copy = undefined;
  }

  /**
   * True when the matrix must be uploaded; the cache then takes it as uploaded.
   * @param steps of a window
   * @param columns of the matrix
   */
  changed({ matrix, starts }: Windows, steps: number, columns: number): boolean {
    const numbers = steps * columns;
    const bytes = Buffer.from(matrix.buffer, matrix.byteOffset, matrix.byteLength);
    const copy = this.#copy;
    if (this.#matrix === matrix && copy !== undefined) {
      // Windows that overlap cost less as one matrix.
      const whole = bytes.length <= 4 * numbers * starts.length;
      if (whole && bytes.equals(copy)) return false;
      const same = starts.every((start) => {
        const from = 4 * start * columns;
        const to = from + 4 * numbers;
        return bytes.compare(copy, from, to, from, to) === 0;
      });
      if (same) return false;
    }
    this.#matrix = matrix;
    this.#copy = Buffer.from(bytes);
    return true;
  }
}
