/** Bringing bars into a store: from files in one commit, or from a source of history piece by piece. */

import { dayOf, type Session, sessionsBetween } from '../bars/index.ts';
import {
  BarcastError,
  type DayString,
  type EpochMinute,
  type EpochMs,
  minuteToMs,
  type Progress,
  systemClock,
} from '../base/index.ts';
import { type BarStore, type IngestCounts, openStore } from '../store/index.ts';
import { findBarFiles, groupBarFiles, stageFileGroups } from './files.ts';
import type { HistoryReport, HistorySource } from './source.ts';

/** What `barcast ingest` answers. */
export interface IngestAnswer extends IngestCounts {
  readonly source: string;
  readonly seconds: number;
}

export interface HistoryAnswer extends IngestAnswer {
  /** (symbol, day) pairs that were asked for, and those the store held in full. */
  readonly daysAsked: number;
  readonly daysHeld: number;
  readonly unknown: readonly string[];
  /** What the source says of the whole request, as that part of it lies beyond what it keeps. */
  readonly notes: readonly string[];
  readonly failed: readonly { readonly symbol: string; readonly reason: string }[];
}

const NO_COUNTS: IngestCounts = {
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

/**
 * Ingests files and folders as one input and one commit: all of them, or nothing.
 * @throws BARCAST_E_FILE_MISSING, BARCAST_E_FILE_FORMAT, BARCAST_E_STORE_LOCKED, BARCAST_E_DISK_FULL
 */
export async function ingestFiles(options: {
  readonly files: readonly string[];
  readonly data: string;
  readonly progress: Progress;
  /** A row whose minute had not ended by then is partial; now, when left out. */
  readonly askedAt?: EpochMs;
}): Promise<IngestAnswer> {
  const started = performance.now();
  const { progress } = options;
  const groups = await groupBarFiles(findBarFiles(options.files), progress);
  const store = await openStore(options.data);
  try {
    const transaction = await store.begin();
    await stageFileGroups(transaction, groups, options.askedAt ?? systemClock.now(), progress);
    progress.say('judging and storing rows');
    const counts = await transaction.commit();
    return { source: 'files', ...counts, seconds: secondsSince(started) };
  } finally {
    progress.finish();
    store.close();
  }
}

/** Symbols asked for in one piece, at first and at most; later pieces are sized to take {@link PIECE_SECONDS}. */
const FIRST_PIECE = 16;
const LARGEST_PIECE = 256;
/** A piece is one commit: what a kill can cost. */
const PIECE_SECONDS = 5;

/** A run of sessions that all of these symbols lack. */
interface Missing {
  readonly symbols: string[];
  readonly sessions: readonly Session[];
}

/**
 * Asks a source for what the store lacks of the sessions between two minutes. Every piece (some symbols, a run of
 * sessions) is one commit together with the note that it was answered, so that a later call, after a kill too, asks
 * only for the rest. Sessions that had not ended are asked for again.
 *
 * Unknown and failed symbols are in the answer, unless nothing else is.
 * @param from first minute wanted
 * @param to first minute not wanted
 * @throws BARCAST_E_SYMBOL when the source knows none of the symbols, BARCAST_E_NETWORK when none could be fetched,
 *   BARCAST_E_INTERRUPTED on abort, and what the source throws; what came before is kept
 */
export async function ingestHistory(options: {
  readonly source: HistorySource;
  readonly symbols: readonly string[];
  readonly from: EpochMinute;
  readonly to: EpochMinute;
  readonly data: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}): Promise<HistoryAnswer> {
  const started = performance.now();
  const { source, from, to, progress } = options;
  const store = await openStore(options.data);
  try {
    const missing = await findMissing(store, options);
    const daysAsked = missing.reduce((sum, { symbols, sessions }) => sum + symbols.length * sessions.length, 0);
    const wanted = sessionsIn(from, to).length * new Set(options.symbols).size;
    const total: Tally = {
      counts: NO_COUNTS,
      seen: new Set(),
      unknown: new Set(),
      notes: new Set(),
      failed: new Map(),
      daysDone: 0,
    };
    let size = FIRST_PIECE;
    for (const { symbols, sessions } of missing) {
      for (let start = 0, end = 0; start < symbols.length; start = end) {
        end = Math.min(symbols.length, start + size);
        const pieceStarted = performance.now();
        progress.update(`asking ${source.name}`, total.daysDone, daysAsked, 'symbol days');
        await ingestPiece(store, { symbols: symbols.slice(start, end), sessions }, options, total);
        const pace = (end - start) / Math.max(secondsSince(pieceStarted), 0.01);
        size = Math.min(LARGEST_PIECE, Math.max(1, Math.round(pace * PIECE_SECONDS)), size * 2);
      }
    }
    progress.update(`asking ${source.name}`, daysAsked, daysAsked, 'symbol days');
    refuseTotalFailure(total, new Set(missing.flatMap(({ symbols }) => symbols)).size, source.name);
    return {
      source: source.name,
      ...total.counts,
      symbols: total.seen.size,
      seconds: secondsSince(started),
      daysAsked,
      daysHeld: wanted - daysAsked,
      unknown: [...total.unknown].sort(),
      notes: [...total.notes],
      failed: [...total.failed].map(([symbol, reason]) => ({ symbol, reason })),
    };
  } finally {
    progress.finish();
    store.close();
  }
}

interface Tally {
  counts: IngestCounts;
  readonly seen: Set<string>;
  readonly unknown: Set<string>;
  readonly notes: Set<string>;
  readonly failed: Map<string, string>;
  daysDone: number;
}

async function ingestPiece(
  store: BarStore,
  { symbols, sessions }: Missing,
  options: {
    readonly source: HistorySource;
    readonly from: EpochMinute;
    readonly to: EpochMinute;
    readonly signal?: AbortSignal;
  },
  total: Tally,
): Promise<void> {
  const { source, signal } = options;
  const askedAt = source.clock.now();
  const transaction = await store.begin();
  const commit = async () => {
    const counts = await transaction.commit();
    const names = Object.keys(NO_COUNTS) as (keyof IngestCounts)[];
    total.counts = Object.fromEntries(
      names.map((name) => [name, total.counts[name] + counts[name]]),
    ) as unknown as IngestCounts;
  };
  let report: HistoryReport;
  try {
    report = await drain(
      source.history({
        symbols,
        from: Math.max(options.from, sessions[0]!.open) as EpochMinute,
        to: Math.min(options.to, sessions.at(-1)!.close) as EpochMinute,
        ...(signal === undefined ? {} : { signal }),
      }),
      async (raw) => {
        signal?.throwIfAborted();
        total.seen.add(raw.symbol);
        await transaction.addBars(raw);
      },
    );
    signal?.throwIfAborted();
  } catch (error) {
    // What arrived is worth keeping; without the note it is asked for again.
    await commit();
    if (!signal?.aborted) throw error;
    throw new BarcastError('BARCAST_E_INTERRUPTED', 'the ingest was stopped', 'run the same command again to go on', {
      cause: error,
    });
  }
  const unanswered = new Set([...report.unknown, ...report.failed.map(({ symbol }) => symbol)]);
  const ended = sessions.filter(
    (session) => session.open >= options.from && session.close <= options.to && minuteToMs(session.close) <= askedAt,
  );
  transaction.markAnswered(
    source.name,
    symbols.filter((symbol) => !unanswered.has(symbol)),
    ended.map((session) => session.day),
  );
  await commit();
  for (const symbol of report.unknown) total.unknown.add(symbol);
  for (const note of report.notes ?? []) total.notes.add(note);
  for (const { symbol, reason } of report.failed) total.failed.set(symbol, reason);
  total.daysDone += symbols.length * sessions.length;
}

async function drain<T, R>(items: AsyncGenerator<T, R>, take: (item: T) => Promise<void>): Promise<R> {
  try {
    for (;;) {
      const next = await items.next();
      if (next.done) return next.value;
      await take(next.value);
    }
  } catch (error) {
    await items.return(undefined as R).catch(() => undefined);
    throw error;
  }
}

const sessionsIn = (from: EpochMinute, to: EpochMinute): Session[] =>
  to <= from
    ? []
    : sessionsBetween(dayOf(from), dayOf((to - 1) as EpochMinute)).filter(
        ({ open, close }) => close > from && open < to,
      );

/** The runs of sessions that the store lacks, symbols that lack the same run together. */
async function findMissing(
  store: BarStore,
  {
    source,
    symbols,
    from,
    to,
  }: { source: HistorySource; symbols: readonly string[]; from: EpochMinute; to: EpochMinute },
): Promise<Missing[]> {
  const sessions = sessionsIn(from, to);
  const answered = await store.answeredDays(source.name);
  const groups = new Map<string, Missing>();
  for (const symbol of new Set(symbols)) {
    for (const run of runsWithout(sessions, answered.get(symbol) ?? new Set())) {
      const key = `${run[0]!.day} ${run.at(-1)!.day}`;
      const group = groups.get(key);
      if (group === undefined) groups.set(key, { symbols: [symbol], sessions: run });
      else group.symbols.push(symbol);
    }
  }
  return [...groups.values()];
}

function runsWithout(sessions: readonly Session[], answered: ReadonlySet<DayString>): Session[][] {
  const runs: Session[][] = [];
  let run: Session[] = [];
  for (const session of sessions) {
    if (!answered.has(session.day)) {
      if (run.length === 0) runs.push(run);
      run.push(session);
    } else if (run.length > 0) run = [];
  }
  return runs;
}

function refuseTotalFailure(total: Tally, symbolsAsked: number, source: string): void {
  const unanswered = new Set([...total.failed.keys(), ...total.unknown]).size;
  if (total.counts.rowsRead > 0 || unanswered < symbolsAsked) return;
  const [failure] = total.failed;
  if (failure !== undefined) {
    throw new BarcastError(
      'BARCAST_E_NETWORK',
      `${source} answered for none of ${unanswered} symbols (${failure[0]}: ${failure[1]})`,
      'try again later',
    );
  }
  if (total.unknown.size > 0) {
    const shown = [...total.unknown].slice(0, 5).join(', ');
    throw new BarcastError(
      'BARCAST_E_SYMBOL',
      `${source} knows none of the symbols (${shown})`,
      'check their spelling',
    );
  }
}

const secondsSince = (started: number): number => Math.round(performance.now() - started) / 1000;
