/**
 * The recipe `cs205`: the reference project's pipeline (Harvard CS205 2021, `vrsivananda/CS205_FinalProject`), kept
 * with its flaws for comparison. Close and volume of 60 consecutive minutes, scaled by one minimum and maximum over
 * all symbols; the target is the close five minutes later on the same scale; a random validation split, whose windows
 * overlap those of training; a ReLU at the output, which can stop learning.
 *
 * Unlike the original, the scaler sees the training windows alone, and no window crosses a session's end.
 *
 * Limits: the matrix holds raw closes and volumes in float32, 24 binary digits: a close of 300 is kept to 0.00002 and a
 * volume above 16.7 million to 2 shares and more.
 */
import type { DecodedOutputs, FittedScaler, Recipe, WindowSet } from './recipe.ts';
import { logReturnOf, type RowFormula, sharesOf } from './rows.ts';
import { scaledAlike } from './scaling.ts';

const WINDOW_LENGTH = 60;
const FEATURES = ['close', 'volume'];
const F = FEATURES.length;

const row: RowFormula = {
  blank: new Float32Array(F),
  volumeOf: (shares) => shares,
  bar(matrix, at, _logReturn, _high, _low, close, volume) {
    matrix[at] = close;
    matrix[at + 1] = volume;
  },
  quiet(matrix, at, close) {
    matrix[at] = close;
    matrix[at + 1] = 0;
  },
  run(matrix, start, { minute, open, close, volume }, first, last, _sessionOpen, logReturns) {
    let at = start | 0;
    let next = minute[first]; // the minute of the row at `at`
    let price = open[first];
    for (let bar = first | 0; bar <= last; bar++) {
      for (; next < minute[bar]; next++, at += F) {
        matrix[at] = price;
        matrix[at + 1] = 0;
      }
      logReturns[bar - first] = logReturnOf(close[bar], price);
      price = close[bar];
      matrix[at] = price;
      matrix[at + 1] = sharesOf(volume[bar]);
      next++;
      at += F;
    }
  },
};

interface MinMax {
  readonly closeMin: number;
  readonly closeMax: number;
  readonly volumeMin: number;
  readonly volumeMax: number;
}

/** Minimum and maximum of close and volume over the rows of the training windows; 0 and 1 without any. */
function fit({ matrix, starts }: WindowSet): FittedScaler {
  if (starts.length === 0) return { closeMin: 0, closeMax: 1, volumeMin: 0, volumeMax: 1 };
  const low = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  const high = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
  let seen = 0; // rows before it, back to the last window's start, are done
  for (let w = 0; w < starts.length; w++) {
    const overlaps = w > 0 && starts[w] >= starts[w - 1] && starts[w] < seen;
    const end = starts[w] + WINDOW_LENGTH;
    for (let r = overlaps ? seen : starts[w]; r < end; r++) {
      for (let f = 0; f < F; f++) {
        const value = matrix[r * F + f];
        if (value < low[f]) low[f] = value;
        if (value > high[f]) high[f] = value;
      }
    }
    seen = end;
  }
  return { closeMin: low[0], closeMax: high[0], volumeMin: low[1], volumeMax: high[1] };
}

/** What {@link fit} found; all four are numbers. */
const fitted = (scaler: FittedScaler): MinMax => scaler as unknown as MinMax;

/** A feature that never changed is left at 0. */
const spanOf = (low: number, high: number): number => (high > low ? high - low : 1);

function scale(windows: WindowSet, scaler: FittedScaler): WindowSet {
  const { closeMin, closeMax, volumeMin, volumeMax } = fitted(scaler);
  const shift = Float32Array.of(closeMin, volumeMin);
  const gain = Float32Array.of(1 / spanOf(closeMin, closeMax), 1 / spanOf(volumeMin, volumeMax));
  return { ...windows, scaling: scaledAlike(shift, gain), scales: new Float32Array(0) };
}

/** (targetClose - closeMin) / (closeMax - closeMin); NaN where targetClose is. */
function targets({ targetClose }: WindowSet, scaler: FittedScaler, into?: Float32Array): Float32Array {
  const { closeMin, closeMax } = fitted(scaler);
  const span = spanOf(closeMin, closeMax);
  const out = into ?? new Float32Array(targetClose.length);
  for (let w = 0; w < out.length; w++) out[w] = (targetClose[w] - closeMin) / span;
  return out;
}

/**
 * ln(price / lastClose), where price is the output brought back from the 0..1 scale; outputs are not negative (ReLU).
 * The interval's ends lie the window's volatility away.
 */
function decode(output: Float32Array, { lastClose, volatility }: WindowSet, scaler: FittedScaler): DecodedOutputs {
  const { closeMin, closeMax } = fitted(scaler);
  const span = spanOf(closeMin, closeMax);
  const out = new Float64Array(lastClose.length);
  for (let w = 0; w < out.length; w++) out[w] = Math.log((output[w] * span + closeMin) / lastClose[w]);
  return { parts: [out], below: volatility, above: volatility, strain: new Float64Array(out.length) };
}

export const cs205Recipe: Recipe = {
  name: 'cs205',
  version: 1,
  windowLength: WINDOW_LENGTH,
  horizonMinutes: 5,
  features: FEATURES,
  columns: F,
  oneMinuteReturns: { feature: 0, holds: 'close' },
  row,
  quiet: { longestRun: 0, most: 0 },
  network: {
    windowLength: WINDOW_LENGTH,
    features: F,
    lstm: [50],
    dropout: 0.2,
    dense: [
      { units: 32, activation: 'relu' },
      { units: 1, activation: 'relu' },
    ],
  },
  training: {
    epochs: 20,
    batch: 32,
    loss: { kind: 'mse' },
    optimizer: { learningRate: 1e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weightDecay: 0, clipNorm: 0 },
    validationSplit: 'random',
    validationShare: 0.2,
    patience: 0,
  },
  targets,
  decode,
  fit,
  scale,
};
