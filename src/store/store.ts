/**
 * What the store offers: one owner that brings bars in, any number of readers beside it, and a ledger of every flaw.
 *
 * Bars are kept raw, as their source gave them, (symbol, minute) once. A row that is not a bar (off the minute, or not
 * ended when it was asked for) and every value that another row replaced is in the ledger.
 */

import type { FlawKind, MarketBars } from '../bars/index.ts';
import type { Allocate, DayString, EpochMinute, EpochMs } from '../base/index.ts';

/** Raw rows of one symbol in the order its source gave them. NaN for null. */
export interface RawBars {
  readonly symbol: string;
  /** Milliseconds since the epoch as the source stamped them, off-minute ones included. */
  readonly timeMs: Float64Array;
  readonly open: Float64Array;
  readonly high: Float64Array;
  readonly low: Float64Array;
  readonly close: Float64Array;
  readonly volume: Float64Array;
  /** Of bars that were built of trades: how many count in the volume, and the volume-weighted average price. */
  readonly tradeCount?: Float64Array;
  readonly vwap?: Float64Array;
  /** What the source's clock said when it answered: a bar that had not ended by then is partial. */
  readonly askedAt: EpochMs;
  /** From a live source: passed over where a bar with a price is stored already, which may be the settled one. */
  readonly provisional?: boolean;
  /** Dividends and splits that came with the rows. */
  readonly events?: readonly CorporateEvent[];
}

export interface CorporateEvent {
  readonly timeMs: EpochMs;
  readonly kind: 'dividend' | 'split';
  /** Money a share, or new shares for an old one. */
  readonly value: number;
}

/**
 * What one commit did. `rowsRead` = `rowsStored` + `alreadyStored` + `duplicates` + `partialBars` + `misalignedBars`.
 * The flaws of bars (null, zero volume, out of session, invalid price) are counted over every row that is a bar,
 * repeats included.
 */
export interface IngestCounts {
  /** Symbols that rows were read of. */
  readonly symbols: number;
  readonly rowsRead: number;
  /** New bars and corrected ones. */
  readonly rowsStored: number;
  /** Bars that the store held with the same values. */
  readonly alreadyStored: number;
  /** Stored bars that were corrected. */
  readonly revisions: number;
  /** Rows whose (symbol, minute) stood earlier in the same input, conflicts included. */
  readonly duplicates: number;
  /** Those of them whose values differ from the first row of their minute. */
  readonly conflicts: number;
  readonly nullBars: number;
  readonly zeroVolumeBars: number;
  readonly partialBars: number;
  readonly misalignedBars: number;
  /** Bars stamped at the very minute of the close. */
  readonly closingPrints: number;
  readonly outOfSessionBars: number;
  readonly invalidPriceBars: number;
}

/** A row that was refused, or lost to another one, with the values it had. NaN for null. */
export interface LedgerEntry {
  readonly kind: FlawKind;
  readonly symbol: string;
  readonly timeMs: EpochMs;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
  /** 1 for the first of several equal entries, 2 for the second, … */
  readonly occurrence: number;
}

/** What is known of the trades in bars, in columns, sorted by symbol, then minute; bars of which nothing is known are left out. */
export interface MarketTrades {
  /** Sorted. */
  readonly symbols: readonly string[];
  /** `[symbols + 1]`: symbol s has the rows from `offsets[s]` to `offsets[s + 1]`. */
  readonly offsets: Int32Array;
  /** `[rows]` {@link EpochMinute} of each bar's open. */
  readonly minute: Int32Array;
  /** Trades that count in the volume. */
  readonly tradeCount: Float64Array;
  /** Volume-weighted average price; NaN where no trade may set one. */
  readonly vwap: Float64Array;
}

export interface StoreSummary {
  readonly symbols: number;
  readonly bars: number;
  /** Undefined in an empty store. */
  readonly firstMinute: EpochMinute | undefined;
  readonly lastMinute: EpochMinute | undefined;
  readonly ledgerEntries: number;
  /** Dividends and splits. */
  readonly events: number;
  readonly segments: number;
  readonly bytes: number;
  /** Commits so far. */
  readonly generation: number;
}

export interface ReadQuery {
  /** Canonical symbols; all when left out. */
  readonly symbols?: readonly string[];
  /** First minute wanted. */
  readonly from?: EpochMinute;
  /** First minute not wanted. */
  readonly to?: EpochMinute;
}

/**
 * A view of the store as of one commit. It moves on {@link refresh}, and by itself when files of its commit are gone
 * because the owner has gone on. Several reads may be under way at once.
 */
export interface BarReader {
  readonly directory: string;
  /**
   * Bars in columns. Symbols without a bar in the range are left out.
   * @param allocate memory for the columns; fresh shared memory by default
   * @throws BARCAST_E_STORE_CORRUPT
   */
  read(query?: ReadQuery, allocate?: Allocate): Promise<MarketBars>;
  /** The number of trades and the VWAP of the bars that were built of trades. */
  trades(query?: ReadQuery): Promise<MarketTrades>;
  /** Sorted. */
  symbols(): Promise<string[]>;
  summary(): Promise<StoreSummary>;
  /** Rows by day (days since 1970 UTC), ascending. */
  rowsByDay(query?: ReadQuery): Promise<{ utcDay: number; rows: number }[]>;
  /** Names the bars of the present commit: the same for the same bars in the same segments. */
  fingerprint(): string;
  /** The whole ledger, sorted by symbol, time, kind and occurrence. */
  ledger(): Promise<LedgerEntry[]>;
  /** The days for which a source has already answered in full, by symbol. */
  answeredDays(source: string): Promise<Map<string, Set<DayString>>>;
  refresh(): Promise<void>;
  close(): void;
}

/** The one owner. Another owner is refused until this one is closed or its process has ended. */
export interface BarStore extends BarReader {
  /** One transaction at a time. */
  begin(): Promise<IngestTransaction>;
  /**
   * Merges the small segments that many small commits leave, in one commit of its own: the bars stay what they are.
   * @throws BARCAST_E_DISK_FULL and others; the store is then as it was
   */
  compact(): Promise<void>;
}

/** A bar file to be staged. */
export interface BarFile {
  readonly path: string;
  /** Canonical; used when the layout has no symbol column. */
  readonly symbol: string;
  /** Its place among the files of the input: of two rows for one minute the one in the later place wins. */
  readonly position: number;
}

/** Where the columns of a bar stand in files that share one header. Numbers are 0-based columns. */
export interface BarFileLayout {
  readonly format: 'csv' | 'parquet';
  /** Names in order. For CSV only their count matters. */
  readonly columns: readonly string[];
  readonly time: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
  readonly symbol?: number;
  readonly dividends?: number;
  readonly splits?: number;
  /** CSV: the character between columns, the lines before the first row, and whether the file is gzipped. */
  readonly separator?: ',' | ';' | '\t';
  readonly headerLines?: number;
  readonly gzip?: boolean;
  /** In a table of several symbols side by side a row without any value says only that another symbol traded. */
  readonly skipEmpty?: boolean;
}

/** One input and one commit: all of it, or nothing. */
export interface IngestTransaction {
  /** Rows as a source gave them. @throws BARCAST_E_SYMBOL */
  addBars(raw: RawBars): Promise<void>;
  /**
   * Files that share a layout.
   * @param askedAt a row whose minute had not ended by then is partial
   * @throws BARCAST_E_FILE_FORMAT naming the file, and the line where it is known
   */
  addFiles(files: readonly BarFile[], layout: BarFileLayout, askedAt: EpochMs): Promise<void>;
  /** Notes with the commit that the source has answered in full for these symbols on these days. */
  markAnswered(source: string, symbols: readonly string[], days: readonly DayString[]): void;
  /** @throws BARCAST_E_DISK_FULL and others; the store is then as it was and the transaction is over */
  commit(): Promise<IngestCounts>;
  /** Forgets all that was added. Harmless after a commit. */
  abort(): Promise<void>;
}
