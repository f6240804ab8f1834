/** Scales of the windows of recipe `returns`, and what a window's return to the horizon is in its own volatilities. */
import { isBlindRow } from './flow-rows.ts';
import { LINEAR_DEVIATIONS, linesOf, QuickForecast } from './linear-forecast.ts';
import { logAboveOne, logRatio } from './logarithms.ts';
import type { FittedScaler, WindowSet } from './recipe.ts';
import { ResidualPaths } from './residual-paths.ts';
import {
  COLUMNS,
  DEVIATION,
  EXPLAINED,
  F,
  FLOW_COLUMNS,
  HORIZON_MINUTES,
  LEADER,
  LINEAR,
  LINEAR_COLUMNS,
  LIQUIDITY,
  PEERS,
  QUIET,
  RANGE,
  RETURN,
  SURPRISE,
  TICK,
  VOLATILITY,
  VOLUME,
  WINDOW_LENGTH,
} from './returns-rows.ts';
import type { Scaling } from './scaling.ts';
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

/** Places of a window's own numbers: units of returns, of volume and its surprises and of the range, and its constants. */
const UNIT = 0;
const VOLUME_MEAN = 1;
const VOLUME_GAIN = 2;
const SURPRISE_MEAN = 3;
const SURPRISE_GAIN = 4;
const RANGE_GAIN = 5;
const OWN_LINEAR = 6;
const OWN_VOLATILITY = 7;
const OWN_TICK = 8;
const OWN_LIQUIDITY = 9;
const OWN_DEVIATION = 10;
const DEVIATIONS = Int32Array.from(LINEAR_DEVIATIONS, ({ place }) => place);
const S = OWN_DEVIATION + DEVIATIONS.length;

export const RETURNS_SCALING: Scaling = {
  columns: COLUMNS,
  shift: new Float32Array(F),
  gain: new Float32Array(F).fill(1),
  width: S,
  ownShifts: Int32Array.of(VOLUME, VOLUME_MEAN, SURPRISE, SURPRISE_MEAN),
  ownGains: Int32Array.from(
    [
      ...[RETURN, EXPLAINED, PEERS, LEADER].map((feature) => [feature, UNIT]),
      [VOLUME, VOLUME_GAIN],
      [SURPRISE, SURPRISE_GAIN],
      [RANGE, RANGE_GAIN],
      [LINEAR, OWN_LINEAR],
      [VOLATILITY, OWN_VOLATILITY],
      [TICK, OWN_TICK],
      [LIQUIDITY, OWN_LIQUIDITY],
      ...LINEAR_DEVIATIONS.map((_, i) => [DEVIATION + i, OWN_DEVIATION + i]),
    ].flat(),
  ),
};

// A loop reads what another module exports from memory each time, and this file's own constants never.
const WIDTH = COLUMNS;
const T = WINDOW_LENGTH;
const VOLUME_AT = VOLUME;
const RANGE_AT = RANGE;
const SURPRISE_AT = SURPRISE;
const QUIET_AT = QUIET;

/**
 * Scales of each window `[N, S]`. Window sums are exact (see `rows.ts`), so a sum may slide from one window to the
 * next or be taken afresh: the bits are the same.
 */
export function scale(windows: WindowSet, scaler: FittedScaler, into?: Float32Array): WindowSet {
  const { matrix, starts, flows, volatility, lastClose } = windows;
  const N = starts.length;
  const scales = into ?? new Float32Array(N * S);
  const lines = linesOf(scaler);
  const sighted = lines && new QuickForecast(lines.sighted);
  const blindly = lines && new QuickForecast(lines.blind);
  const seeing = new ResidualPaths(WIDTH, T, LINEAR_COLUMNS, false);
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
      const row = begin * WIDTH;
      const volume = matrix[row + VOLUME_AT];
      const range = matrix[row + RANGE_AT];
      const surprise = matrix[row + SURPRISE_AT];
      volumes -= volume;
      volumeSquares -= volume * volume;
      rangeSquares -= range * range;
      surprises -= surprise;
      surpriseSquares -= surprise * surprise;
      quiet -= matrix[row + QUIET_AT];
    }
    for (; end < start + T; end++) {
      const row = end * WIDTH;
      const volume = matrix[row + VOLUME_AT];
      const range = matrix[row + RANGE_AT];
      const surprise = matrix[row + SURPRISE_AT];
      volumes += volume;
      volumeSquares += volume * volume;
      rangeSquares += range * range;
      surprises += surprise;
      surpriseSquares += surprise * surprise;
      quiet += matrix[row + QUIET_AT];
    }
    const mean = volumes / T;
    const traded = T - quiet;
    const meanSurprise = surprises / traded;
    const minuteVolatility = volatility[w] / ROOT_HORIZON;
    const unit = 1 / minuteVolatility;
    const rangeScale = Math.sqrt(rangeSquares / T) / RANGE_TO_RETURN;
    const price = lastClose[w];
    const at = w * S;
    scales[at + UNIT] = unit;
    scales[at + VOLUME_MEAN] = mean;
    scales[at + VOLUME_GAIN] = volumeGainOf(volumeSquares / T - mean * mean);
    scales[at + SURPRISE_MEAN] = meanSurprise;
    scales[at + SURPRISE_GAIN] = volumeGainOf(surpriseSquares / traded - meanSurprise * meanSurprise);
    scales[at + RANGE_GAIN] = 1 / Math.max(rangeScale, minuteVolatility);
    scales[at + OWN_VOLATILITY] = logAboveOne(minuteVolatility / 1e-4) / 2 - 0.75;
    scales[at + OWN_TICK] = tickOf(price) / (price * minuteVolatility);
    scales[at + OWN_LIQUIDITY] = (mean + logAboveOne(price) - 10) / 4;
    const last = start + T - 1;
    const blind = isBlindRow(matrix, last * WIDTH, FLOW_COLUMNS);
    const linear = blind ? blindly : sighted;
    if (!linear) {
      scales[at + OWN_LINEAR] = 0;
      scales.fill(0, at + OWN_DEVIATION, at + S);
      continue;
    }
    const paths = blind ? (unseeing ??= new ResidualPaths(WIDTH, T, LINEAR_COLUMNS, true)) : seeing;
    const ofFlows = flows[2 * last] * unit + flows[2 * last + 1];
    scales[at + OWN_LINEAR] = LINEAR_GAIN * linear.of(matrix, last, unit, paths, ofFlows);
    const { deviations } = linear;
    for (let i = 0; i < DEVIATIONS.length; i++) scales[at + OWN_DEVIATION + i] = deviations[DEVIATIONS[i]];
  }
  return { ...windows, scaling: RETURNS_SCALING, scales };
}

/** ln(price / base) / volatility, limited to +-{@link TARGET_LIMIT}; NaN where the price is. */
const scaledReturn = (price: number, base: number, volatility: number): number =>
  Math.max(-TARGET_LIMIT, Math.min(TARGET_LIMIT, logRatio(price, base) / volatility));

/** `[N]` returns to the horizon in volatilities. */
export function scaledReturns({ lastClose, targetClose, volatility }: WindowSet): Float64Array {
  const out = new Float64Array(lastClose.length);
  for (let w = 0; w < out.length; w++) out[w] = scaledReturn(targetClose[w], lastClose[w], volatility[w]);
  return out;
}

/** `[N]` what the linear forecast leaves over of them; NaN where targetClose is. */
export function targets(windows: WindowSet, _scaler: FittedScaler, into?: Float32Array): Float32Array {
  const { lastClose, targetClose, volatility, scales } = windows;
  const out = into ?? new Float32Array(lastClose.length);
  for (let w = 0, at = OWN_LINEAR; w < out.length; w++, at += S)
    out[w] = scaledReturn(targetClose[w], lastClose[w], volatility[w]) - scales[at] / LINEAR_GAIN;
  return out;
}

/** The linear forecast of scaled window w, in volatilities. */
export const linearOf = ({ scales }: WindowSet, w: number): number => scales[w * S + OWN_LINEAR] / LINEAR_GAIN;

/** How much scaled window w trades: about the log of its money a minute. */
export const liquidityOf = ({ scales }: WindowSet, w: number): number => scales[w * S + OWN_LIQUIDITY];
