/** What an ingest of past bars comes to: its answer, what is still missing and why, and when that is a failure. */
import { BarcastError } from '../base/index.ts';
import type { IngestCounts } from '../store/index.ts';
import type { IngestAnswer } from './ingest.ts';
import type { HistoryReport } from './source.ts';
import type { Wanted } from './wanted.ts';

/** Sessions of symbols that were asked for and not answered, by the reason. */
export interface StillMissing {
  readonly reason: string;
  readonly symbols: readonly string[];
  /** (symbol, session) pairs. */
  readonly days: number;
}

export interface HistoryAnswer extends IngestAnswer {
  /** (symbol, session) pairs that were asked for, and those the store held in full. */
  readonly daysAsked: number;
  readonly daysHeld: number;
  readonly unknown: readonly string[];
  /** What the source says of the whole request, as that part of it lies beyond what it keeps. */
  readonly notes: readonly string[];
  readonly failed: readonly { readonly symbol: string; readonly reason: string }[];
  readonly stillMissing: readonly StillMissing[];
  /** Requests for what may have been missing by mistake, and the bars that they brought. */
  readonly askedAgain: number;
  readonly filledAgain: number;
}

export const NO_COUNTS: IngestCounts = {
  symbols: 0,
  rowsRead: 0,
  rowsStored: 0,
  alreadyStored: 0,
  revisions: 0,
  duplicates: 0,
  conflicts: 0,
  nullBars: 0,
  zeroVolumeBars: 0,
  partialBars: 0,
  misalignedBars: 0,
  closingPrints: 0,
  outOfSessionBars: 0,
  invalidPriceBars: 0,
};

/** The counts of several commits together. */
export function addCounts(a: IngestCounts, b: IngestCounts): IngestCounts {
  const names = Object.keys(NO_COUNTS) as (keyof IngestCounts)[];
  return Object.fromEntries(names.map((name) => [name, a[name] + b[name]])) as unknown as IngestCounts;
}

/** Groups the sessions without an answer by the reason. */
export function stillMissing(name: string, wanted: Wanted, report: HistoryReport): StillMissing[] {
  const failed = new Map(report.failed.map(({ symbol, reason }) => [symbol, reason]));
  const unknown = new Set(report.unknown);
  const byReason = new Map<string, { symbols: string[]; days: number }>();
  for (const [symbol, sessions] of wanted.missing()) {
    for (const { close } of sessions) {
      let reason = failed.get(symbol) ?? 'not answered';
      if (unknown.has(symbol)) reason = `not known to ${name}`;
      else if (report.keptFrom !== undefined && close <= report.keptFrom) reason = `older than ${name} keeps`;
      const group = byReason.get(reason) ?? { symbols: [], days: 0 };
      byReason.set(reason, group);
      group.days++;
      if (group.symbols.at(-1) !== symbol) group.symbols.push(symbol);
    }
  }
  return [...byReason].map(([reason, group]) => ({ reason, ...group }));
}

/** An error that also says what it left undone, once some of it is stored. */
export function withUndone(error: unknown, asked: number, stored: number): unknown {
  if (!(error instanceof BarcastError) || stored === 0) return error;
  const missing = `${count(asked - stored)} of ${count(asked)} symbol days are still missing`;
  return new BarcastError(error.code, `${error.message}; ${missing}`, error.remedy, { cause: error });
}

/** @throws BARCAST_E_NETWORK when no symbol could be fetched, BARCAST_E_SYMBOL when none is known */
export function refuseTotalFailure(name: string, wanted: Wanted, rowsRead: number, report: HistoryReport): void {
  const { unknown, failed } = report;
  const unanswered = unknown.length + failed.length;
  if (rowsRead > 0 || wanted.held > 0) return;
  if (unanswered === 0 || unanswered < wanted.symbols.length) return;
  const [failure] = failed;
  if (failure !== undefined) {
    throw new BarcastError(
      'BARCAST_E_NETWORK',
      `${name} answered for none of ${unanswered} symbols (${failure.symbol}: ${failure.reason})`,
      'try again later',
    );
  }
  const shown = unknown.slice(0, 5).join(', ');
  throw new BarcastError('BARCAST_E_SYMBOL', `${name} knows none of the symbols (${shown})`, 'check their spelling');
}

const count = (value: number) => value.toLocaleString('en-US');
