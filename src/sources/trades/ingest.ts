/** Trades into a store: built into bars, which are judged as those of every other source. */
import type { Readable } from 'node:stream';
import { BarcastError, type EpochMs, type Progress, systemClock } from '../../base/index.ts';
import {
  type BarStore,
  type IngestCounts,
  type IngestTransaction,
  openStore,
  type RawBars,
} from '../../store/index.ts';
import type { IngestAnswer } from '../ingest.ts';
import type { TradeBars } from './bar-columns.ts';
import { SymbolTable } from './batch.ts';
import { TradeBuilder, type TradeCounts } from './builder.ts';
import { tradesOf } from './files.ts';

/** What became of the trades, beside what became of the bars. */
export interface TradeIngestAnswer extends IngestAnswer {
  readonly trades: Readonly<TradeCounts>;
}

/** Closed bars are staged when as many have gathered. */
const BARS_A_STEP = 100_000;
/** A stream is committed as often as this: what a kill can cost. */
const COMMIT_EVERY_MS = 60_000;
const DEFAULT_LATENESS_MS = 60_000;

/**
 * Builds bars of the trades in files, in the order given, and stores them: files as one commit, standard input (`-`) as
 * one a minute. The same trades again change nothing.
 * @param latenessMs see {@link TradeBuilder}; default a minute
 * @throws BARCAST_E_FILE_MISSING, BARCAST_E_FILE_FORMAT, BARCAST_E_STORE_LOCKED, BARCAST_E_DISK_FULL,
 *   BARCAST_E_INTERRUPTED on abort: what was committed is kept
 */
export async function ingestTrades(options: {
  readonly files: readonly string[];
  readonly data: string;
  readonly progress: Progress;
  readonly latenessMs?: number;
  readonly askedAt?: EpochMs;
  readonly standardInput?: Readable;
  readonly signal?: AbortSignal;
}): Promise<TradeIngestAnswer> {
  const started = performance.now();
  const { files, progress, signal } = options;
  if (files.length === 0)
    throw new BarcastError('BARCAST_E_USAGE', 'no trades were named', 'name files of trades, or - for standard input');
  const symbols = new SymbolTable();
  const builder = new TradeBuilder({ latenessMs: options.latenessMs ?? DEFAULT_LATENESS_MS, corrections: true });
  const store = await openStore(options.data);
  try {
    const writer = new Writer(store, symbols, options.askedAt);
    let committedAt = performance.now();
    for (const [done, file] of files.entries()) {
      for await (const batch of tradesOf(file, symbols, options.standardInput)) {
        signal?.throwIfAborted();
        builder.push(batch);
        progress.update(
          'reading trades',
          done,
          files.length,
          `inputs, ${builder.counts.trades.toLocaleString('en-US')} trades`,
        );
        const due = file === '-' && performance.now() - committedAt > COMMIT_EVERY_MS;
        if (builder.closedBars >= BARS_A_STEP || due) await writer.stage(builder.drain());
        if (due) {
          await writer.commit();
          committedAt = performance.now();
        }
      }
    }
    builder.finish();
    await writer.stage(builder.drain());
    progress.say('judging and storing bars');
    await writer.commit();
    const seconds = (performance.now() - started) / 1000;
    return { source: 'trades', ...writer.counts, symbols: symbols.names.length, seconds, trades: builder.counts };
  } catch (error) {
    if (!signal?.aborted) throw error;
    throw new BarcastError('BARCAST_E_INTERRUPTED', 'the ingest was stopped', 'run the same command again', {
      cause: error,
    });
  } finally {
    progress.finish();
    store.close();
  }
}

/** Stages bars and commits them. */
class Writer {
  #counts: IngestCounts | undefined;
  readonly #store: BarStore;
  readonly #symbols: SymbolTable;
  readonly #askedAt: EpochMs | undefined;
  #transaction: IngestTransaction | undefined;

  constructor(store: BarStore, symbols: SymbolTable, askedAt: EpochMs | undefined) {
    this.#store = store;
    this.#symbols = symbols;
    this.#askedAt = askedAt;
  }

  async stage(bars: TradeBars): Promise<void> {
    this.#transaction ??= await this.#store.begin();
    for (const raw of bySymbol(bars, this.#symbols, this.#askedAt ?? systemClock.now()))
      await this.#transaction.addBars(raw);
  }

  async commit(): Promise<void> {
    const transaction = this.#transaction;
    this.#transaction = undefined;
    if (transaction !== undefined) this.#counts = sumOf(this.#counts, await transaction.commit());
  }

  /** After a commit. */
  get counts(): IngestCounts {
    return this.#counts!;
  }
}

function sumOf(before: IngestCounts | undefined, counts: IngestCounts): IngestCounts {
  if (before === undefined) return counts;
  const names = Object.keys(counts) as (keyof IngestCounts)[];
  return Object.fromEntries(names.map((name) => [name, before[name] + counts[name]])) as unknown as IngestCounts;
}

function* bySymbol(bars: TradeBars, symbols: SymbolTable, askedAt: EpochMs): Generator<RawBars> {
  const rowsOf = Map.groupBy(bars.symbol.subarray(0, bars.count).keys(), (row) => bars.symbol[row]);
  for (const [symbol, rows] of rowsOf) {
    const column = (values: Float64Array | Int32Array) => Float64Array.from(rows, (row) => values[row]);
    const timeMs = column(bars.minute).map((minute) => minute * 60_000);
    const [open, high, low, close, volume] = [bars.open, bars.high, bars.low, bars.close, bars.volume].map(column);
    const [tradeCount, vwap] = [bars.tradeCount, bars.vwap].map(column);
    yield { symbol: symbols.names[symbol], askedAt, timeMs, open, high, low, close, volume, tradeCount, vwap };
  }
}
