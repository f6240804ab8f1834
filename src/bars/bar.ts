/**
 * What a bar is: one symbol's trading in one minute of New York time, stamped at the minute's OPEN. A bar is known
 * only when its minute has ended. Prices are in the currency of the listing, volume in shares.
 *
 * NaN stands for a value the source left out (null). Nothing is ever filled in.
 */
import type { EpochMinute } from '../base/index.ts';

export interface Bar {
  readonly symbol: string;
  readonly minute: EpochMinute;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
  /** Where the source tells: trades that count in the volume, and the volume-weighted average price. */
  readonly tradeCount?: number;
  readonly vwap?: number;
}

/** Bars of many symbols in columns, sorted by symbol, then minute; (symbol, minute) is unique. */
export interface MarketBars {
  /** Sorted. */
  readonly symbols: readonly string[];
  /** `[symbols + 1]`: symbol s has the rows from `offsets[s]` to `offsets[s + 1]`. */
  readonly offsets: Int32Array;
  /** `[rows]` {@link EpochMinute} of each bar's open. */
  readonly minute: Int32Array;
  readonly open: Float64Array;
  readonly high: Float64Array;
  readonly low: Float64Array;
  readonly close: Float64Array;
  readonly volume: Float64Array;
}

/** Every kind of flaw that is counted; the ledger names each one by symbol and day. */
export const FLAW_KINDS = [
  /** A row for a (symbol, minute) that stood earlier in the same input with the same values; the later one is kept. */
  'duplicate',
  /** The same with other values: the later row wins and the earlier one's values stay in the ledger. */
  'conflict',
  /** A stored bar that a later ingest corrected; the old values stay in the ledger. */
  'revision',
  /** A bar without a closing price. */
  'nullBar',
  /** A bar with no volume, or with none given. */
  'zeroVolume',
  /** A bar whose minute had not ended when it was asked for; refused. */
  'partialBar',
  /** A bar whose time is not a whole minute; refused. */
  'misalignedBar',
  /** A bar stamped exactly at the session's close: the print of the closing auction; stored, and used in no window. */
  'closingPrint',
  /** Any other bar outside the regular session of the New York calendar; stored, and used in no window. */
  'outOfSession',
  /** A bar whose prices contradict each other (low above high, a price that is not positive); stored, used in no window. */
  'invalidPrice',
] as const;
export type FlawKind = (typeof FLAW_KINDS)[number];
