/**
 * Where bars come from. A source hands over what it was given, raw: judging rows (duplicates, nulls, off-minute and
 * partial bars) is the store's one code path, so that every source is judged alike.
 */

import type { Bar } from '../bars/index.ts';
import type { Clock, EpochMinute } from '../base/index.ts';
import type { RawBars } from '../store/index.ts';

/** Raw rows are the store's own input: what a source hands over goes there as it is. */
export type { RawBars };

/** Minutes from the first up to the second, itself not included. */
export interface Span {
  readonly from: EpochMinute;
  readonly to: EpochMinute;
}

/** Past rows of one symbol. */
export interface HistoryRows extends RawBars {
  /** The minutes that these rows answer in full. A source that does not tell has answered when it ends. */
  readonly covers?: Span;
  /** Nothing comes before the first row in the source: its volume, where it is not known, will not be. */
  readonly firstVolumeLost?: boolean;
  /** They answer what was asked for once more, see {@link HistoryRequest.secondLook}. */
  readonly again?: boolean;
}

export interface HistoryRequest {
  readonly symbols: readonly string[];
  /** First minute wanted. */
  readonly from: EpochMinute;
  /** First minute not wanted. */
  readonly to: EpochMinute;
  /** By symbol: what is wanted of that, in order; all of it when left out. A source may hand over more. */
  readonly spans?: ReadonlyMap<string, readonly Span[]>;
  /**
   * Asked of every answer before it is handed over: what of it to ask for once more after everything else, since it may
   * be incomplete. A source may do without.
   */
  readonly secondLook?: (rows: HistoryRows) => readonly Span[];
  readonly signal?: AbortSignal;
}

/** What a history source tells besides bars. */
export interface HistoryReport {
  /** Symbols the source does not know. */
  readonly unknown: readonly string[];
  /** Symbols that could not be fetched, with the reason. */
  readonly failed: readonly { readonly symbol: string; readonly reason: string }[];
  /** What else a user should know, one line each: a part of the range that the source no longer keeps. */
  readonly notes?: readonly string[];
  /** The first minute that the source still has, if it does not keep everything. */
  readonly keptFrom?: EpochMinute;
}

/** Past bars on request. */
export interface HistorySource {
  readonly name: string;
  readonly clock: Clock;
  /** Whether all of its rows tell what they cover. */
  readonly tellsCover?: boolean;
  /** How fast it goes, or why it waits, in a few words. */
  pace?(): string;
  /** Yields raw bars as they arrive and returns the report. @throws BARCAST_E_NETWORK, BARCAST_E_RATE_LIMITED, BARCAST_E_SOURCE_FORMAT */
  history(request: HistoryRequest): AsyncGenerator<HistoryRows, HistoryReport>;
}

/** Bars as they complete. */
export interface LiveSource {
  readonly name: string;
  readonly clock: Clock;
  /** Yields what arrived together: complete, accepted bars, each (symbol, minute) once. Ends on abort or at the source's end. */
  live(symbols: readonly string[], signal: AbortSignal): AsyncGenerator<Bar[]>;
}
