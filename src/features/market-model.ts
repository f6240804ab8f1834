/**
 * The market as a recipe sees it: K factors made of the one-minute returns of reference symbols, and what each symbol
 * has to do with them. A fund's price lags behind, and bounces around, what the rest of the market says it is worth.
 *
 *     F_k(t)  = sum over references j of weight[k, j] r_j(t)       r_j = 0 in a minute without a bar
 *     m_i(t)  = sum over k of loading[i, k] F_k(t)                 the return of symbol i that the market explains
 *     p_i(t)  = sum over peers j of i of share[i, j] (r_j(t) - m_j(t))   what its nearest peers add to that
 *
 * This is how factors are fitted; a minute's are estimated from the references that are there (`market-tape.ts`).
 * Weights are the leading eigenvectors of the references' correlations over a few minutes, over each one's deviation,
 * so that the lag between two quotes does not hide what they have in common. Loadings and shares are ridge regressions
 * (`market-loadings.ts`). Everything is fitted on the training part alone.
 */
import { type MarketBars, sessionAt } from '../bars/index.ts';
import type { EpochMinute } from '../base/index.ts';
import { inPlace } from './fit-steps.ts';
import { factorSeries, type MomentsStep, momentsStep, momentsWork, placesOf } from './market-factors.ts';
import {
  PEERS,
  type ReferencesStep,
  referencesStep,
  referencesWork,
  type SymbolsStep,
  symbolsStep,
  symbolsWork,
} from './market-loadings.ts';
import { residualDeviations } from './market-noise.ts';
import type { FittedScaler } from './recipe.ts';
import { isUsable } from './rows.ts';
import { type UsualVolume, usualVolumeOf } from './usual-volume.ts';

const MOST_REFERENCES = 200;
const MOST_FACTORS = 20;
/** References a factor. */
const REFERENCES_A_FACTOR = 8;
/** A market of fewer symbols has no factor. */
const LEAST_REFERENCES = 3;
const LEAST_MINUTES = 120;
/** The latest sessions of the training part that are fitted on. */
const MOST_SESSIONS = 20;

/** A fitted market, ready for use. */
export interface MarketModel {
  /** K */
  readonly factors: number;
  /** Sorted. */
  readonly references: readonly string[];
  readonly referenceIndex: ReadonlyMap<string, number>;
  /** Index of the reference in which the most money is traded: in a broad market an index fund. */
  readonly leader: number;
  /** `[references]` root mean square of each one's one-minute returns. */
  readonly deviations: Float32Array;
  /** `[references]` the same of what loadings times factors leave over of them. */
  readonly noises: Float32Array;
  /** Loadings `[K]` of a symbol of the training part; undefined for another one. */
  loadingsOf(symbol: string): Float32Array | undefined;
  /** Its peers as `[PEERS, 2]`: the reference's index and the share; undefined for another symbol. */
  peersOf(symbol: string): Float32Array | undefined;
  /** Undefined where the recipe fits none. */
  readonly usualVolume: UsualVolume | undefined;
}

/** What is kept of it: names as they are, float32 numbers in base64. */
export const encodeFloats = (values: Float32Array): string =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');

export function decodeFloats(text: string): Float32Array {
  const bytes = Buffer.from(text, 'base64');
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + (bytes.length & ~3)));
}

const decoded = new WeakMap<FittedScaler, MarketModel>();

/** The market that a scaler holds; undefined when it was fitted without one. */
export function marketOf(scaler: FittedScaler): MarketModel | undefined {
  const known = decoded.get(scaler);
  if (known) return known;
  const { references, leader, deviations, noises, symbols, loadings, peers } = scaler;
  if (!Array.isArray(references) || references.length === 0) return undefined;
  const names = references as readonly string[];
  const factors = decodeFloats(loadings as string).length / (symbols as readonly string[]).length;
  const index = new Map((symbols as readonly string[]).map((symbol, i) => [symbol, i]));
  const rowsOf = (text: string, width: number) => {
    const all = decodeFloats(text);
    return (symbol: string) => {
      const i = index.get(symbol);
      return i === undefined ? undefined : all.subarray(i * width, (i + 1) * width);
    };
  };
  const market: MarketModel = {
    factors,
    references: names,
    referenceIndex: new Map(names.map((symbol, i) => [symbol, i])),
    leader: names.indexOf(leader as string),
    deviations: decodeFloats(deviations as string),
    noises: decodeFloats(noises as string),
    loadingsOf: rowsOf(loadings as string, factors),
    peersOf: rowsOf(peers as string, 2 * PEERS),
    usualVolume: usualVolumeOf(scaler),
  };
  decoded.set(scaler, market);
  return market;
}

/** Fits a market on the bars with `minute < before`; `{}` when there are too few symbols or minutes. */
export function fitMarket(bars: MarketBars, before: number, longestQuietRun: number): FittedScaler {
  return inPlace(fittingMarket(bars, before, longestQuietRun), marketFitWork);
}

/** A step of {@link fittingMarket}. */
export type MarketFitStep = MomentsStep | ReferencesStep | SymbolsStep;

export function marketFitWork(step: MarketFitStep): (block: number) => void {
  switch (step.kind) {
    case 'moments':
      return momentsWork(step);
    case 'references':
      return referencesWork(step);
    case 'symbols':
      return symbolsWork(step);
  }
}

/** {@link fitMarket} step by step. */
export function* fittingMarket(
  bars: MarketBars,
  before: number,
  longestQuietRun: number,
): Generator<MarketFitStep, FittedScaler, void> {
  const opens = lastSessions(bars, before);
  if (opens.length === 0) return {};
  const { references, leader } = mostTraded(bars, opens[0], before);
  const n = references.length;
  if (n < LEAST_REFERENCES) return {};
  const span = { bars, opens, from: opens[0], to: before, longestQuietRun };
  const moments = momentsStep(span, references);
  yield moments;
  const T = placesOf(span);
  const deviations = Float32Array.from(references, (_, j) => {
    let squares = 0;
    for (let t = j * T; t < (j + 1) * T; t++) squares += moments.returns[t] * moments.returns[t];
    return Math.sqrt(squares / T) || 1;
  });
  const factors = Math.max(1, Math.min(MOST_FACTORS, Math.floor(n / REFERENCES_A_FACTOR)));
  const series = factorSeries(moments, deviations, factors);
  const ofReferences = referencesStep(span, series, factors, references, moments.returns);
  yield ofReferences;
  const ofSymbols = symbolsStep(ofReferences);
  yield ofSymbols;
  const fitted = [...bars.symbols.keys()].filter((s) => ofSymbols.fitted[s] === 1);
  if (fitted.length === 0) return {};
  const rowsOf = (all: Float32Array, width: number) =>
    Float32Array.from(
      { length: fitted.length * width },
      (_, i) => all[fitted[Math.floor(i / width)] * width + (i % width)],
    );
  return {
    references: references.map((symbol) => bars.symbols[symbol]),
    leader: bars.symbols[leader],
    deviations: encodeFloats(deviations),
    noises: encodeFloats(residualDeviations(ofSymbols, moments.returns, series, deviations)),
    symbols: fitted.map((symbol) => bars.symbols[symbol]),
    loadings: encodeFloats(rowsOf(ofSymbols.loadings, factors)),
    peers: encodeFloats(rowsOf(ofSymbols.peers, 2 * PEERS)),
  };
}

/** Opens of the latest sessions that hold usable bars before a minute, in order. */
function lastSessions(
  { minute, open, high, low, close, volume, offsets, symbols }: MarketBars,
  before: number,
): number[] {
  const opens = new Set<number>();
  let minutes = 0;
  for (let s = 0; s < symbols.length; s++) {
    let sessionOpen = 0;
    let sessionClose = 0;
    let known = false; // that the session counts
    for (let bar = offsets[s]; bar < offsets[s + 1] && minute[bar] < before; bar++) {
      const now = minute[bar];
      if (now < sessionOpen || now >= sessionClose) {
        const session = sessionAt(now as EpochMinute);
        if (session === undefined) continue;
        sessionOpen = session.open;
        sessionClose = session.close;
        known = false;
      }
      if (!isUsable(open[bar], high[bar], low[bar], close[bar], volume[bar])) continue;
      minutes++;
      if (known) continue;
      opens.add(sessionOpen);
      known = true;
    }
  }
  if (minutes < LEAST_MINUTES) return [];
  return [...opens].sort((a, b) => a - b).slice(-MOST_SESSIONS);
}

/** The symbols that the most money was traded in, or that have the most bars where no volume is given: sorted, and the first. */
function mostTraded(bars: MarketBars, from: number, before: number): { references: number[]; leader: number } {
  const { minute, close, volume, offsets } = bars;
  const traded = bars.symbols.map((_, s) => {
    let money = 0;
    let count = 0;
    for (let bar = offsets[s]; bar < offsets[s + 1]; bar++) {
      if (minute[bar] < from || minute[bar] >= before) continue;
      const value = close[bar] * volume[bar];
      if (value > 0 && value < 1e15) money += value;
      if (close[bar] > 0) count++;
    }
    return { s, money, count };
  });
  const ranked = traded
    .filter(({ count }) => count > 1)
    .sort((a, b) => b.money - a.money || b.count - a.count || a.s - b.s)
    .slice(0, MOST_REFERENCES)
    .map(({ s }) => s);
  return { references: ranked.toSorted((a, b) => a - b), leader: ranked[0] };
}
