/**
 * Bringing past bars into a store from a source: what the store lacks, and nothing else.
 *
 * The source is asked once, for all of it, and keeps its own pace. Its answers are committed every few seconds together
 * with the notes of which sessions they answer, while further ones arrive; so a kill costs those seconds, and the next
 * call asks for what has no note. What may be missing in an answer by mistake is asked for once more before that note is
 * made (`second-look.ts`).
 */
import { BarcastError, type DayString, type EpochMinute, type EpochMs, type Progress } from '../base/index.ts';
import { type BarStore, type IngestCounts, type IngestTransaction, openStore } from '../store/index.ts';
import {
  addCounts,
  type HistoryAnswer,
  NO_COUNTS,
  refuseTotalFailure,
  stillMissing,
  withUndone,
} from './history-outcome.ts';
import { secondsSince } from './ingest.ts';
import { SecondLooks } from './second-look.ts';
import { ownPart, type Share } from './share.ts';
import type { HistoryReport, HistoryRows, HistorySource, Span } from './source.ts';
import { Wanted } from './wanted.ts';

export interface HistoryOptions {
  readonly source: HistorySource;
  readonly symbols: readonly string[];
  /** First minute wanted. */
  readonly from: EpochMinute;
  /** First minute not wanted. */
  readonly to: EpochMinute;
  readonly data: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
  /** Which part of the symbols is asked for here, when several processes share the ingest. */
  readonly share?: Share;
  /** Ask for these minutes alone, by symbol, and whether the store was given them before or not. */
  readonly again?: ReadonlyMap<string, readonly Span[]>;
  /** How long answers are gathered for one commit; default 4 s. */
  readonly commitEveryMs?: number;
}

/** Rows that are gathered at most for one commit. */
const ROWS_A_COMMIT = 2_000_000;
/** How often it is told how far things are. */
const TELL_MS = 500;

/**
 * Asks a source for what the store lacks of the sessions between two minutes. Sessions that had not ended are stored as
 * far as they are and asked for again by a later call. Unknown and failed symbols are in the answer, unless nothing else
 * is.
 * @throws BARCAST_E_SYMBOL when the source knows none of the symbols, BARCAST_E_NETWORK when none could be fetched,
 *   BARCAST_E_INTERRUPTED on abort, and what the source throws; what came before is kept
 */
export async function ingestHistory(options: HistoryOptions): Promise<HistoryAnswer> {
  const { share, again } = options;
  const symbols = ownPart([...new Set(options.symbols)], share, (symbol) => symbol);
  const store = await openStore(options.data, { shared: share !== undefined });
  try {
    const wanted =
      again === undefined
        ? Wanted.lacking(symbols, options, await store.answeredDays(options.source.name))
        : Wanted.again(new Map(symbols.map((symbol) => [symbol, again.get(symbol) ?? []])));
    return await new HistoryIngest(store, wanted, options).run();
  } finally {
    options.progress.finish();
    store.close();
  }
}

class HistoryIngest {
  readonly #store: BarStore;
  readonly #wanted: Wanted;
  readonly #options: HistoryOptions;
  readonly #started = performance.now();
  readonly #startedAt: EpochMs;
  readonly #seen = new Set<string>();
  /** Sessions that the gathered rows answer. */
  #marks: (readonly [symbol: string, days: readonly DayString[]])[] = [];
  #counts: IngestCounts = NO_COUNTS;
  readonly #looks = new SecondLooks();
  /** Sessions that have come, by symbol, and are noted as answered once they were looked at again. */
  readonly #doubtful = new Map<string, Set<DayString>>();
  #transaction: IngestTransaction | undefined;
  #gatheredRows = 0;
  #gatheredSince = 0;
  #latest = '';
  /** Sessions that are stored: those that have come and were committed. */
  #stored = 0;

  constructor(store: BarStore, wanted: Wanted, options: HistoryOptions) {
    this.#store = store;
    this.#wanted = wanted;
    this.#options = options;
    this.#startedAt = options.source.clock.now();
  }

  async run(): Promise<HistoryAnswer> {
    const { source } = this.#options;
    const { symbols } = this.#wanted;
    let report: HistoryReport = { unknown: [], failed: [] };
    const tell = setInterval(() => this.#tell(), TELL_MS);
    try {
      if (symbols.length > 0) report = await this.#ask(symbols);
    } catch (error) {
      throw withUndone(error, this.#wanted.asked, this.#stored);
    } finally {
      clearInterval(tell);
      this.#tell();
    }
    refuseTotalFailure(source.name, this.#wanted, this.#counts.rowsRead, report);
    const { share } = this.#options;
    return {
      source: source.name,
      ...this.#counts,
      symbols: this.#seen.size,
      seconds: secondsSince(this.#started),
      daysAsked: this.#wanted.asked,
      daysHeld: this.#wanted.held,
      unknown: report.unknown,
      notes: report.notes ?? [],
      failed: report.failed,
      stillMissing: stillMissing(source.name, this.#wanted, report),
      askedAgain: this.#looks.asked,
      filledAgain: this.#looks.filled,
      ...(share === undefined ? {} : { share }),
    };
  }

  async #ask(symbols: readonly string[]): Promise<HistoryReport> {
    const { source, from, to, signal, again } = this.#options;
    const { spans } = this.#wanted;
    const rows = source.history({
      symbols,
      from,
      to,
      spans,
      ...(again === undefined ? { secondLook: this.#looks.judge } : {}),
      ...(signal === undefined ? {} : { signal }),
    });
    try {
      for (;;) {
        const next = await rows.next();
        signal?.throwIfAborted();
        if (next.done) {
          this.#markRest(symbols, next.value);
          await this.#commit();
          return next.value;
        }
        await this.#take(next.value);
      }
    } catch (error) {
      await rows.return(undefined as never).catch(() => undefined);
      // Whole answers are worth keeping.
      await this.#commit();
      if (!signal?.aborted) throw error;
      throw new BarcastError('BARCAST_E_INTERRUPTED', 'the ingest was stopped', 'run the same command again to go on', {
        cause: error,
      });
    }
  }

  async #take(rows: HistoryRows): Promise<void> {
    this.#transaction ??= await this.#begin();
    await this.#transaction.addBars(rows.again ? this.#looks.taken(rows) : rows);
    const { symbol, covers, askedAt } = rows;
    this.#latest = symbol;
    this.#seen.add(symbol);
    this.#gatheredRows += rows.timeMs.length;
    if (rows.again) this.#marks.push([symbol, this.#afterLook(rows)]);
    else if (covers !== undefined)
      this.#marks.push([symbol, this.#beyondDoubt(symbol, this.#wanted.cover(symbol, covers, askedAt))]);
    if (this.#isDue() || this.#gatheredRows >= ROWS_A_COMMIT) await this.#commit();
  }

  /** Of sessions that have come, those of which nothing is looked at again; the others wait for that. */
  #beyondDoubt(symbol: string, days: readonly DayString[]): DayString[] {
    const waiting = this.#doubtful.get(symbol) ?? new Set();
    this.#doubtful.set(symbol, waiting);
    return days.filter((day) => {
      if (!this.#looks.isOpen(symbol, day)) return true;
      waiting.add(day);
      return false;
    });
  }

  #afterLook(rows: HistoryRows): DayString[] {
    const waiting = this.#doubtful.get(rows.symbol);
    return this.#looks.settle(rows).filter((day) => waiting?.delete(day));
  }

  /** Towards the end ever sooner, so that little is left to commit when the last answer comes. */
  #isDue(): boolean {
    const { commitEveryMs = 4000 } = this.#options;
    const gatheredMs = performance.now() - this.#gatheredSince;
    const { asked, come } = this.#wanted;
    const fresh = come - this.#stored;
    return gatheredMs >= commitEveryMs || (gatheredMs >= commitEveryMs / 16 && fresh > 0 && fresh >= asked - come);
  }

  #begin(): Promise<IngestTransaction> {
    this.#gatheredSince = performance.now();
    this.#gatheredRows = 0;
    return this.#store.begin();
  }

  /** A source that does not tell what its rows cover has answered for every symbol that it does not name. */
  #markRest(symbols: readonly string[], { unknown, failed }: HistoryReport): void {
    const { source, from, to } = this.#options;
    if (source.tellsCover) return;
    const unanswered = new Set([...unknown, ...failed.map(({ symbol }) => symbol)]);
    for (const symbol of symbols) {
      if (unanswered.has(symbol)) continue;
      this.#marks.push([symbol, this.#wanted.cover(symbol, { from, to }, this.#startedAt)]);
    }
  }

  async #commit(): Promise<void> {
    if (this.#transaction === undefined && this.#marks.length === 0) return;
    const transaction = this.#transaction ?? (await this.#begin());
    this.#transaction = undefined;
    for (const [symbol, days] of this.#marks) transaction.markAnswered(this.#options.source.name, [symbol], days);
    this.#marks = [];
    const { come } = this.#wanted;
    const counts = await transaction.commit();
    this.#stored = come;
    this.#counts = addCounts(this.#counts, counts);
  }

  /** How far it is: symbols that have come whole, the last one, the pace and the time that is left. */
  #tell(): void {
    const { source, progress } = this.#options;
    const { asked, come, symbols, symbolsCome } = this.#wanted;
    if (asked === 0) return;
    const seconds = (performance.now() - this.#started) / 1000;
    const left = come > 0 && come < asked ? [`${durationOf((seconds * (asked - come)) / come)} left`] : [];
    const latest = this.#latest === '' ? [] : [`last ${this.#latest}`];
    const note = [...latest, ...(come < asked ? [source.pace?.() ?? ''] : []), ...left].filter((part) => part !== '');
    progress.update(`asking ${source.name}`, symbolsCome, symbols.length, `symbols, ${note.join(', ')}`);
  }
}

/** `45 s`, `3 min 20 s`, `2 h 05 min`. */
export function durationOf(seconds: number): string {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}
