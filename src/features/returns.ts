/**
 * The recipe `returns`: each window is measured by its own volatility and volume, so that a calm fund and a wild
 * stock look alike to the network and neither drowns the other in the loss. Beside a symbol's own minutes it sees what
 * the market says of it (`market-model.ts`), and the forecast starts from a straight line (`linear-forecast.ts`): the
 * network is trained on the quantiles of what that leaves over. Formulas: `docs/concepts/features.md`.
 *
 * Scaled inputs are bounded for T = 60: |return| by sqrt(T) = 7.7, range by 4 sqrt(T) = 31, volume by sqrt(T), because
 * each is divided by a root mean square that contains it.
 */
import type { MarketBars } from '../bars/index.ts';
import { LINEAR_DEVIATIONS, LINEAR_INPUTS, LinearFit, linearForecast, linearInputs } from './linear-forecast.ts';
import { decodeFloats, encodeFloats, fitMarket } from './market-model.ts';
import { fillMarket } from './market-rows.ts';
import type { DecodedOutputs, FittedScaler, Recipe, WindowSet } from './recipe.ts';
import { logReturnOf, logVolumeOf, type RowFormula, SESSION_MINUTES } from './rows.ts';
import { tickOf } from './volatility.ts';

const WINDOW_LENGTH = 60;
const HORIZON_MINUTES = 5;
const FEATURES = [
  'return',
  'volume',
  'range',
  'closePosition',
  'quiet',
  'clock',
  'explained',
  'peers',
  'turbulence',
  'strain',
  'linear',
  'volatility',
  'tick',
  'liquidity',
  ...LINEAR_DEVIATIONS.map(({ name }) => name),
];
const F = FEATURES.length;
const [RETURN, VOLUME, RANGE, CLOSE_POSITION, QUIET, CLOCK] = [0, 1, 2, 3, 4, 5];
const [EXPLAINED, PEERS, TURBULENCE, STRAIN] = [6, 7, 8, 9];
const [LINEAR, VOLATILITY, TICK, LIQUIDITY] = [10, 11, 12, 13];
/** The first of the deviations. */
const DEVIATION = 14;
const LINEAR_COLUMNS = {
  logReturn: RETURN,
  volume: VOLUME,
  range: RANGE,
  closePosition: CLOSE_POSITION,
  explained: EXPLAINED,
  peers: PEERS,
};
const MARKET_COLUMNS = { explained: EXPLAINED, peers: PEERS, turbulence: TURBULENCE, strain: STRAIN };

/** Training targets beyond this many volatilities are clipped to it. */
export const TARGET_LIMIT = 6;

/** Smallest standard deviation of a window's log volume that is divided by. */
const VOLUME_DEVIATION_FLOOR = 0.1;

/** The range is divided by its own root mean square over this, where that exceeds the volatility of the returns. */
const RANGE_TO_RETURN = 4;

/** The linear forecast as an input of the network is this many times itself; a power of two, so nothing is lost. */
const LINEAR_GAIN = 4;

/** Quantile levels of the outputs: the middles of 15 equal parts, so that their mean is the forecast's. */
export const QUANTILE_LEVELS = Array.from({ length: 15 }, (_, i) => (2 * i + 1) / 30);
const O = QUANTILE_LEVELS.length;
/** Outputs of the levels 0.1 and 0.9. */
const [LOW, HIGH] = [1, 13];
/** The interval's ends lie at least this many volatilities from the forecast. */
const LEAST_DISTANCE = 0.02;

const row: RowFormula = {
  bar(matrix, at, logReturn, high, low, close, volume, minutesSinceOpen) {
    matrix[at + RETURN] = logReturn;
    matrix[at + VOLUME] = logVolumeOf(volume);
    matrix[at + RANGE] = logReturnOf(high, low);
    const position = high > low ? (2 * close - high - low) / (high - low) : 0;
    matrix[at + CLOSE_POSITION] = Math.max(-1, Math.min(1, position));
    matrix[at + QUIET] = 0;
    ofMinute(matrix, at, minutesSinceOpen);
  },
  quiet(matrix, at, _close, minutesSinceOpen) {
    matrix[at + RETURN] = 0;
    matrix[at + VOLUME] = 0;
    matrix[at + RANGE] = 0;
    matrix[at + CLOSE_POSITION] = 0;
    matrix[at + QUIET] = 1;
    ofMinute(matrix, at, minutesSinceOpen);
  },
};

/** What every minute's row has: the clock, an empty place for the market, and the ones that a window's own scales turn into constants. */
function ofMinute(matrix: Float32Array, at: number, minutesSinceOpen: number): void {
  matrix[at + CLOCK] = (2 * minutesSinceOpen) / SESSION_MINUTES - 1;
  matrix[at + EXPLAINED] = 0;
  matrix[at + PEERS] = 0;
  matrix[at + TURBULENCE] = 0;
  matrix[at + STRAIN] = 0;
  matrix[at + LINEAR] = 1;
  matrix[at + VOLATILITY] = 1;
  matrix[at + TICK] = 1;
  matrix[at + LIQUIDITY] = 1;
  for (let f = DEVIATION; f < F; f++) matrix[at + f] = 1;
}

/** The market of the training bars and the weights of the linear forecast. */
function fit(training: WindowSet, bars?: MarketBars): FittedScaler {
  const { asOf, starts, volatility, matrix } = training;
  const N = asOf.length;
  let last = Number.NEGATIVE_INFINITY;
  for (const minute of asOf) if (minute > last) last = minute;
  const market = bars ? fitMarket(bars, last + HORIZON_MINUTES, returnsRecipe.quiet.longestRun) : {};
  if (bars) fillMarket(training, returnsRecipe, market, bars);
  // Twice: for windows that know the market, and for those that must do without.
  const sums = new LinearFit();
  const blindSums = new LinearFit();
  const inputs = new Float64Array(LINEAR_INPUTS);
  const wanted = scaledReturns(training);
  const { shift, gain } = scale(training, {});
  for (let w = 0; w < N; w++) {
    if (Number.isNaN(wanted[w])) continue;
    const scales = {
      minuteVolatility: volatility[w] / ROOT_HORIZON,
      volumeMean: shift[w * F + VOLUME],
      volumeGain: gain[w * F + VOLUME],
    };
    const last = starts[w] + WINDOW_LENGTH - 1;
    linearInputs(matrix, last, F, LINEAR_COLUMNS, scales, true, inputs);
    blindSums.add(inputs, wanted[w]);
    if (isBlind(matrix, last)) continue;
    linearInputs(matrix, last, F, LINEAR_COLUMNS, scales, false, inputs);
    sums.add(inputs, wanted[w]);
  }
  return { ...market, linear: encodeFloats(sums.weights()), linearBlind: encodeFloats(blindSums.weights()) };
}

const ROOT_HORIZON = Math.sqrt(HORIZON_MINUTES);

/** Whether nothing is known of the market in a window's last row: too few of the references have traded, or none is at hand. */
const isBlind = (matrix: Float32Array, last: number): boolean =>
  matrix[last * F + TURBULENCE] === 0 && matrix[last * F + STRAIN] === 0;

/**
 * Scales of each window `[N, F]`. Window sums are exact (see `rows.ts`), so a sum may slide from one window to the
 * next or be taken afresh: the bits are the same.
 */
function scale(windows: WindowSet, scaler: FittedScaler): WindowSet {
  const { matrix, starts, volatility, lastClose } = windows;
  const N = starts.length;
  const T = WINDOW_LENGTH;
  const shift = new Float32Array(N * F);
  const gain = new Float32Array(N * F);
  const weightsOf = (text: unknown) => (typeof text === 'string' ? decodeFloats(text) : undefined);
  const sighted = weightsOf(scaler.linear);
  const blindly = weightsOf(scaler.linearBlind);
  const inputs = new Float64Array(LINEAR_INPUTS);
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
    const minuteVolatility = volatility[w] / ROOT_HORIZON;
    const rangeScale = Math.sqrt(rangeSquares / T) / RANGE_TO_RETURN;
    const at = w * F;
    gain[at + RETURN] = gain[at + EXPLAINED] = gain[at + PEERS] = 1 / minuteVolatility;
    shift[at + VOLUME] = mean;
    gain[at + VOLUME] = 1 / Math.max(deviation, VOLUME_DEVIATION_FLOOR);
    gain[at + RANGE] = 1 / Math.max(rangeScale, minuteVolatility);
    gain[at + CLOSE_POSITION] = gain[at + QUIET] = gain[at + CLOCK] = gain[at + TURBULENCE] = gain[at + STRAIN] = 1;
    const last = start + T - 1;
    const blind = isBlind(matrix, last);
    const linear = blind ? blindly : sighted;
    if (linear) {
      // In float32, as the fit has them.
      const scales = { minuteVolatility, volumeMean: shift[at + VOLUME], volumeGain: gain[at + VOLUME] };
      linearInputs(matrix, last, F, LINEAR_COLUMNS, scales, blind, inputs);
      gain[at + LINEAR] = LINEAR_GAIN * linearForecast(linear, inputs);
      LINEAR_DEVIATIONS.forEach(({ input }, i) => {
        gain[at + DEVIATION + i] = inputs[input];
      });
    }
    const price = lastClose[w];
    gain[at + VOLATILITY] = Math.log(minuteVolatility / 1e-4) / 2 - 0.75;
    gain[at + TICK] = tickOf(price) / (price * minuteVolatility);
    gain[at + LIQUIDITY] = (mean + Math.log(price) - 10) / 4;
  }
  return { ...windows, shift, gain, scaleStride: F };
}

/** `[N]` ln(targetClose / lastClose) / volatility, limited to +-{@link TARGET_LIMIT}; NaN where targetClose is. */
function scaledReturns({ lastClose, targetClose, volatility }: WindowSet): Float64Array {
  const out = new Float64Array(lastClose.length);
  for (let w = 0; w < out.length; w++) {
    const target = Math.log(targetClose[w] / lastClose[w]) / volatility[w];
    out[w] = Math.max(-TARGET_LIMIT, Math.min(TARGET_LIMIT, target));
  }
  return out;
}

/** The linear forecast of scaled window w, in volatilities. */
const linearOf = ({ gain }: WindowSet, w: number): number => gain[w * F + LINEAR] / LINEAR_GAIN;

/** `[N]` what the linear forecast leaves over; NaN where targetClose is. */
function targets(windows: WindowSet): Float32Array {
  return Float32Array.from(scaledReturns(windows), (wanted, w) => wanted - linearOf(windows, w));
}

/** The linear forecast and the mean of the quantiles, times the volatility; the interval's ends are two of them. */
function decode(output: Float32Array, windows: WindowSet): DecodedOutputs {
  const { volatility, matrix, starts } = windows;
  const N = volatility.length;
  const linear = new Float64Array(N);
  const network = new Float64Array(N);
  const below = new Float64Array(N);
  const above = new Float64Array(N);
  const strain = new Float64Array(N);
  for (let w = 0; w < N; w++) {
    let sum = 0;
    for (let o = 0; o < O; o++) sum += output[w * O + o];
    const mean = sum / O;
    linear[w] = linearOf(windows, w) * volatility[w];
    network[w] = mean * volatility[w];
    below[w] = Math.max(LEAST_DISTANCE, mean - output[w * O + LOW]) * volatility[w];
    above[w] = Math.max(LEAST_DISTANCE, output[w * O + HIGH] - mean) * volatility[w];
    strain[w] = matrix[(starts[w] + WINDOW_LENGTH - 1) * F + STRAIN];
  }
  return { parts: [linear, network], below, above, strain };
}

export const returnsRecipe: Recipe = {
  name: 'returns',
  version: 2,
  windowLength: WINDOW_LENGTH,
  horizonMinutes: HORIZON_MINUTES,
  features: FEATURES,
  oneMinuteReturns: { feature: RETURN, holds: 'logReturn' },
  row,
  quiet: { longestRun: 15, most: 45 },
  market: MARKET_COLUMNS,
  network: {
    windowLength: WINDOW_LENGTH,
    features: F,
    lstm: [32],
    dropout: 0.1,
    dense: [
      { units: 32, activation: 'relu' },
      { units: O, activation: 'linear' },
    ],
  },
  training: {
    epochs: 6,
    batch: 256,
    loss: { kind: 'pinball', levels: QUANTILE_LEVELS },
    optimizer: { learningRate: 2e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weightDecay: 1e-2, clipNorm: 1 },
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
