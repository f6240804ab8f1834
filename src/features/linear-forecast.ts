/**
 * The linear forecast: a ridge regression of the scaled return to the horizon on what a window's last minutes say. The
 * network is trained on what it leaves over, so a network without any skill still answers as well as a straight line.
 *
 * Inputs, all in units of the window's one-minute volatility: own returns and close positions times ranges (the bounce
 * between bid and ask), returns times the surge of their volume (moves on high volume go on, others are taken back:
 * Llorente, Michaely, Saar & Wang 2002), the returns that the market explains, and how far the price stands from where the market would
 * have it (the mean of the last k minutes' deviations); small deviations count for more than large ones, so some
 * inputs come again limited to +-1.
 */
import { addProducts, paddedWidth, solvePenalised } from './linear-algebra.ts';
import type { ResidualPaths } from './residual-paths.ts';

/** Where the features lie in a row. */
export interface LinearColumns {
  readonly logReturn: number;
  readonly volume: number;
  readonly range: number;
  readonly closePosition: number;
  readonly explained: number;
  readonly peers: number;
}

const OWN_LAGS = 20;
const BOUNCE_LAGS = 5;
const EXPLAINED_LAGS = 5;
const LIMITED_LAGS = 5;
/** Minutes that a deviation's mean is taken over. */
const SPANS = [2, 3, 5, 10, 20, 30, 59];

/** Minutes that moves on surging volume are summed over, and what is left of one a minute later. */
const SURGE_LAGS = 30;
const SURGE_STEEPNESS = 1.5;
const SURGE_DECAYS = [0.5, 0.8, 0.9, 0.96];

export const LINEAR_INPUTS =
  OWN_LAGS + BOUNCE_LAGS + EXPLAINED_LAGS + LIMITED_LAGS + 4 * SPANS.length + SURGE_DECAYS.length;

const MARKET_AT = OWN_LAGS + BOUNCE_LAGS + EXPLAINED_LAGS + LIMITED_LAGS;
const PEERS_AT = MARKET_AT + 2 * SPANS.length;

/** Inputs that the network sees too: deviations from the market and from the peers over a few spans. */
export const LINEAR_DEVIATIONS = [
  { name: 'marketDeviation5', input: MARKET_AT + SPANS.indexOf(5) },
  { name: 'marketDeviation59', input: MARKET_AT + SPANS.indexOf(59) },
  { name: 'peerDeviation3', input: PEERS_AT + SPANS.indexOf(3) },
  { name: 'peerDeviation10', input: PEERS_AT + SPANS.indexOf(10) },
  { name: 'peerDeviation59', input: PEERS_AT + SPANS.indexOf(59) },
] as const;

/** A forecast is limited to this many volatilities. */
const FORECAST_LIMIT = 3;
/** Ridge penalty in multiples of the rows, on inputs of mean square 1. */
const PENALTY = 0.01;
/** Fewer windows an input than this fit nothing. */
const LEAST_WINDOWS_AN_INPUT = 20;

/** A window's own units. */
export interface WindowScales {
  /** Of one-minute log returns. */
  readonly minuteVolatility: number;
  /** Log volumes are standardised with (u - mean) * gain. */
  readonly volumeMean: number;
  readonly volumeGain: number;
}

const limited = (x: number): number => Math.max(-1, Math.min(1, x));

/**
 * Writes the inputs of the window whose last row is `last` to `out` `[LINEAR_INPUTS]`.
 * @param stride F, numbers a row
 * @param paths those of the matrix; blind ones leave the market's columns out, as if it explained nothing
 */
export function linearInputs(
  matrix: Float32Array,
  last: number,
  stride: number,
  columns: LinearColumns,
  scales: WindowScales,
  paths: ResidualPaths,
  out: Float64Array,
): void {
  const { logReturn, volume, range, closePosition, explained } = columns;
  const { minuteVolatility, volumeMean, volumeGain } = scales;
  const unit = 1 / minuteVolatility;
  const end = last * stride;
  let i = 0;
  for (let k = 0; k < OWN_LAGS; k++) out[i++] = matrix[end - k * stride + logReturn] * unit;
  for (let k = 0; k < BOUNCE_LAGS; k++) {
    out[i++] = matrix[end - k * stride + closePosition] * matrix[end - k * stride + range] * unit;
  }
  for (let k = 0; k < EXPLAINED_LAGS; k++) out[i++] = paths.blind ? 0 : matrix[end - k * stride + explained] * unit;
  for (let k = 0; k < LIMITED_LAGS; k++) out[i++] = limited(out[k]);
  const n = SPANS.length;
  const place = paths.seek(matrix, last);
  for (let span = 0; span < n; span++) {
    const minutes = SPANS[span];
    const ofMarket = (paths.fromMarket(place, minutes) / minutes) * unit;
    const ofPeers = (paths.fromPeers(place, minutes) / minutes) * unit;
    out[i + span] = ofMarket;
    out[i + n + span] = limited(ofMarket);
    out[i + 2 * n + span] = ofPeers;
    out[i + 3 * n + span] = limited(ofPeers);
  }
  const surges = i + 4 * n;
  out.fill(0, surges);
  for (let k = SURGE_LAGS - 1; k >= 0; k--) {
    const at = end - k * stride;
    const move = matrix[at + logReturn];
    const signed =
      move === 0 ? 0 : move * unit * Math.tanh(SURGE_STEEPNESS * (matrix[at + volume] - volumeMean) * volumeGain);
    for (let d = 0; d < SURGE_DECAYS.length; d++) out[surges + d] = SURGE_DECAYS[d] * out[surges + d] + signed;
  }
}

/** Weights `[LINEAR_INPUTS]` applied to a window's inputs: the scaled return forecast. */
export function linearForecast(weights: Float32Array, inputs: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < weights.length; i++) sum += weights[i] * inputs[i];
  return Math.max(-FORECAST_LIMIT, Math.min(FORECAST_LIMIT, sum));
}

/** Inputs and the target of a window, side by side. */
const WIDTH = paddedWidth(LINEAR_INPUTS + 1);
/** Windows whose products are summed at a time: they stay in the cache. */
const WINDOWS_AT_ONCE = 32;

/** Room for the sums of {@link LinearSums}: products of inputs and target, and the windows. */
export const LINEAR_SUMS = WIDTH * WIDTH + 1;

/** Sums for the ridge regression, window by window. */
export class LinearSums {
  /** `[LINEAR_SUMS]` */
  readonly #sums: Float64Array;
  readonly #rows = new Float64Array(WINDOWS_AT_ONCE * WIDTH);
  readonly #inputs: readonly Float64Array[];
  #held = 0;

  /** @param sums `[LINEAR_SUMS]` that is added to, whole after {@link LinearSums.finish} */
  constructor(sums: Float64Array) {
    this.#sums = sums;
    this.#inputs = Array.from({ length: WINDOWS_AT_ONCE }, (_, i) =>
      this.#rows.subarray(i * WIDTH, i * WIDTH + LINEAR_INPUTS),
    );
  }

  /** Where the next window's inputs go before it is added. */
  get inputs(): Float64Array {
    return this.#inputs[this.#held];
  }

  add(target: number): void {
    this.#rows[this.#held * WIDTH + LINEAR_INPUTS] = target;
    if (++this.#held === WINDOWS_AT_ONCE) this.finish();
  }

  finish(): void {
    addProducts(this.#sums, WIDTH, this.#rows, this.#held);
    this.#sums[WIDTH * WIDTH] += this.#held;
    this.#held = 0;
  }
}

/** Weights `[LINEAR_INPUTS]` from `[LINEAR_SUMS]`, all 0 when there are too few windows. */
export function linearWeights(sums: Float64Array): Float32Array {
  const K = LINEAR_INPUTS;
  const none = new Float32Array(K);
  const windows = sums[WIDTH * WIDTH];
  if (windows < LEAST_WINDOWS_AN_INPUT * K) return none;
  const products = new Float64Array(K * K);
  for (let i = 0; i < K; i++) for (let j = 0; j <= i; j++) products[i * K + j] = sums[i * WIDTH + j];
  const penalty = Float64Array.from({ length: K }, (_, i) => PENALTY * products[i * K + i] || windows);
  // The target is the last row.
  const solved = solvePenalised(products, penalty, sums.slice(K * WIDTH, K * WIDTH + K));
  return solved?.every(Number.isFinite) ? Float32Array.from(solved) : none;
}
