/**
 * The linear forecast: a ridge regression of the scaled return to the horizon on what a window's last minutes say. The
 * network is trained on what it leaves over, so a network without any skill still answers as well as a straight line.
 *
 * Inputs, all in units of the window's one-minute volatility: own returns and close positions times ranges (the bounce
 * between bid and ask), how far the price stands from where the market would have it (the mean of the last k minutes'
 * deviations; small ones count for more than large ones, so they come again limited to +-1), and past moves that fade
 * (`flows.ts`).
 */
import { FLOW_INPUTS, type Flows } from './flows.ts';
import { addProducts, paddedWidth, solvePenalised } from './linear-algebra.ts';
import { decodeFloats } from './market-model.ts';
import type { FittedScaler } from './recipe.ts';
import type { ResidualPaths } from './residual-paths.ts';

const OWN_LAGS = 5;
const BOUNCE_LAGS = 5;
/** Minutes that a deviation's mean is taken over. */
const SPANS = [2, 3, 5, 10, 20, 30, 59];
const PER_MINUTE = Float64Array.from(SPANS, (minutes) => 1 / minutes);

export const LINEAR_INPUTS = OWN_LAGS + BOUNCE_LAGS + 4 * SPANS.length + FLOW_INPUTS;

const fromMarket = (minutes: number) => SPANS.indexOf(minutes);
const fromPeers = (minutes: number) => SPANS.length + SPANS.indexOf(minutes);

/** Inputs that the network sees too: deviations from the market and from the peers over a few spans. */
export const LINEAR_DEVIATIONS = [
  { name: 'marketDeviation5', place: fromMarket(5) },
  { name: 'marketDeviation59', place: fromMarket(59) },
  { name: 'peerDeviation3', place: fromPeers(3) },
  { name: 'peerDeviation10', place: fromPeers(10) },
  { name: 'peerDeviation59', place: fromPeers(59) },
] as const;

/** A forecast is limited to this many volatilities. */
const FORECAST_LIMIT = 3;
/** Ridge penalty in multiples of the rows, on inputs of mean square 1. */
const PENALTY = 0.03;
/** Fewer windows an input than this fit nothing. */
const LEAST_WINDOWS_AN_INPUT = 20;

const limited = (x: number): number => Math.max(-1, Math.min(1, x));
const smoothlyLimited = (x: number): number => (Math.abs(x + 1) - Math.abs(x - 1)) / 2;

/**
 * Writes the inputs of the window whose last row is `last` to `out` `[LINEAR_INPUTS]`.
 * @param unit 1 / the window's one-minute volatility
 * @param paths those of the matrix; blind ones leave the market's columns out, as if it explained nothing
 * @param flows of the run up to that row
 */
export function linearInputs(
  matrix: Float32Array,
  last: number,
  unit: number,
  paths: ResidualPaths,
  flows: Flows,
  out: Float64Array,
): void {
  const place = paths.seek(matrix, last);
  const { logReturns, bounces } = paths;
  let i = 0;
  for (let k = 0; k < OWN_LAGS; k++) out[i++] = logReturns[place - k] * unit;
  for (let k = 0; k < BOUNCE_LAGS; k++) out[i++] = bounces[place - k] * unit;
  const n = SPANS.length;
  for (let span = 0; span < n; span++) {
    const minutes = SPANS[span];
    const ofMarket = (paths.fromMarket(place, minutes) / minutes) * unit;
    const ofPeers = (paths.fromPeers(place, minutes) / minutes) * unit;
    out[i + span] = ofMarket;
    out[i + n + span] = limited(ofMarket);
    out[i + 2 * n + span] = ofPeers;
    out[i + 3 * n + span] = limited(ofPeers);
  }
  flows.inputs(unit, paths.blind, out, i + 4 * n);
}

const limitedForecast = (x: number): number => Math.max(-FORECAST_LIMIT, Math.min(FORECAST_LIMIT, x));

/** Weights `[LINEAR_INPUTS]` applied to a window's inputs: the scaled return forecast. */
export function linearForecast(weights: Float32Array, inputs: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < weights.length; i++) sum += weights[i] * inputs[i];
  return limitedForecast(sum);
}

/** The weights of the flows among those of a line. */
export const flowWeightsOf = (weights: Float32Array): Float64Array =>
  Float64Array.from(weights.subarray(LINEAR_INPUTS - FLOW_INPUTS));

interface Lines {
  /** `[LINEAR_INPUTS]` where the market is known, and where it is not. */
  readonly sighted: Float32Array;
  readonly blind: Float32Array;
}

const decoded = new WeakMap<FittedScaler, Lines>();

/** The weights that a scaler holds; undefined before they have been fitted. */
export function linesOf(scaler: FittedScaler): Lines | undefined {
  const known = decoded.get(scaler);
  if (known) return known;
  const { linear, linearBlind } = scaler;
  if (typeof linear !== 'string' || typeof linearBlind !== 'string') return undefined;
  const lines = { sighted: decodeFloats(linear), blind: decodeFloats(linearBlind) };
  decoded.set(scaler, lines);
  return lines;
}

/**
 * {@link linearForecast} of {@link linearInputs} at a fraction of the time, for all windows that are scaled. The two
 * differ in the last bits; batch and live both use this one.
 */
export class QuickForecast {
  /** By lag. */
  readonly #own: Float64Array;
  readonly #bounce: Float64Array;
  /** `[4, SPANS]` of the deviations, as they are and limited, from the market and from the peers. */
  readonly #deviations: Float64Array;
  /** `[2, SPANS]` the last window's deviations from the market and from the peers. */
  readonly deviations = new Float64Array(2 * SPANS.length);

  constructor(weights: Float32Array) {
    let at = 0;
    const next = (count: number) => Float64Array.from(weights.subarray(at, (at += count)));
    this.#own = next(OWN_LAGS);
    this.#bounce = next(BOUNCE_LAGS);
    this.#deviations = next(4 * SPANS.length);
  }

  /**
   * The forecast of the window whose last row is `last`, and its deviations.
   * @param unit 1 / the window's one-minute volatility
   * @param flows what the flows' weights make of them, in volatilities
   */
  of(matrix: Float32Array, last: number, unit: number, paths: ResidualPaths, flows: number): number {
    const place = paths.seek(matrix, last);
    const { logReturns, bounces } = paths;
    // Sums that do not wait for each other.
    let own = 0;
    let bounce = 0;
    for (let k = 0; k < OWN_LAGS; k++) own += this.#own[k] * logReturns[place - k];
    for (let k = 0; k < BOUNCE_LAGS; k++) bounce += this.#bounce[k] * bounces[place - k];
    return limitedForecast((own + bounce) * unit + flows + this.#ofDeviations(paths, place, unit));
  }

  #ofDeviations(paths: ResidualPaths, place: number, unit: number): number {
    const n = SPANS.length;
    const weights = this.#deviations;
    const found = this.deviations;
    let market = 0;
    let peers = 0;
    for (let span = 0; span < n; span++) {
      const minutes = SPANS[span];
      const share = unit * PER_MINUTE[span];
      const ofMarket = paths.fromMarket(place, minutes) * share;
      const ofPeers = paths.fromPeers(place, minutes) * share;
      found[span] = ofMarket;
      found[n + span] = ofPeers;
      market += weights[span] * ofMarket + weights[n + span] * smoothlyLimited(ofMarket);
      peers += weights[2 * n + span] * ofPeers + weights[3 * n + span] * smoothlyLimited(ofPeers);
    }
    return market + peers;
  }
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
