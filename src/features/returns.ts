/**
 * The recipe `returns`: each window is measured by its own volatility and volume, so that a calm fund and a wild
 * stock look alike to the network and neither drowns the other in the loss. Formulas: `docs/concepts/features.md`.
 *
 * Scaled inputs are bounded for T = 60: |return| by sqrt(T) = 7.7, range by 4 sqrt(T) = 31, volume by sqrt(T), because
 * each is divided by a root mean square that contains it. So nothing is clipped.
 */
import type { FittedScaler, Recipe, WindowSet } from './recipe.ts';
import { logReturnOf, logVolumeOf, type RowFormula } from './rows.ts';

const WINDOW_LENGTH = 60;
const HORIZON_MINUTES = 5;
const FEATURES = ['return', 'volume', 'range', 'closePosition', 'quiet', 'clock'];
const F = FEATURES.length;
const [RETURN, VOLUME, RANGE, CLOSE_POSITION, QUIET, CLOCK] = [0, 1, 2, 3, 4, 5];

/** Training targets beyond this many volatilities are clipped to it. */
export const TARGET_LIMIT = 6;

/** Smallest standard deviation of a window's log volume that is divided by. */
const VOLUME_DEVIATION_FLOOR = 0.1;

/** The range is divided by its own root mean square over this, where that exceeds the volatility of the returns. */
const RANGE_TO_RETURN = 4;

/** Minutes of an ordinary session. */
const SESSION_MINUTES = 390;

const row: RowFormula = {
  bar(matrix, at, logReturn, high, low, close, volume, minutesSinceOpen) {
    matrix[at + RETURN] = logReturn;
    matrix[at + VOLUME] = logVolumeOf(volume);
    matrix[at + RANGE] = logReturnOf(high, low);
    const position = high > low ? (2 * close - high - low) / (high - low) : 0;
    matrix[at + CLOSE_POSITION] = Math.max(-1, Math.min(1, position));
    matrix[at + QUIET] = 0;
    matrix[at + CLOCK] = (2 * minutesSinceOpen) / SESSION_MINUTES - 1;
  },
  quiet(matrix, at, _close, minutesSinceOpen) {
    matrix[at + RETURN] = 0;
    matrix[at + VOLUME] = 0;
    matrix[at + RANGE] = 0;
    matrix[at + CLOSE_POSITION] = 0;
    matrix[at + QUIET] = 1;
    matrix[at + CLOCK] = (2 * minutesSinceOpen) / SESSION_MINUTES - 1;
  },
};

/** Nothing is fitted on other windows: a window carries its own scales. */
const fit = (_training: WindowSet): FittedScaler => ({});

/**
 * Scales of each window `[N, F]`. Window sums are exact (see `rows.ts`), so a sum may slide from one window to the
 * next or be taken afresh: the bits are the same.
 */
function scale(windows: WindowSet, _scaler: FittedScaler): WindowSet {
  const { matrix, starts, volatility } = windows;
  const N = starts.length;
  const T = WINDOW_LENGTH;
  const shift = new Float32Array(N * F);
  const gain = new Float32Array(N * F);
  const rootHorizon = Math.sqrt(HORIZON_MINUTES);
  let begin = 0; // the sums hold the rows from begin to end
  let end = 0;
  let volumes = 0;
  let volumeSquares = 0;
  let rangeSquares = 0;
  for (let w = 0; w < N; w++) {
    const start = starts[w];
    if (start < begin || start >= end) {
      begin = end = start;
      volumes = volumeSquares = rangeSquares = 0;
    }
    for (; begin < start; begin++) {
      const volume = matrix[begin * F + VOLUME];
      const range = matrix[begin * F + RANGE];
      volumes -= volume;
      volumeSquares -= volume * volume;
      rangeSquares -= range * range;
    }
    for (; end < start + T; end++) {
      const volume = matrix[end * F + VOLUME];
      const range = matrix[end * F + RANGE];
      volumes += volume;
      volumeSquares += volume * volume;
      rangeSquares += range * range;
    }
    const mean = volumes / T;
    const variance = volumeSquares / T - mean * mean;
    const deviation = Math.sqrt(Math.max(variance, 0));
    const minuteVolatility = volatility[w] / rootHorizon;
    const rangeScale = Math.sqrt(rangeSquares / T) / RANGE_TO_RETURN;
    const at = w * F;
    gain[at + RETURN] = 1 / minuteVolatility;
    shift[at + VOLUME] = mean;
    gain[at + VOLUME] = 1 / Math.max(deviation, VOLUME_DEVIATION_FLOOR);
    gain[at + RANGE] = 1 / Math.max(rangeScale, minuteVolatility);
    gain[at + CLOSE_POSITION] = gain[at + QUIET] = gain[at + CLOCK] = 1;
  }
  return { ...windows, shift, gain, scaleStride: F };
}

/** ln(targetClose / lastClose) / volatility, limited to +-{@link TARGET_LIMIT}; NaN where targetClose is. */
function targets(windows: WindowSet): Float32Array {
  const { lastClose, targetClose, volatility } = windows;
  const out = new Float32Array(lastClose.length);
  for (let w = 0; w < out.length; w++) {
    const target = Math.log(targetClose[w] / lastClose[w]) / volatility[w];
    out[w] = Math.max(-TARGET_LIMIT, Math.min(TARGET_LIMIT, target));
  }
  return out;
}

/** output * volatility */
function decode(output: Float32Array, { volatility }: WindowSet): Float64Array {
  const out = new Float64Array(volatility.length);
  for (let w = 0; w < out.length; w++) out[w] = output[w] * volatility[w];
  return out;
}

export const returnsRecipe: Recipe = {
  name: 'returns',
  version: 1,
  windowLength: WINDOW_LENGTH,
  horizonMinutes: HORIZON_MINUTES,
  features: FEATURES,
  oneMinuteReturns: { feature: RETURN, holds: 'logReturn' },
  row,
  quiet: { longestRun: 15, most: 45 },
  network: {
    windowLength: WINDOW_LENGTH,
    features: F,
    lstm: [32],
    dropout: 0.1,
    dense: [
      { units: 16, activation: 'relu' },
      { units: 1, activation: 'linear' },
    ],
  },
  training: {
    epochs: 8,
    batch: 256,
    loss: { kind: 'huber', delta: 1 },
    optimizer: { learningRate: 2e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weightDecay: 0, clipNorm: 1 },
    validationSplit: 'chronological',
    validationShare: 0.15,
    patience: 3,
    schedule: 'cosine',
    calibrateAmplitude: true,
  },
  targets,
  decode,
  fit,
  scale,
};
