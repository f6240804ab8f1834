/**
 * The last one-minute log returns of windows, read from a feature matrix where they lie: from the feature that holds
 * them (recipe `returns`) or from the feature that holds closes (recipe `cs205`). Nothing is copied.
 */
import { BarcastError } from '../base/index.ts';

/** One-minute log returns that the ridge looks back on. */
export const LAGS = 20;

/** Windows of an UNSCALED feature matrix, of which one feature gives one-minute log returns. */
export interface ReturnsView {
  /** `[rows, stride]`, row-major. */
  readonly matrix: Float32Array;
  /** `[N]` first row of each window. */
  readonly starts: Int32Array;
  /** T, rows a window. */
  readonly windowLength: number;
  /** Values a row. */
  readonly stride: number;
  /** The feature to read, 0 to stride - 1. */
  readonly feature: number;
  /** What that feature is: a one-minute log return, or a close in any unit. */
  readonly holds: 'logReturn' | 'close';
}

/** Writes window i's last `lags` one-minute log returns to `out`, the latest first. */
export type ReadReturns = (i: number, out: Float64Array) => void;

/** A reader of a view. @throws BARCAST_E_SHAPE when a window is too short for so many lags */
export function returnsReader(view: ReturnsView, lags: number): ReadReturns {
  const { matrix, starts, windowLength, stride, feature } = view;
  const needed = view.holds === 'close' ? lags + 1 : lags;
  if (windowLength < needed || feature < 0 || feature >= stride) {
    throw new BarcastError(
      'BARCAST_E_SHAPE',
      `windows of ${windowLength} minutes and feature ${feature} of ${stride} hold no ${lags} one-minute returns`,
      `use windows of at least ${needed} minutes`,
    );
  }
  if (view.holds === 'logReturn') {
    return (i, out) => {
      let at = (starts[i] + windowLength - 1) * stride + feature;
      for (let k = 0; k < lags; k++, at -= stride) out[k] = matrix[at];
    };
  }
  return (i, out) => {
    let at = (starts[i] + windowLength - 1) * stride + feature;
    let later = Math.log(matrix[at]);
    for (let k = 0; k < lags; k++) {
      at -= stride;
      const earlier = Math.log(matrix[at]);
      out[k] = later - earlier;
      later = earlier;
    }
  };
}
