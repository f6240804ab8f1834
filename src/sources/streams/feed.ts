/**
 * Bars from a WebSocket that pushes trades or bars, without a hole: what the connection did not see is asked for
 * afterwards, and bars leave in order.
 *
 * A connection sees its first whole minute after the one in which it was made. Minutes before that, from the last bar
 * that was handed over on, are backfilled once they have ended; what the connection brings meanwhile waits. A
 * connection that ends is made again after a pause that doubles, with jitter; so is one that says nothing for long while
 * the market is open.
 *
 * Limits: a backfill that fails ends the connection, and is tried again with the next; what the backfill's source does
 * not have stays a gap.
 */
import { type Bar, nextSession, sessionAt } from '../../bars/index.ts';
import {
  BarcastError,
  type Clock,
  type EpochMinute,
  type EpochMs,
  epochMinute,
  minuteToMs,
  msToMinute,
  toBarcastError,
} from '../../base/index.ts';

/** One connection's talk. */
export interface FeedTalk {
  /** Says what is to be said once the connection stands. */
  opened(): void;
  /** Takes a message. @throws BarcastError: of a source that may come back BARCAST_E_NETWORK, BARCAST_E_SOURCE_FORMAT */
  take(text: string): void;
  /** Whether the source has agreed to send. */
  readonly ready: boolean;
  /** Called every few seconds. */
  keepAlive?(): void;
  /** The bars that are complete as of now, since the last call. */
  drain(now: EpochMs): Bar[];
}

export interface Feed {
  /** For error messages. */
  readonly where: string;
  readonly url: string;
  readonly clock: Clock;
  talk(send: (text: string) => void, symbols: readonly string[]): FeedTalk;
  /** Past bars with from <= minute < to. @throws BarcastError */
  backfill(symbols: readonly string[], from: EpochMinute, to: EpochMinute, signal: AbortSignal): Promise<Bar[]>;
  /** By symbol: the first minute not handed over yet. Kept by the source, so that live goes on where it stopped. */
  readonly next: Map<string, EpochMinute>;
  /** The first minute for symbols that are not in `next`; default the one that runs when the connection is made. */
  readonly from?: EpochMinute;
  readonly pace?: Partial<FeedPace>;
  /** Told of every connection that stands, and of every one that is lost. One line each. */
  readonly notice?: (line: string) => void;
}

/** Milliseconds. */
export interface FeedPace {
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
  /** How long after a minute's end its bar is there to be asked for. */
  readonly settleMs: number;
  readonly pollMs: number;
  readonly keepAliveMs: number;
  /** Without a message for so long in a session the connection is taken for dead. */
  readonly silenceMs: number;
  readonly connectMs: number;
}

const PACE: FeedPace = {
  firstPauseMs: 500,
  longestPauseMs: 30_000,
  settleMs: 5000,
  pollMs: 100,
  keepAliveMs: 15_000,
  silenceMs: 90_000,
  connectMs: 10_000,
};

/**
 * @throws BARCAST_E_NETWORK when no connection could ever be made, and what the talk throws that does not pass: keys
 *   that are refused, a subscription that is not granted
 */
export async function* feedBars(feed: Feed, symbols: readonly string[], signal: AbortSignal): AsyncGenerator<Bar[]> {
  const pace = { ...PACE, ...feed.pace };
  let failures = 0;
  let stood = false;
  while (!signal.aborted) {
    let lost = '';
    const connection = new Connection(feed, pace, [...new Set(symbols)], signal);
    try {
      yield* connection.run();
      return;
    } catch (error) {
      if (signal.aborted) return;
      const failure = toBarcastError(error);
      stood ||= connection.ready;
      if (failure.code !== 'BARCAST_E_NETWORK' && failure.code !== 'BARCAST_E_RATE_LIMITED') throw failure;
      if (!stood) throw failure;
      lost = failure.message;
    } finally {
      connection.close();
    }
    failures = connection.handedOver ? 1 : failures + 1;
    const full = Math.min(pace.longestPauseMs, pace.firstPauseMs * 2 ** (failures - 1));
    const waitMs = full * (0.5 + 0.5 * Math.random());
    feed.notice?.(`${lost}; it is tried again in ${(waitMs / 1000).toFixed(1)} s`);
    await sleep(waitMs, signal);
  }
}

class Connection {
  /** Whether the subscription ever stood, and whether bars left. */
  ready = false;
  handedOver = false;
  readonly #feed: Feed;
  readonly #pace: FeedPace;
  readonly #symbols: readonly string[];
  readonly #signal: AbortSignal;
  readonly #socket: WebSocket;
  readonly #talk: FeedTalk;
  readonly #arrived: string[] = [];
  readonly #ended = new AbortController();
  #failure: BarcastError | undefined;
  #wake = () => {};
  /** The first minute that this connection sees whole; bars of it wait until the backfill is done. */
  #wholeFrom: EpochMinute | undefined;
  #waiting: Bar[] = [];
  #backfill: 'due' | 'asking' | 'done' = 'due';
  #backfilled: Bar[] = [];

  constructor(feed: Feed, pace: FeedPace, symbols: readonly string[], signal: AbortSignal) {
    this.#feed = feed;
    this.#pace = pace;
    this.#symbols = symbols;
    this.#signal = signal;
    this.#socket = new WebSocket(feed.url);
    this.#talk = feed.talk((text) => this.#socket.send(text), symbols);
    this.#socket.onopen = () => this.#try(() => this.#talk.opened());
    this.#socket.onmessage = ({ data }) => {
      this.#arrived.push(String(data));
      this.#wake();
    };
    this.#socket.onerror = () => this.#fail('cannot be reached');
    this.#socket.onclose = ({ code, reason }) =>
      this.#fail(`closed the connection (${code}${reason === '' ? '' : `, ${reason}`})`);
  }

  async *run(): AsyncGenerator<Bar[]> {
    const { clock } = this.#feed;
    const onAbort = () => this.#wake();
    this.#signal.addEventListener('abort', onAbort);
    let heardAt = performance.now();
    let keptAt = heardAt;
    try {
      for (;;) {
        if (this.#signal.aborted) return;
        const messages = this.#arrived.splice(0);
        for (const text of messages) this.#try(() => this.#talk.take(text));
        const now = clock.now();
        const real = performance.now();
        if (messages.length > 0) heardAt = real;
        if (this.#talk.ready && !this.ready) {
          this.ready = true;
          this.#wholeFrom = epochMinute(msToMinute(now) + 1);
          this.#feed.notice?.(`${this.#feed.where}: connected, ${this.#symbols.length} symbols`);
        }
        const bars = this.#handOver(now);
        if (bars.length > 0) {
          this.handedOver = true;
          yield bars;
        }
        if (this.#failure !== undefined) throw this.#failure;
        if (!this.ready && real - heardAt > this.#pace.connectMs) this.#fail('does not answer');
        if (this.ready && sessionAt(msToMinute(now)) !== undefined && real - heardAt > this.#pace.silenceMs)
          this.#fail('says nothing any more');
        if (this.ready && real - keptAt > this.#pace.keepAliveMs) {
          keptAt = real;
          this.#try(() => this.#talk.keepAlive?.());
        }
        if (this.#arrived.length === 0 && this.#failure === undefined) await this.#pause();
      }
    } finally {
      this.#signal.removeEventListener('abort', onAbort);
    }
  }

  close(): void {
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onerror = this.#socket.onclose = null;
    this.#socket.close();
    this.#ended.abort();
  }

  /** What may leave now: the backfilled bars first, then those that waited for them. */
  #handOver(now: EpochMs): Bar[] {
    const wholeFrom = this.#wholeFrom;
    if (wholeFrom === undefined) return [];
    for (const bar of this.#talk.drain(now)) if (bar.minute >= wholeFrom) this.#waiting.push(bar);
    if (this.#backfill === 'due' && now >= minuteToMs(wholeFrom) + this.#pace.settleMs) this.#startBackfill(wholeFrom);
    if (this.#backfill !== 'done') return [];
    const { next } = this.#feed;
    const all = [...this.#backfilled, ...this.#waiting].sort(
      (a, b) => a.minute - b.minute || (a.symbol < b.symbol ? -1 : 1),
    );
    this.#backfilled = [];
    this.#waiting = [];
    return all.filter((bar) => {
      if (bar.minute < (next.get(bar.symbol) ?? Number.NEGATIVE_INFINITY)) return false;
      next.set(bar.symbol, epochMinute(bar.minute + 1));
      return true;
    });
  }

  #startBackfill(to: EpochMinute): void {
    const { next, from: start } = this.#feed;
    const first = start ?? epochMinute(to - 1);
    for (const symbol of this.#symbols) if (!next.has(symbol)) next.set(symbol, first);
    const from = epochMinute(Math.min(to, ...this.#symbols.map((symbol) => next.get(symbol)!)));
    if (from >= to || nextSession(from).open >= to) {
      this.#backfill = 'done';
      return;
    }
    this.#backfill = 'asking';
    this.#feed
      .backfill(this.#symbols, from, to, AbortSignal.any([this.#signal, this.#ended.signal]))
      .then((bars) => {
        this.#backfilled = bars.filter(({ minute }) => minute >= from && minute < to);
        this.#backfill = 'done';
      })
      .catch((error: unknown) => {
        this.#failure ??= toBarcastError(error);
      })
      .finally(() => this.#wake());
  }

  /** A talk that fails ends the connection. */
  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#failure ??= toBarcastError(error);
    }
    this.#wake();
  }

  #fail(what: string): void {
    this.#failure ??= new BarcastError(
      'BARCAST_E_NETWORK',
      `${this.#feed.where} ${what}`,
      'check the connection and the address',
    );
    this.#wake();
  }

  async #pause(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = setTimeout(resolve, this.#pace.pollMs);
    });
    clearTimeout(timer);
    this.#wake = () => {};
  }
}

async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  let timer: NodeJS.Timeout | undefined;
  let onAbort = () => {};
  await new Promise<void>((resolve) => {
    onAbort = resolve;
    signal.addEventListener('abort', onAbort);
    timer = setTimeout(resolve, ms);
  });
  clearTimeout(timer);
  signal.removeEventListener('abort', onAbort);
}
