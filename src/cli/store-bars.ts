/** Reads the bars that a command is about, or says what is missing. */

import { totalmem } from 'node:os';
import type { MarketBars } from '../bars/index.ts';
import { BarcastError } from '../base/index.ts';
import { type FittedScaler, type Recipe, referencesOf } from '../features/index.ts';
import { type BarReader, openReader } from '../store/index.ts';
import { bytesInMemory, type StorePieces } from '../train/index.ts';
import { type MinuteRange, type RangeOptions, rangeOf, type SymbolOptions, symbolsOf } from './selection.ts';

/** A list this long is a universe and may name symbols that the store lacks; a shorter one means each of its names. */
const UNIVERSE = 21;

/** Bars of the options' symbols and range. @throws BARCAST_E_STORE_EMPTY, BARCAST_E_SYMBOL, BARCAST_E_DATE */
export function readBars(data: string, options: RangeOptions & SymbolOptions): Promise<MarketBars> {
  return readBarsWithin(data, symbolsOf(options), rangeOf(options));
}

/** The same with symbols and range at hand. */
export async function readBarsWithin(
  data: string,
  symbols: readonly string[] | undefined,
  range: MinuteRange,
): Promise<MarketBars> {
  const reader = await openReader(data);
  try {
    const bars = await reader.read({ symbols: checkSymbols(data, await reader.symbols(), symbols), ...range });
    if (bars.minute.length > 0) return bars;
    throw new BarcastError(
      'BARCAST_E_STORE_EMPTY',
      `the store in ${data} holds no bars in that range`,
      "'barcast doctor' tells which days it has",
    );
  } finally {
    reader.close();
  }
}

/** Bars that a model's forecasts of some symbols rest on, and those symbols. */
export interface ForecastBars {
  readonly bars: MarketBars;
  /** The symbols asked for; `bars` may hold others. */
  readonly symbols: readonly string[];
}

/**
 * The same for a model's forecasts: with the bars of its references, so that a forecast is the same whichever other
 * symbols are asked for.
 * @throws BARCAST_E_STORE_EMPTY, BARCAST_E_SYMBOL
 */
export async function readBarsToForecast(
  data: string,
  scaler: FittedScaler,
  asked: readonly string[] | undefined,
  range: MinuteRange,
): Promise<ForecastBars> {
  const reader = await openReader(data);
  let symbols: SymbolsToForecast;
  try {
    symbols = symbolsToForecast(data, await reader.symbols(), scaler, asked);
  } finally {
    reader.close();
  }
  const wanted = new Set(symbols.symbols);
  const bars = await readBarsWithin(data, symbols.read, range);
  const some = bars.symbols.some((symbol, s) => wanted.has(symbol) && bars.offsets[s + 1] > bars.offsets[s]);
  if (some) return { bars, symbols: symbols.symbols };
  // Only references have bars in the range: what would have been said without them.
  return { bars: await readBarsWithin(data, symbols.symbols, range), symbols: symbols.symbols };
}

/** Symbols to forecast, and those whose bars are read for it. */
export interface SymbolsToForecast {
  readonly symbols: readonly string[];
  readonly read: readonly string[];
}

/** @throws BARCAST_E_SYMBOL */
export function symbolsToForecast(
  data: string,
  stored: readonly string[],
  scaler: FittedScaler,
  asked: readonly string[] | undefined,
): SymbolsToForecast {
  const symbols = checkSymbols(data, stored, asked) ?? stored;
  const known = new Set(stored);
  const read = [...new Set([...symbols, ...referencesOf(scaler).filter((symbol) => known.has(symbol))])];
  return { symbols, read };
}

/** Of the machine's memory: a training that would take more goes in pieces. */
const SHARE_OF_MEMORY = 0.4;

/** What to train on: bars in memory, or a reader of pieces where they would take too much of it. */
export type TrainingBars =
  | { readonly bars: MarketBars }
  | { readonly pieces: StorePieces & { readonly reader: BarReader } };

/**
 * The bars of the options' symbols and range, to train on. A reader of pieces is the caller's to close.
 * @param inPieces takes pieces however few bars there are
 * @throws BARCAST_E_STORE_EMPTY, BARCAST_E_SYMBOL, BARCAST_E_DATE
 */
export async function trainingBars(
  data: string,
  options: RangeOptions & SymbolOptions,
  recipe: Recipe,
  inPieces: boolean,
): Promise<TrainingBars> {
  const range = rangeOf(options);
  const reader = await openReader(data);
  let keep = false;
  try {
    const symbols = checkSymbols(data, await reader.symbols(), symbolsOf(options));
    const rows = (await reader.rowsByDay({ symbols, ...range })).reduce((sum, day) => sum + day.rows, 0);
    keep = rows > 0 && (inPieces || bytesInMemory(recipe, rows) > SHARE_OF_MEMORY * totalmem());
    if (keep) return { pieces: { reader, symbols, ...range } };
  } finally {
    if (!keep) reader.close();
  }
  return { bars: await readBars(data, options) };
}

/** Bars of those symbols that the store has, or undefined when it has none in the range. */
export async function readBarsIfAny(
  data: string,
  symbols: readonly string[],
  range: MinuteRange,
): Promise<MarketBars | undefined> {
  const reader = await openReader(data);
  try {
    const known = new Set(await reader.symbols());
    const bars = await reader.read({ symbols: symbols.filter((symbol) => known.has(symbol)), ...range });
    return bars.minute.length > 0 ? bars : undefined;
  } finally {
    reader.close();
  }
}

/** The symbols asked for that the store has; undefined for all of them. @throws BARCAST_E_SYMBOL */
export function checkSymbols(
  data: string,
  stored: readonly string[],
  asked: readonly string[] | undefined,
): readonly string[] | undefined {
  if (!asked) return undefined;
  const known = new Set(stored);
  const unknown = asked.filter((symbol) => !known.has(symbol));
  if (unknown.length === asked.length || (unknown.length > 0 && asked.length < UNIVERSE)) {
    const names = unknown.slice(0, 5).join(', ') + (unknown.length > 5 ? ', …' : '');
    throw new BarcastError(
      'BARCAST_E_SYMBOL',
      `the store in ${data} has no bars of ${names}`,
      "'barcast doctor' lists its symbols; 'barcast ingest' brings others in",
    );
  }
  return asked.filter((symbol) => known.has(symbol));
}
