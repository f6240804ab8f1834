/**
 * Bars as they complete, by asking shortly after every minute's end on the source's clock.
 *
 * Every symbol goes its own way: it is due when a session minute has ended that it has not delivered, and it is asked
 * for everything since the last bar it gave, so that minutes missed in one poll come with a later one, in order. A
 * symbol that lacks the minute (no trade, or the source is late) is asked again twice, then left until the next minute
 * ends. One that does not answer holds up nobody else.
 *
 * Limits: a minute that the source shows only after a later one of the same symbol is not delivered any more.
 */

import { type Bar, sessionAt } from '../../bars/index.ts';
import { type EpochMinute, epochMinute, MS_PER_MINUTE, msToMinute } from '../../base/index.ts';
import type { RawBars } from '../source.ts';
import type { AnswerClock } from './answer-clock.ts';
import type { ChartClient } from './chart-client.ts';
import { ChartFailure } from './failure.ts';
import type { Gate } from './patience.ts';
import { askFromOf, earliestMinute, sessionBefore, YAHOO_DAYS_A_REQUEST } from './ranges.ts';

export interface LiveMeans {
  readonly where: string;
  readonly client: ChartClient;
  readonly gate: Gate;
  readonly clock: AnswerClock;
  readonly concurrency: number;
  /** Brings the clock up to date where somebody tells the time. */
  readonly sync: (signal: AbortSignal) => Promise<void>;
  /** By symbol: the first minute not delivered yet. Kept by the source, so that live goes on where it stopped. */
  readonly next: Map<string, EpochMinute>;
  /** The first minute for symbols that are not in `next`. */
  readonly from: EpochMinute | undefined;
  /** Without `from`: by symbol, where its history ended; live goes on there within a session. */
  readonly historyEnd: ReadonlyMap<string, EpochMinute>;
}

/** After a minute's end, in market time: when to ask first, and again for symbols that lack the minute. */
const FIRST_ASK_MS = 2000;
const AGAIN_MS = [6000, 20_000] as const;
/** Bars wait this long, in real time, for others to be handed over with. */
const GATHER_MS = 200;
/** In real time: how long to sleep at most, and how often to ask for the time while nothing is due. */
const LONGEST_SLEEP_MS = 1000;
const SYNC_MARKET_MS = 30_000;
const SYNC_LEAST_MS = 250;

interface Follower {
  readonly symbol: string;
  next: EpochMinute;
  asking: boolean;
  /** The session minute that it was asked for last, and how often. */
  target: EpochMinute;
  asked: number;
  /** Failed requests in a row. */
  failures: number;
  /** Not before this market time, and not before this real time. */
  notBeforeMs: number;
  notBeforeReal: number;
}

/** @throws BARCAST_E_NETWORK and others when nothing could ever be had, BARCAST_E_SYMBOL when no symbol is known */
export async function* live(means: LiveMeans, symbols: readonly string[], signal: AbortSignal): AsyncGenerator<Bar[]> {
  if (signal.aborted) return;
  try {
    await means.sync(signal);
    yield* new Poller(means, symbols, signal).run();
  } catch (error) {
    if (signal.aborted) return;
    throw error instanceof ChartFailure ? error.toBarcastError(means.where) : error;
  }
}

class Poller {
  readonly #means: LiveMeans;
  readonly #signal: AbortSignal;
  #followers: Follower[];
  #asking = 0;
  #gathered: Bar[] = [];
  #gatheredSince = 0;
  #syncedAt = performance.now();
  #fatal: unknown;
  #wake = () => {};

  constructor(means: LiveMeans, symbols: readonly string[], signal: AbortSignal) {
    this.#means = means;
    this.#signal = signal;
    const now = msToMinute(means.clock.now());
    const session = sessionAt(now) ?? sessionBefore(now);
    const ended = (end: EpochMinute | undefined) =>
      end !== undefined && session !== undefined && end >= session.open && end <= now ? end : undefined;
    this.#followers = [...new Set(symbols)].map((symbol) => ({
      symbol,
      next: means.next.get(symbol) ?? means.from ?? ended(means.historyEnd.get(symbol)) ?? now,
      asking: false,
      target: epochMinute(0),
      asked: 0,
      failures: 0,
      notBeforeMs: 0,
      notBeforeReal: 0,
    }));
  }

  async *run(): AsyncGenerator<Bar[]> {
    const onAbort = () => this.#wake();
    this.#signal.addEventListener('abort', onAbort);
    try {
      while (!this.#signal.aborted && this.#followers.length > 0) {
        if (this.#fatal !== undefined) throw this.#fatal;
        const due = this.#askDue();
        if (this.#gathered.length > 0 && (this.#asking === 0 || performance.now() - this.#gatheredSince >= GATHER_MS)) {
          yield this.#gathered.splice(0);
          continue;
        }
        if (this.#asking === 0) await this.#syncWhenIdle();
        await this.#sleep(due);
      }
      if (this.#fatal !== undefined && !this.#signal.aborted) throw this.#fatal;
    } finally {
      this.#signal.removeEventListener('abort', onAbort);
    }
  }

  /** The last session minute that ended long enough ago to be asked for. */
  #targetMinute(nowMs: number): EpochMinute | undefined {
    const ended = epochMinute(Math.floor((nowMs - FIRST_ASK_MS) / MS_PER_MINUTE) - 1);
    if (sessionAt(ended) !== undefined) return ended;
    const session = sessionBefore(epochMinute(ended + 1));
    return session === undefined ? undefined : epochMinute(session.close - 1);
  }

  /** Starts requests for symbols that are due, the most belated first. Returns real ms until the next is due. */
  #askDue(): number {
    const now = this.#means.clock.now();
    const real = performance.now();
    const { speed } = this.#means.clock;
    const target = this.#targetMinute(now);
    let wait = LONGEST_SLEEP_MS;
    const due: Follower[] = [];
    for (const follower of this.#followers) {
      if (follower.asking || target === undefined || follower.next > target) continue;
      if (follower.target !== target) {
        follower.target = target;
        follower.asked = 0;
        follower.notBeforeMs = 0;
      }
      const waits = Math.max((follower.notBeforeMs - now) / speed, follower.notBeforeReal - real);
      if (waits > 0) wait = Math.min(wait, waits);
      else due.push(follower);
    }
    due.sort((a, b) => a.next - b.next);
    for (const follower of due) {
      if (this.#asking >= this.#means.concurrency) break;
      follower.asking = true;
      this.#asking++;
      this.#ask(follower)
        .catch((error: unknown) => {
          this.#fatal ??= error;
        })
        .finally(() => {
          follower.asking = false;
          this.#asking--;
          this.#wake();
        });
    }
    const nextEnd = (Math.floor((now - FIRST_ASK_MS) / MS_PER_MINUTE) + 1) * MS_PER_MINUTE + FIRST_ASK_MS;
    return Math.max(1, Math.min(wait, (nextEnd - now) / speed));
  }

  async #ask(follower: Follower): Promise<void> {
    const { client, gate, clock } = this.#means;
    const { symbol } = follower;
    const permit = await gate.pass(this.#signal);
    const now = clock.now();
    const earliest = earliestMinute(now);
    const farthest = msToMinute(now) + 1 - YAHOO_DAYS_A_REQUEST * 1440;
    const askFrom = Math.max(farthest, askFromOf(epochMinute(Math.max(follower.next, earliest)), earliest));
    try {
      const rows = await client.rows(symbol, askFrom * 60, (msToMinute(now) + 1) * 60, this.#signal);
      gate.note(undefined, 0, permit);
      follower.failures = 0;
      this.#take(follower, rows);
      this.#postpone(follower);
    } catch (error) {
      if (!(error instanceof ChartFailure)) {
        gate.abandon(permit);
        throw error;
      }
      this.#fail(follower, error, permit);
    }
  }

  #take(follower: Follower, rows: RawBars): void {
    const bars = completeBars(rows, follower.next);
    if (bars.length === 0) return;
    if (this.#gathered.length === 0) this.#gatheredSince = performance.now();
    this.#gathered.push(...bars);
    follower.next = epochMinute(bars.at(-1)!.minute + 1);
    this.#means.next.set(follower.symbol, follower.next);
  }

  /** When to ask again for a symbol that still lacks the minute it was asked for. */
  #postpone(follower: Follower): void {
    const end = (follower.target + 1) * MS_PER_MINUTE;
    const again = AGAIN_MS[follower.asked++];
    follower.notBeforeMs = again === undefined ? Number.POSITIVE_INFINITY : end + again;
  }

  #fail(follower: Follower, failure: ChartFailure, permit: number): void {
    const { gate } = this.#means;
    const wait = gate.note(failure, follower.failures++, permit);
    if (failure.kind === 'unknown') {
      this.#followers = this.#followers.filter((other) => other !== follower);
      if (this.#followers.length === 0) throw failure;
      return;
    }
    follower.notBeforeReal = performance.now() + wait;
    // Whoever was never answered is told; an outage after that is waited out.
    if (!gate.answered && follower.failures >= gate.patience.firstTries) throw failure;
  }

  /** While nothing is asked nobody tells the time: a simulated exchange may have skipped a night. */
  async #syncWhenIdle(): Promise<void> {
    const every = Math.max(SYNC_LEAST_MS, SYNC_MARKET_MS / this.#means.clock.speed);
    if (performance.now() - this.#syncedAt < every) return;
    await this.#means.sync(this.#signal);
    this.#syncedAt = performance.now();
  }

  /** Until a request ends, the time has come, or somebody aborts. */
  async #sleep(ms: number): Promise<void> {
    if (this.#signal.aborted) return;
    const limit = this.#gathered.length > 0 ? Math.min(ms, GATHER_MS) : ms;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = setTimeout(resolve, limit);
    });
    clearTimeout(timer);
    this.#wake = () => {};
  }
}

/** Bars from `next` on that had ended when the source answered, sorted, each minute once: the later row counts, as in the store. */
function completeBars(rows: RawBars, next: EpochMinute): Bar[] {
  const byMinute = new Map<number, Bar>();
  for (let i = 0; i < rows.timeMs.length; i++) {
    const timeMs = rows.timeMs[i];
    const minute = epochMinute(timeMs / MS_PER_MINUTE);
    if (timeMs % MS_PER_MINUTE !== 0 || minute < next || timeMs + MS_PER_MINUTE > rows.askedAt) continue;
    if (!(rows.close[i] > 0)) continue;
    byMinute.set(minute, {
      symbol: rows.symbol,
      minute,
      open: rows.open[i],
      high: rows.high[i],
      low: rows.low[i],
      close: rows.close[i],
      // The first row's volume of 0 says nothing, see history.ts.
      volume: i === 0 && rows.volume[i] === 0 ? Number.NaN : rows.volume[i],
    });
  }
  return [...byMinute.values()].sort((a, b) => a.minute - b.minute);
}
