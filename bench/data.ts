/**
 * How fast data goes: files into a store, rows out of it, rows to windows, trades to bars. Everything lies in a temporary
 * folder, and every answer is checked first.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MarketBars } from '../src/bars/index.ts';
import { Arena, isoOfMinute, type Progress, silentProgress } from '../src/base/index.ts';
import {
  buildWindowsOnThreads,
  chronologicalSplit,
  fillMarketOnThreads,
  fitOnThreads,
  RECIPE_NAMES,
  recipeOf,
  scaleOnThreads,
} from '../src/features/index.ts';
import { ingestFiles, SymbolTable, TradeBuilder } from '../src/sources/index.ts';
import { fillStore, openReader } from '../src/store/index.ts';
import { barsOfNdjson, batchOf, checkBars, checkTrades, checkWindows, ndjsonOf, randomTrades } from './data-check.ts';
import { generatedMarket, sessionsFrom } from './market.ts';
import { circumstances, type Timing, time } from './timing.ts';

export interface DataBenchOptions {
  readonly symbols: number;
  readonly sessions: number;
  /** Time to take for each figure. */
  readonly seconds: number;
  /** Bar files to bring in; generated ones when there are none. */
  readonly files: readonly string[];
  readonly progress: Progress;
}

/** Files of generated bars: symbols and sessions, 390,000 rows. */
const FILES = 100;
const FILE_SESSIONS = 10;
const TRADES = 1_000_000;
const NDJSON_TRADES = 300_000;

/** Every run takes long. */
const FEW = { warmUp: 1, least: 5 };
const REQUIRED = { requireTarget: true };

const rate = (items: number, { median }: Timing): number => Math.round((1000 * items) / median);

/**
 * `rowsPerSecond` is of files into a store, `windowsPerSecond` of rows in memory to windows, fresh memory included.
 * @throws BARCAST_E_INTERNAL when an answer is wrong
 */
export async function benchData({ symbols, sessions, seconds, files, progress }: DataBenchOptions) {
  const folder = mkdtempSync(join(tmpdir(), 'barcast-bench-'));
  try {
    const recipe = recipeOf('returns');
    progress.say('making a market, and checking');
    const days = sessionsFrom('2024-03-04', sessions);
    const [market] = generatedMarket({ symbols, sessions: days, sessionsAPart: sessions });
    const data = join(folder, 'data');
    await fillStore(data, [market]);
    const reader = await openReader(data);
    checkBars(await reader.read(), market);
    await checkWindows(market, recipe, [0, Math.floor(symbols / 2), symbols - 1]);
    checkTrades(randomTrades(20_000, 50));

    progress.say('files into a store');
    const ingest = await benchIngest(folder, files, seconds, progress);
    progress.say('rows out of a store');
    const rows = market.minute.length;
    const read = await time(() => reader.read(), seconds, FEW);
    progress.say('rows to windows');
    const built = await benchWindows(market, seconds);
    const windows = await buildWindowsOnThreads(market, recipe, REQUIRED);
    const { training } = chronologicalSplit(windows, recipe.training.validationShare);
    progress.say('a fit of the recipe');
    const fit = await time(() => fitOnThreads(windows, training, recipe, market), seconds, FEW);
    const scaler = await fitOnThreads(windows, training, recipe, market);
    progress.say('a store to what is trained on');
    const readied = (fitted: boolean) => async () => {
      const bars = await reader.read();
      const unscaled = await buildWindowsOnThreads(bars, recipe, REQUIRED);
      const split = chronologicalSplit(unscaled, recipe.training.validationShare);
      // A fit fills the market's columns.
      if (fitted) await fillMarketOnThreads(unscaled, recipe, scaler, bars);
      const by = fitted ? scaler : await fitOnThreads(unscaled, split.training, recipe, bars);
      await scaleOnThreads(unscaled, recipe, by);
    };
    const ready = await time(readied(true), seconds, FEW);
    const fromNothing = await time(readied(false), seconds, FEW);
    reader.close();
    progress.say('trades to bars');
    const table = new SymbolTable();
    const batch = batchOf(randomTrades(TRADES), table);
    const build = (corrections: boolean) => async () => {
      const builder = new TradeBuilder({ corrections });
      builder.push(batch);
      builder.finish();
      builder.drain();
    };
    const trades = await time(build(false), seconds, FEW);
    const corrected = await time(build(true), seconds, FEW);
    const bytes = ndjsonOf(randomTrades(NDJSON_TRADES));
    const ndjson = await time(async () => barsOfNdjson(bytes), seconds, FEW);
    return {
      symbols,
      sessions,
      rowsPerSecond: ingest.rowsPerSecond,
      windowsPerSecond: built[0].windowsPerSecond,
      ingest,
      read: { rows, rowsPerSecond: rate(rows, read), timing: read },
      windows: built,
      ready: {
        rows,
        windows: windows.starts.length,
        /** Rows read, windows with their market, scales and targets, and the split, by a scaler fitted before. */
        seconds: ready.median / 1000,
        /** The same with the fit of market and line in it: what a training takes before its first step. */
        withFitSeconds: fromNothing.median / 1000,
        /** The fit by itself, the market's columns included. */
        fitSeconds: fit.median / 1000,
        timing: ready,
        withFitTiming: fromNothing,
        fitTiming: fit,
      },
      trades: {
        trades: TRADES,
        tradesPerSecond: rate(TRADES, trades),
        withCorrectionsPerSecond: rate(TRADES, corrected),
        timing: trades,
      },
      ndjson: {
        trades: NDJSON_TRADES,
        bytes: bytes.length,
        tradesPerSecond: rate(NDJSON_TRADES, ndjson),
        timing: ndjson,
      },
      ...circumstances(),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Each recipe's windows of rows in memory: into fresh memory, and into memory that was used before. */
async function benchWindows(market: MarketBars, seconds: number) {
  const figures = [];
  for (const name of RECIPE_NAMES) {
    const recipe = recipeOf(name);
    const arena = new Arena();
    let windows = 0;
    const fresh = async () => {
      windows = (await buildWindowsOnThreads(market, recipe, REQUIRED)).starts.length;
    };
    const again = async () => {
      arena.reset();
      await buildWindowsOnThreads(market, recipe, REQUIRED, { allocate: arena.allocate });
    };
    const timing = await time(fresh, seconds, FEW);
    const inUsedMemory = await time(again, seconds, FEW);
    figures.push({
      recipe: `${recipe.name} ${recipe.version}`,
      features: recipe.features.length,
      windows,
      windowsPerSecond: rate(windows, timing),
      inUsedMemoryPerSecond: rate(windows, inUsedMemory),
      timing,
    });
  }
  return figures;
}

async function benchIngest(folder: string, named: readonly string[], seconds: number, progress: Progress) {
  const files = named.length > 0 ? named : [writeCsvFiles(join(folder, 'csv'))];
  let run = 0;
  let rows = 0;
  const timing = await time(
    async () => {
      const data = join(folder, `ingest-${run++}`);
      const answer = await ingestFiles({ files, data, progress: silentProgress });
      rows = answer.rowsRead;
      rmSync(data, { recursive: true, force: true });
    },
    seconds,
    { warmUp: 1, least: 3 },
  );
  progress.finish();
  return { rows, rowsPerSecond: rate(rows, timing), generated: named.length === 0, timing };
}

/** One CSV file a symbol, as yfinance writes them. @returns their folder */
function writeCsvFiles(folder: string): string {
  const sessions = sessionsFrom('2023-03-06', FILE_SESSIONS);
  const [market] = generatedMarket({ symbols: FILES, sessions, sessionsAPart: FILE_SESSIONS, seed: 2 });
  mkdirSync(folder);
  for (const [s, symbol] of market.symbols.entries()) writeFileSync(join(folder, `${symbol}.csv`), csvOf(market, s));
  return folder;
}

function csvOf({ offsets, minute, open, high, low, close, volume }: MarketBars, s: number): string {
  const lines = ['Datetime,Open,High,Low,Close,Volume'];
  for (let row = offsets[s]; row < offsets[s + 1]; row++)
    lines.push([isoOfMinute(minute[row] as never), open[row], high[row], low[row], close[row], volume[row]].join());
  return `${lines.join('\n')}\n`;
}
