/**
 * The market's columns of the feature matrix: the return that the market explains, and its turbulence. Batch and live
 * fill them with the functions of this file, row after row of a run.
 *
 * A symbol of the training part has the loadings that were fitted there. Another one begins every run with loadings of
 * 0 and learns them from its own run by recursive least squares (Plackett 1950), minute by minute, on sums of five
 * minutes; the return explained in a minute uses loadings learned before it.
 */
import type { MarketBars } from '../bars/index.ts';
import { inPlace } from './fit-steps.ts';
import { type FlowStep, fillingFlows, flowRowsOf, flowsWork } from './flow-rows.ts';
import { type MarketModel, marketOf } from './market-model.ts';
import { type MarketRecord, RecordedMarket, type RecordStep, recordWork, roomForMarket } from './market-record.ts';
import type { MarketMinute } from './market-tape.ts';
import type { FittedScaler, FlowColumns, MarketColumns, Recipe, WindowSet } from './recipe.ts';
import { returnPartOf, SESSION_MINUTES } from './rows.ts';

/** What tells the parts of a symbol's return that the market and its peers explain; one for each run of a symbol. */
export interface Explainer {
  /** Takes the run's next minute, without leaving one out. @returns the log return that the factors explain in it */
  next(market: MarketMinute, logReturn: number): number;
  /** The log return that the peers add to it. */
  peers(market: MarketMinute): number;
  /** ln(1 + volume) that is usual for the symbol in a minute of the session; undefined where that was not fitted. */
  readonly usualVolume: ((minuteOfSession: number) => number) | undefined;
}

/** Prior precision of unknown loadings, in minutes of observations that say 0. */
const PRIOR_MINUTES = 100;
/** Minutes that an observation adds up. */
const LEARNING_MINUTES = 5;

export function explainerOf(market: MarketModel, symbol: string): Explainer {
  const loadings = market.loadingsOf(symbol);
  const peers = market.peersOf(symbol);
  const usualVolume = market.usualVolume?.of(symbol);
  return loadings && peers
    ? new FixedLoadings(loadings, peers, usualVolume)
    : new LearnedLoadings(market.factors, usualVolume);
}

/** What a symbol's loadings make of the factors from place `at` on. */
function explainedBy(loadings: Float32Array, factors: Float64Array, at: number): number {
  let sum = 0;
  for (let k = 0; k < loadings.length; k++) sum += loadings[k] * factors[at + k];
  return sum;
}

/** What its peers add, of the residuals from place `at` on. */
function addedBy(peers: Float32Array, residuals: Float32Array, at: number): number {
  let sum = 0;
  for (let p = 0; p < peers.length; p += 2) sum += peers[p + 1] * residuals[at + peers[p]];
  return sum;
}

class FixedLoadings implements Explainer {
  readonly loadings: Float32Array;
  readonly shares: Float32Array;
  readonly usualVolume: Explainer['usualVolume'];

  constructor(loadings: Float32Array, peers: Float32Array, usualVolume: Explainer['usualVolume']) {
    this.usualVolume = usualVolume;
    this.loadings = loadings;
    this.shares = peers;
  }

  next({ factors }: MarketMinute): number {
    return explainedBy(this.loadings, factors, 0);
  }

  peers({ residuals }: MarketMinute): number {
    return addedBy(this.shares, residuals, 0);
  }
}

class LearnedLoadings implements Explainer {
  readonly #factors: number;
  readonly #loadings: Float64Array;
  /** `[K, K]` posterior covariance over the variance of an observation. */
  readonly #covariance: Float64Array;
  readonly #gain: Float64Array;
  readonly #sums: Float64Array;
  /** The last minutes, a ring: factor returns `[5, K]` and own returns `[5]`. */
  readonly #recent: Float64Array;
  readonly #returns = new Float64Array(LEARNING_MINUTES);
  #minutes = 0;
  readonly usualVolume: Explainer['usualVolume'];

  constructor(factors: number, usualVolume: Explainer['usualVolume']) {
    this.usualVolume = usualVolume;
    this.#factors = factors;
    this.#loadings = new Float64Array(factors);
    this.#covariance = new Float64Array(factors * factors);
    for (let k = 0; k < factors; k++) this.#covariance[k * factors + k] = 1 / PRIOR_MINUTES;
    this.#gain = new Float64Array(factors);
    this.#sums = new Float64Array(factors);
    this.#recent = new Float64Array(LEARNING_MINUTES * factors);
  }

  peers(): number {
    return 0;
  }

  next({ factors }: MarketMinute, logReturn: number): number {
    const K = this.#factors;
    let explained = 0;
    for (let k = 0; k < K; k++) explained += this.#loadings[k] * factors[k];
    const slot = this.#minutes % LEARNING_MINUTES;
    for (let k = 0; k < K; k++) this.#recent[slot * K + k] = factors[k];
    this.#returns[slot] = logReturn;
    if (++this.#minutes > LEARNING_MINUTES) this.#learn();
    return explained;
  }

  #learn(): void {
    const K = this.#factors;
    const P = this.#covariance;
    const gain = this.#gain;
    const x = this.#sums.fill(0);
    let error = 0;
    for (let i = 0; i < LEARNING_MINUTES; i++) {
      for (let k = 0; k < K; k++) x[k] += this.#recent[i * K + k];
      error += this.#returns[i];
    }
    let power = LEARNING_MINUTES;
    for (let k = 0; k < K; k++) {
      let sum = 0;
      for (let l = 0; l < K; l++) sum += P[k * K + l] * x[l];
      gain[k] = sum;
      power += sum * x[k];
      error -= this.#loadings[k] * x[k];
    }
    for (let k = 0; k < K; k++) {
      const step = gain[k] / power;
      this.#loadings[k] += step * error;
      for (let l = 0; l < K; l++) P[k * K + l] -= step * gain[l];
    }
  }
}

/** Fills the market columns of the row at `at`, the next one of the explainer's run, `place` minutes after the open. */
export function fillMarketRow(
  matrix: Float32Array,
  at: number,
  columns: MarketColumns,
  explainer: Explainer,
  market: MarketMinute,
  logReturn: number,
  place: number,
): void {
  matrix[at + columns.explained] = returnPartOf(explainer.next(market, logReturn));
  matrix[at + columns.peers] = returnPartOf(explainer.peers(market));
  matrix[at + columns.turbulence] = Math.sqrt(market.turbulence);
  matrix[at + columns.strain] = market.strain;
  matrix[at + columns.leader] = market.leader;
  if (explainer.usualVolume === undefined) return;
  const volume = matrix[at + columns.volume];
  // A quiet minute surprises nobody.
  matrix[at + columns.surprise] = volume === 0 ? 0 : volume - explainer.usualVolume(place);
}

/** Fills the market's columns of runs, some in a block, and the flows of each while its rows are at hand. */
export interface FillStep {
  readonly kind: 'market';
  readonly blocks: number;
  readonly columns: MarketColumns;
  readonly flows: FlowColumns | undefined;
  /** Place of a row's one-minute log return. */
  readonly logReturn: number;
  /** Numbers of a row. */
  readonly width: number;
  readonly scaler: FittedScaler;
  readonly windows: Pick<WindowSet, 'symbols' | 'matrix' | 'flows' | 'runs'>;
  readonly record: MarketRecord;
}

const BLOCKS = 64;

/**
 * How the columns that a scaler is needed for are filled, in place: the market's, in two steps, the second one after the
 * first, and with them the flows'. Nothing to do for a recipe without them.
 * @param bars those that the windows were built from: the market is made of the references among them
 */
export function* fillingMarket(
  windows: WindowSet,
  recipe: Pick<Recipe, 'market' | 'flows' | 'quiet' | 'columns' | 'oneMinuteReturns'>,
  scaler: FittedScaler,
  bars: MarketBars,
): Generator<RecordStep | FillStep | FlowStep, void, void> {
  const { symbols, matrix, flows, runs } = windows;
  const { market: columns, quiet, columns: width, oneMinuteReturns } = recipe;
  const model = columns && marketOf(scaler);
  if (columns !== undefined && model !== undefined && runs !== undefined) {
    const record = roomForMarket(model, bars);
    const longestQuietRun = quiet.longestRun;
    yield { kind: 'record', blocks: record.opens.length, scaler, bars, longestQuietRun, record };
    const blocks = Math.min(BLOCKS, runs.firstRow.length);
    const rows = { symbols, matrix, flows, runs };
    const logReturn = oneMinuteReturns.feature;
    yield { kind: 'market', blocks, columns, flows: recipe.flows, logReturn, width, scaler, windows: rows, record };
  } else yield* fillingFlows(windows, recipe, scaler);
}

export function fillWork(step: FillStep): (block: number) => void {
  const { columns, logReturn, width, scaler, windows, record, blocks } = step;
  const model = marketOf(scaler)!;
  const market = new RecordedMarket(record, model);
  const { matrix, symbols } = windows;
  const { symbol, firstRow, firstMinute } = windows.runs!;
  const flows = flowRowsOf(step, scaler);
  const runs = firstRow.length;
  return (block) => {
    const first = Math.floor((block * runs) / blocks);
    const own = Int32Array.from({ length: Math.floor(((block + 1) * runs) / blocks) - first }, (_, i) => first + i);
    // Session by session: what is read of the market stays in the cache.
    own.sort((a, b) => firstMinute[a] - firstMinute[b] || a - b);
    for (const run of own) {
      const explainer = explainerOf(model, symbols[symbol[run]]);
      const begin = firstRow[run] * width;
      const end = run + 1 < runs ? firstRow[run + 1] * width : matrix.length;
      const firstPlace = market.placeOf(firstMinute[run]);
      if (explainer instanceof FixedLoadings)
        fillFixedRun(matrix, begin, end, width, columns, explainer, record, firstPlace);
      else
        for (let at = begin, place = firstPlace; at < end; at += width, place++) {
          const minute = place % SESSION_MINUTES;
          fillMarketRow(matrix, at, columns, explainer, market.at(place), matrix[at + logReturn], minute);
        }
      flows?.run(matrix, width, windows.flows, firstRow[run], end / width);
    }
  };
}

/** {@link fillMarketRow} for all rows of a run whose symbol has fitted loadings, straight from the record. */
function fillFixedRun(
  matrix: Float32Array,
  begin: number,
  end: number,
  width: number,
  { explained, peers, turbulence, strain, leader, surprise, volume }: MarketColumns,
  { loadings, shares, usualVolume }: FixedLoadings,
  record: MarketRecord,
  firstPlace: number,
): void {
  const { factors, residuals } = record;
  const K = loadings.length;
  const references = residuals.length / record.leader.length;
  const firstMinute = firstPlace % SESSION_MINUTES;
  // Where the residuals of each peer's first minute are.
  const session = (firstPlace - firstMinute) * references;
  const ofPeers = Int32Array.from({ length: shares.length / 2 }, (_, p) => session + shares[2 * p] * SESSION_MINUTES);
  let minute = firstMinute;
  for (let at = begin | 0, place = firstPlace | 0; at < end; at += width, place++, minute++) {
    matrix[at + explained] = returnPartOf(explainedBy(loadings, factors, place * K));
    let added = 0;
    for (let p = 0; p < ofPeers.length; p++) added += shares[2 * p + 1] * residuals[ofPeers[p] + minute];
    matrix[at + peers] = returnPartOf(added);
    matrix[at + turbulence] = Math.sqrt(record.turbulence[place]);
    matrix[at + strain] = record.strain[place];
    matrix[at + leader] = record.leader[place];
    if (usualVolume === undefined) continue;
    const traded = matrix[at + volume];
    matrix[at + surprise] = traded === 0 ? 0 : traded - usualVolume(minute);
  }
}

/** Does it in place. */
export function fillMarket(windows: WindowSet, recipe: Recipe, scaler: FittedScaler, bars: MarketBars): void {
  inPlace(fillingMarket(windows, recipe, scaler, bars), marketFillWork);
}

export function marketFillWork(step: RecordStep | FillStep | FlowStep): (block: number) => void {
  switch (step.kind) {
    case 'record':
      return recordWork(step);
    case 'market':
      return fillWork(step);
    case 'flows':
      return flowsWork(step);
  }
}
