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
import { freshShared } from '../base/index.ts';
import { inPlace } from './fit-steps.ts';
import type { WindowScales } from './linear-columns.ts';
import {
  LINEAR_DEVIATIONS,
  LINEAR_SUMS,
  LinearSums,
  linearInputs,
  linearWeights,
  QuickForecast,
} from './linear-forecast.ts';
import { logAboveOne, logRatio } from './logarithms.ts';
import { decodeFloats, encodeFloats, fittingMarket, type MarketFitStep, marketFitWork } from './market-model.ts';
import type { RecordStep } from './market-record.ts';
import { type FillStep, fillingMarket, marketFillWork } from './market-rows.ts';
import type { DecodedOutputs, FittedScaler, Recipe, WindowSet } from './recipe.ts';
import { ResidualPaths } from './residual-paths.ts';
import { logReturnOf, logVolumeOf, type RowFormula, SESSION_MINUTES } from './rows.ts';
import { fitUsualVolume, surpriseShift, volumePersistenceOf } from './usual-volume.ts';
import { tickOf } from './volatility.ts';
import { selectWindows } from './window-selection.ts';

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
  'surprise',
  'leader',
];
const F = FEATURES.length;
const [RETURN, VOLUME, RANGE, CLOSE_POSITION, QUIET, CLOCK] = [0, 1, 2, 3, 4, 5];
const [EXPLAINED, PEERS, TURBULENCE, STRAIN] = [6, 7, 8, 9];
const [LINEAR, VOLATILITY, TICK, LIQUIDITY] = [10, 11, 12, 13];
/** The first of the deviations. */
const DEVIATION = 14;
const SURPRISE = DEVIATION + LINEAR_DEVIATIONS.length;
const LEADER = SURPRISE + 1;
const LINEAR_COLUMNS = {
  logReturn: RETURN,
  range: RANGE,
  closePosition: CLOSE_POSITION,
  explained: EXPLAINED,
  peers: PEERS,
  quiet: QUIET,
  clock: CLOCK,
  surprise: SURPRISE,
  leader: LEADER,
};
const MARKET_COLUMNS = {
  explained: EXPLAINED,
  peers: PEERS,
  turbulence: TURBULENCE,
  strain: STRAIN,
  leader: LEADER,
  surprise: SURPRISE,
  volume: VOLUME,
};

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

/** Features that are 1 in every row: the window's own scales turn them into constants. */
const CONSTANTS = [LINEAR, VOLATILITY, TICK, LIQUIDITY, ...LINEAR_DEVIATIONS.map((_, i) => DEVIATION + i)];

/** An empty place for the market, and the constants' ones. */
const row: RowFormula = {
  blank: Float32Array.from({ length: F }, (_, f) => (CONSTANTS.includes(f) ? 1 : 0)),
  volumeOf: logVolumeOf,
  bar(matrix, at, logReturn, high, low, close, logVolume, minutesSinceOpen) {
    matrix[at + RETURN] = logReturn;
    matrix[at + VOLUME] = logVolume;
    matrix[at + RANGE] = logReturnOf(high, low);
    const position = high > low ? (2 * close - high - low) / (high - low) : 0;
    matrix[at + CLOSE_POSITION] = Math.max(-1, Math.min(1, position));
    matrix[at + SURPRISE] = logVolume;
    matrix[at + CLOCK] = clockAt(minutesSinceOpen);
  },
  quiet(matrix, at, _close, minutesSinceOpen) {
    matrix[at + QUIET] = 1;
    matrix[at + CLOCK] = clockAt(minutesSinceOpen);
  },
};

const clockAt = (minutesSinceOpen: number): number => (2 * minutesSinceOpen) / SESSION_MINUTES - 1;

/** Windows of the training part that the linear forecast is fitted on, and on a share of which the blind one is. */
const MOST_FITTED = 400_000;
const BLIND_SHARE = 4;
const WINDOWS_A_BLOCK = 4096;

/** Sums for both lines, some windows a block. */
interface LineStep {
  readonly kind: 'line';
  readonly blocks: number;
  /** Scaled but for the line, over shared memory. */
  readonly windows: WindowSet;
  /** `[N]` */
  readonly wanted: Float64Array;
  /** Of the usual volume. */
  readonly persistence: number;
  /** `[blocks, 2, LINEAR_SUMS]` receives those of windows that know the market, and of others that do without. */
  readonly sums: Float64Array;
}

type ReturnsFitStep = MarketFitStep | RecordStep | FillStep | LineStep;

function fitWork(step: ReturnsFitStep): (block: number) => void {
  switch (step.kind) {
    case 'record':
    case 'market':
      return marketFillWork(step);
    case 'line':
      return lineWork(step);
    default:
      return marketFitWork(step);
  }
}

const fit = (training: WindowSet, bars?: MarketBars): FittedScaler =>
  inPlace(fitting(training, Int32Array.from(training.starts.keys()), bars), fitWork);

/** The market of the training bars and the weights of the linear forecast. */
function* fitting(
  windows: WindowSet,
  training: Int32Array,
  bars?: MarketBars,
): Generator<ReturnsFitStep, FittedScaler, void> {
  let last = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < training.length; i++) last = Math.max(last, windows.asOf[training[i]]);
  const market = bars ? yield* fittingMarketAndVolume(bars, last + HORIZON_MINUTES) : {};
  if (bars) yield* fillingMarket(windows, returnsRecipe, market, bars);
  // One in so many, of every symbol and in all minutes: their neighbours overlap and say little new.
  const every = Math.ceil(training.length / MOST_FITTED);
  const sample = selectWindows(
    windows,
    training.filter((w, i) => i % every === 0 && !Number.isNaN(windows.targetClose[w])),
  );
  const blocks = Math.ceil(sample.starts.length / WINDOWS_A_BLOCK);
  const sums = new Float64Array(freshShared(8 * blocks * 2 * LINEAR_SUMS));
  const scaled = sharedCopies(scale(sample, market));
  yield {
    kind: 'line',
    blocks,
    windows: scaled,
    wanted: scaledReturns(scaled),
    persistence: volumePersistenceOf(market),
    sums,
  };
  const [sighted, blind] = [0, 1].map((which) => {
    const all = new Float64Array(LINEAR_SUMS);
    for (let block = 0; block < blocks; block++)
      for (let i = 0, at = (2 * block + which) * LINEAR_SUMS; i < LINEAR_SUMS; i++) all[i] += sums[at + i];
    return encodeFloats(linearWeights(all));
  });
  return { ...market, linear: sighted, linearBlind: blind };
}

function* fittingMarketAndVolume(bars: MarketBars, before: number): Generator<MarketFitStep, FittedScaler, void> {
  const market = yield* fittingMarket(bars, before, returnsRecipe.quiet.longestRun);
  const { symbols } = market;
  return symbols === undefined ? market : { ...market, ...fitUsualVolume(bars, before, symbols as readonly string[]) };
}

function lineWork({ windows, wanted, persistence, sums }: LineStep): (block: number) => void {
  const { starts, volatility, matrix, shift, gain } = windows;
  const seeing = new ResidualPaths(F, WINDOW_LENGTH, LINEAR_COLUMNS, false);
  const unseeing = new ResidualPaths(F, WINDOW_LENGTH, LINEAR_COLUMNS, true);
  return (block) => {
    const room = (which: number) =>
      new LinearSums(sums.subarray((2 * block + which) * LINEAR_SUMS, (2 * block + which + 1) * LINEAR_SUMS));
    const sighted = room(0);
    const blind = room(1);
    const end = Math.min(starts.length, (block + 1) * WINDOWS_A_BLOCK);
    for (let w = block * WINDOWS_A_BLOCK; w < end; w++) {
      const scales = scalesOf(volatility[w] / ROOT_HORIZON, shift, gain, w * F, persistence);
      const last = starts[w] + WINDOW_LENGTH - 1;
      if (!isBlind(matrix, last)) {
        linearInputs(matrix, last, scales, seeing, sighted.inputs);
        sighted.add(wanted[w]);
      }
      if (w % BLIND_SHARE !== 0 && starts.length > MOST_FITTED / BLIND_SHARE) continue;
      linearInputs(matrix, last, scales, unseeing, blind.inputs);
      blind.add(wanted[w]);
    }
    sighted.finish();
    blind.finish();
  };
}

/** A window's units, in float32 as its scales have them. */
const scalesOf = (
  minuteVolatility: number,
  shift: Float32Array,
  gain: Float32Array,
  at: number,
  persistence: number,
): WindowScales => ({
  minuteVolatility,
  surpriseMean: surpriseShift(shift[at + SURPRISE], persistence),
  surpriseGain: gain[at + SURPRISE],
});

/** The windows' own arrays over shared memory. */
function sharedCopies(windows: WindowSet): WindowSet {
  const copy = <A extends Float32Array | Float64Array | Int32Array>(array: A): A => {
    const shared = new (array.constructor as new (buffer: ArrayBufferLike) => A)(freshShared(array.byteLength));
    shared.set(array);
    return shared;
  };
  const { starts, symbol, asOf, lastClose, targetClose, volatility, shift, gain } = windows;
  return {
    ...windows,
    starts: copy(starts),
    symbol: copy(symbol),
    asOf: copy(asOf),
    lastClose: copy(lastClose),
    targetClose: copy(targetClose),
    volatility: copy(volatility),
    shift: copy(shift),
    gain: copy(gain),
  };
}

const ROOT_HORIZON = Math.sqrt(HORIZON_MINUTES);

/** Log volumes are divided by their deviation, and not by less than a floor. */
const volumeGainOf = (variance: number): number =>
  1 / Math.max(Math.sqrt(Math.max(variance, 0)), VOLUME_DEVIATION_FLOOR);

/** Whether nothing is known of the market in a window's last row: too few of the references have traded, or none is at hand. */
const isBlind = (matrix: Float32Array, last: number): boolean =>
  matrix[last * F + TURBULENCE] === 0 && matrix[last * F + STRAIN] === 0;

/**
 * Scales of each window `[N, F]`. Window sums are exact (see `rows.ts`), so a sum may slide from one window to the
 * next or be taken afresh: the bits are the same.
 */
function scale(windows: WindowSet, scaler: FittedScaler, into?: Pick<WindowSet, 'shift' | 'gain'>): WindowSet {
  const { matrix, starts, volatility, lastClose } = windows;
  const N = starts.length;
  const T = WINDOW_LENGTH;
  const { shift, gain } = into ?? { shift: new Float32Array(N * F), gain: new Float32Array(N * F) };
  const lineOf = (text: unknown) => (typeof text === 'string' ? new QuickForecast(decodeFloats(text)) : undefined);
  const sighted = lineOf(scaler.linear);
  const blindly = lineOf(scaler.linearBlind);
  const persistence = volumePersistenceOf(scaler);
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
    shift[at + VOLUME] = mean;
    gain[at + VOLUME] = volumeGainOf(volumeSquares / T - mean * mean);
    shift[at + SURPRISE] = meanSurprise;
    gain[at + SURPRISE] = volumeGainOf(surpriseSquares / (T - quiet) - meanSurprise * meanSurprise);
    gain[at + RANGE] = 1 / Math.max(rangeScale, minuteVolatility);
    gain[at + CLOSE_POSITION] = gain[at + QUIET] = gain[at + CLOCK] = gain[at + TURBULENCE] = gain[at + STRAIN] = 1;
    const last = start + T - 1;
    const blind = isBlind(matrix, last);
    const linear = blind ? blindly : sighted;
    if (linear) {
      const scales = scalesOf(minuteVolatility, shift, gain, at, persistence);
      const paths = blind ? (unseeing ??= new ResidualPaths(F, T, LINEAR_COLUMNS, true)) : seeing;
      gain[at + LINEAR] = LINEAR_GAIN * linear.of(matrix, last, scales, paths);
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
function scaledReturns({ lastClose, targetClose, volatility }: WindowSet): Float64Array {
  const out = new Float64Array(lastClose.length);
  for (let w = 0; w < out.length; w++) {
    const target = logRatio(targetClose[w], lastClose[w]) / volatility[w];
    out[w] = Math.max(-TARGET_LIMIT, Math.min(TARGET_LIMIT, target));
  }
  return out;
}

/** The linear forecast of scaled window w, in volatilities. */
const linearOf = ({ gain }: WindowSet, w: number): number => gain[w * F + LINEAR] / LINEAR_GAIN;

/** `[N]` what the linear forecast leaves over; NaN where targetClose is. */
function targets(windows: WindowSet): Float32Array {
  const wanted = scaledReturns(windows);
  const out = new Float32Array(wanted.length);
  for (let w = 0; w < out.length; w++) out[w] = wanted[w] - linearOf(windows, w);
  return out;
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
  version: 3,
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
  fitting,
  fitWork: (step) => fitWork(step as ReturnsFitStep),
  scale,
};
