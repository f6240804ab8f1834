/** Scales of the windows of recipe `returns`, and what a window's return to the horizon is in its own volatilities. */
import { isBlindRow } from './flow-rows.ts';
import { LINEAR_DEVIATIONS, linesOf, QuickForecast } from './linear-forecast.ts';
import { logAboveOne, logRatio } from './logarithms.ts';
import type { FittedScaler, WindowSet } from './recipe.ts';
import { ResidualPaths } from './residual-paths.ts';
import {
  CLOCK,
  CLOSE_POSITION,
  DEVIATION,
  EXPLAINED,
  F,
  FLOW_COLUMNS,
  HORIZON_MINUTES,
  LEADER,
  LEADERS_FLOWS,
  LINEAR,
  LINEAR_COLUMNS,
  LIQUIDITY,
  OWN_FLOWS,
  PEERS,
  QUIET,
  RANGE,
  RETURN,
  STRAIN,
  SURPRISE,
  TICK,
  TURBULENCE,
  VOLATILITY,
  VOLUME,
  WINDOW_LENGTH,
} from './returns-rows.ts';
import { tickOf } from './volatility.ts';

/** Training targets beyond this many volatilities are clipped to it. */
export const TARGET_LIMIT = 6;

/** Smallest standard deviation of a window's log volume that is divided by. */
const VOLUME_DEVIATION_FLOOR = 0.1;

/** The range is divided by its own root mean square over this, where that exceeds the volatility of the returns. */
const RANGE_TO_RETURN = 4;

/** The linear forecast as an input of the network is this many times itself; a power of two, so nothing is lost. */
const LINEAR_GAIN = 4;

export const ROOT_HORIZON = Math.sqrt(HORIZON_MINUTES);

/** Log volumes are divided by their deviation, and not by less than a floor. */
const volumeGainOf = (variance: number): number =>
  1 / Math.max(Math.sqrt(Math.max(variance, 0)), VOLUME_DEVIATION_FLOOR);

/**
 * Scales of each window `[N, F]`. Window sums are exact (see `rows.ts`), so a sum may slide from one window to the
 * next or be taken afresh: the bits are the same.
 */
export function scale(windows: WindowSet, scaler: FittedScaler, into?: Pick<WindowSet, 'shift' | 'gain'>): WindowSet {
  const { matrix, starts, volatility, lastClose } = windows;
  const N = starts.length;
  const T = WINDOW_LENGTH;
  const { shift, gain } = into ?? { shift: new Float32Array(N * F), gain: new Float32Array(N * F) };
  const lines = linesOf(scaler);
  const sighted = lines && new QuickForecast(lines.sighted);
  const blindly = lines && new QuickForecast(lines.blind);
  const seeing = new ResidualPaths(F, T, LINEAR_COLUMNS, false);
  let unseeing: ResidualPaths | undefined;
  let begin = 0; // the sums hold the rows from begin to end
  let end = 0;
  let volumes = 0;
  let volumeSquares = 0;
  let rangeSquares = 0;
  let surprises = 0;
  let surpriseSquares = 0;
  let quiet = 0;
  for (let w = 0; w < N; w++) {
    const start = starts[w];
    if (start < begin || start >= end) {
      begin = end = start;
      volumes = volumeSquares = rangeSquares = surprises = surpriseSquares = quiet = 0;
    }
    for (; begin < start; begin++) {
      const volume = matrix[begin * F + VOLUME];
      const range = matrix[begin * F + RANGE];
      const surprise = matrix[begin * F + SURPRISE];
      volumes -= volume;
      volumeSquares -= volume * volume;
      rangeSquares -= range * range;
      surprises -= surprise;
      surpriseSquares -= surprise * surprise;
      quiet -= matrix[begin * F + QUIET];
    }
    for (; end < start + T; end++) {
      const volume = matrix[end * F + VOLUME];
      const range = matrix[end * F + RANGE];
      const surprise = matrix[end * F + SURPRISE];
      volumes += volume;
      volumeSquares += volume * volume;
      rangeSquares += range * range;
      surprises += surprise;
      surpriseSquares += surprise * surprise;
      quiet += matrix[end * F + QUIET];
    }
    const mean = volumes / T;
    const meanSurprise = surprises / (T - quiet);
    const minuteVolatility = volatility[w] / ROOT_HORIZON;
    const rangeScale = Math.sqrt(rangeSquares / T) / RANGE_TO_RETURN;
    const at = w * F;
    gain[at + RETURN] = gain[at + EXPLAINED] = gain[at + PEERS] = gain[at + LEADER] = 1 / minuteVolatility;
    // The flows' columns have no gain: the network sees them in the linear forecast.
    shift[at + VOLUME] = mean;
    gain[at + VOLUME] = volumeGainOf(volumeSquares / T - mean * mean);
    shift[at + SURPRISE] = meanSurprise;
    gain[at + SURPRISE] = volumeGainOf(surpriseSquares / (T - quiet) - meanSurprise * meanSurprise);
    gain[at + RANGE] = 1 / Math.max(rangeScale, minuteVolatility);
    gain[at + CLOSE_POSITION] = gain[at + QUIET] = gain[at + CLOCK] = gain[at + TURBULENCE] = gain[at + STRAIN] = 1;
    const last = start + T - 1;
    const blind = isBlindRow(matrix, last * F, FLOW_COLUMNS);
    const linear = blind ? blindly : sighted;
    if (linear) {
      const unit = 1 / minuteVolatility;
      const flows = matrix[last * F + OWN_FLOWS] * unit + matrix[last * F + LEADERS_FLOWS];
      const paths = blind ? (unseeing ??= new ResidualPaths(F, T, LINEAR_COLUMNS, true)) : seeing;
      gain[at + LINEAR] = LINEAR_GAIN * linear.of(matrix, last, unit, paths, flows);
      for (let i = 0; i < LINEAR_DEVIATIONS.length; i++)
        gain[at + DEVIATION + i] = linear.deviations[LINEAR_DEVIATIONS[i].place];
    }
    const price = lastClose[w];
    gain[at + VOLATILITY] = logAboveOne(minuteVolatility / 1e-4) / 2 - 0.75;
    gain[at + TICK] = tickOf(price) / (price * minuteVolatility);
    gain[at + LIQUIDITY] = (mean + logAboveOne(price) - 10) / 4;
  }
  return { ...windows, shift, gain, scaleStride: F };
}

/** `[N]` ln(targetClose / lastClose) / volatility, limited to +-{@link TARGET_LIMIT}; NaN where targetClose is. */
export function scaledReturns({ lastClose, targetClose, volatility }: WindowSet): Float64Array {
  const out = new Float64Array(lastClose.length);
  for (let w = 0; w < out.length; w++) {
    const target = logRatio(targetClose[w], lastClose[w]) / volatility[w];
    out[w] = Math.max(-TARGET_LIMIT, Math.min(TARGET_LIMIT, target));
  }
  return out;
}

/** The linear forecast of scaled window w, in volatilities. */
export const linearOf = ({ gain }: WindowSet, w: number): number => gain[w * F + LINEAR] / LINEAR_GAIN;
