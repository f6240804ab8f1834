/**
 * Live bars into a store: what a source hands over is passed on at once, and committed together once a minute.
 *
 * The store is locked for the length of a commit alone, so that an ingest may go on beside it. The bars are provisional:
 * where the store has one with a price already they are passed over, and a later ingest, which asks for the session all
 * the same since nothing notes it as answered, replaces those that differ. A kill costs what was not committed, and the
 * same ingest brings that too. A store that cannot be written is told once, and tried again with every commit; what it
 * did not take is kept for that, up to a bound. Commits once a minute leave many small segments: they are merged when the
 * session has ended, and at the end.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Bar, sessionAt } from '../bars/index.ts';
import { type EpochMinute, type EpochMs, MS_PER_MINUTE, msToMinute, toBarcastError } from '../base/index.ts';
import { type BarStore, openStore, type RawBars } from '../store/index.ts';
import type { LiveSource } from './source.ts';

export interface LiveStoreOptions {
  readonly data: string;
  /** How long after the first of them bars are committed, in real time; default 45 s. */
  readonly commitEveryMs?: number;
  /** Told when the store cannot be written, and when it can again. One line each. */
  readonly notice?: (line: string) => void;
}

export interface StoredLiveSource extends LiveSource {
  /** Bars that the store did not have. */
  readonly stored: number;
  /** Commits what is left and lets go of the store. */
  close(): Promise<void>;
}

/** Bars come in the first seconds of a minute: they are committed well before the next ones. */
export const LIVE_COMMIT_EVERY_MS = 45_000;
/** Two days of 500 symbols. */
const MOST_WAITING = 400_000;

/** The same source, whose bars are also stored. It does not fail for that. */
export function storedLive(source: LiveSource, options: LiveStoreOptions): StoredLiveSource {
  const keeper = new Keeper(source, options);
  return {
    name: source.name,
    clock: source.clock,
    get stored() {
      return keeper.stored;
    },
    async *live(symbols, signal) {
      for await (const bars of source.live(symbols, signal)) {
        keeper.take(bars);
        yield bars;
      }
    },
    close: () => keeper.close(),
  };
}

class Keeper {
  stored = 0;
  readonly #source: LiveSource;
  readonly #options: LiveStoreOptions;
  readonly #closing = new AbortController();
  #store: BarStore | undefined;
  #waiting: Bar[] = [];
  #committing: Promise<void> | undefined;
  #failing = false;
  /** The close of the session whose bars were committed since segments were merged. */
  #close: EpochMinute | undefined;

  constructor(source: LiveSource, options: LiveStoreOptions) {
    this.#source = source;
    this.#options = options;
  }

  take(bars: readonly Bar[]): void {
    this.#waiting.push(...bars);
    if (this.#waiting.length > MOST_WAITING) this.#waiting.splice(0, this.#waiting.length - MOST_WAITING);
    this.#committing ??= this.#commitLater();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#committing;
    if (this.#waiting.length > 0) await this.#commit();
    await this.#compact();
    this.#store?.close();
  }

  async #commitLater(): Promise<void> {
    const { commitEveryMs = LIVE_COMMIT_EVERY_MS } = this.#options;
    await sleep(commitEveryMs, undefined, { signal: this.#closing.signal, ref: false }).catch(() => undefined);
    await this.#commit();
    if (this.#close !== undefined && msToMinute(this.#source.clock.now()) >= this.#close) await this.#compact();
    this.#committing = undefined;
    // What came meanwhile, or was not taken, waits for its own time.
    if (this.#waiting.length > 0 && !this.#closing.signal.aborted) this.#committing = this.#commitLater();
  }

  async #commit(): Promise<void> {
    const { data, notice } = this.#options;
    const bars = this.#waiting;
    this.#waiting = [];
    try {
      this.#store ??= await openStore(data, { shared: true });
      const transaction = await this.#store.begin();
      for (const raw of rowsOf(bars, this.#source.clock.now())) await transaction.addBars(raw);
      this.stored += (await transaction.commit()).rowsStored;
      this.#close = sessionAt(bars.at(-1)!.minute)?.close ?? this.#close;
      if (this.#failing) notice?.(`live bars are stored in ${data} again`);
      this.#failing = false;
    } catch (error) {
      this.#waiting = [...bars, ...this.#waiting];
      if (!this.#failing) notice?.(`live bars cannot be stored for now: ${toBarcastError(error).line}`);
      this.#failing = true;
    }
  }

  /** Every bar is stored already: what fails here costs nothing, and is tried again after the next commit. */
  async #compact(): Promise<void> {
    if (this.#close === undefined) return;
    try {
      await this.#store?.compact();
      this.#close = undefined;
    } catch (error) {
      this.#options.notice?.(`segments of live bars are not merged for now: ${toBarcastError(error).line}`);
    }
  }
}

function* rowsOf(bars: readonly Bar[], now: EpochMs): Generator<RawBars> {
  for (const [symbol, own] of Map.groupBy(bars, (bar) => bar.symbol)) {
    const column = (of: (bar: Bar) => number) => Float64Array.from(own, of);
    const timeMs = column(({ minute }) => minute * MS_PER_MINUTE);
    yield {
      symbol,
      timeMs,
      open: column(({ open }) => open),
      high: column(({ high }) => high),
      low: column(({ low }) => low),
      close: column(({ close }) => close),
      volume: column(({ volume }) => volume),
      tradeCount: column(({ tradeCount = Number.NaN }) => tradeCount),
      vwap: column(({ vwap = Number.NaN }) => vwap),
      // The source has said that they are complete, whatever the clock says.
      askedAt: Math.max(now, timeMs.reduce((a, b) => Math.max(a, b)) + MS_PER_MINUTE) as EpochMs,
      provisional: true,
    };
  }
}
