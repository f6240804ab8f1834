/**
 * Yahoo Finance's one-minute bars, past and live, from Yahoo itself or from a server that speaks its chart API.
 */
import { BarcastError, type Clock, type EpochMinute } from '../../base/index.ts';
import type { HistorySource, LiveSource } from '../source.ts';
import { AnswerClock } from './answer-clock.ts';
import { ChartClient } from './chart-client.ts';
import { history } from './history.ts';
import { live } from './live.ts';
import { DEFAULT_PATIENCE, Gate, type Patience } from './patience.ts';

export interface YahooOptions {
  /** A server that answers instead of Yahoo, as in `http://127.0.0.1:8080`. */
  readonly url?: string;
  /** Used where answers do not carry `x-market-time`; default the system's. */
  readonly clock?: Clock;
  /** Requests in flight at most; default 1024 for history, whose rate the limiter finds, and 16 for live. */
  readonly concurrency?: number;
  /**
   * The first minute that `live` delivers, at most seven days back. Default: where this source's own `history` ended, if
   * that was in the present session, so that nothing is lost in between; otherwise the minute that runs at the start.
   */
  readonly liveFrom?: EpochMinute;
  /** After this long without a byte a request is given up; default 30 s for history and 10 s for live. */
  readonly timeoutMs?: number;
  readonly patience?: Partial<Patience>;
  /** Default `yahoo`. */
  readonly name?: string;
}

/** Yahoo itself: about what it accepted over hours from one address, and courtesy. */
const YAHOO_PACE: Partial<Patience> = { initialPerSecond: 4, mostPerSecond: 100 };

export interface YahooSource extends HistorySource, LiveSource {
  /**
   * Sets `clock` by a simulated exchange's, if that is who answers; `history` and `live` do it by themselves. Never
   * fails: without an answer the clock stays as it is.
   */
  sync(signal?: AbortSignal): Promise<void>;
}

/**
 * A source over Yahoo's chart API. `history` reaches back 30 days; symbols it does not know are in its report. `live`
 * yields complete bars only; stopped and started again it goes on where it was, as far back as a request reaches.
 *
 * @throws BARCAST_E_USAGE for a `url` that is none
 */
export function yahooSource(options: YahooOptions = {}): YahooSource {
  const { url, name = 'yahoo', timeoutMs } = options;
  if (url !== undefined && !(URL.canParse(url) && /^https?:/.test(url))) {
    throw new BarcastError('BARCAST_E_USAGE', `'${url}' is not an address`, 'write it as http://127.0.0.1:8080');
  }
  const clock = new AnswerClock(options.clock);
  const client = (silenceMs: number) =>
    new ChartClient({ ...(url === undefined ? {} : { url }), clock, silenceMs: timeoutMs ?? silenceMs });
  const past = client(30_000);
  const present = client(10_000);
  const gate = new Gate({ ...DEFAULT_PATIENCE, ...(url === undefined ? YAHOO_PACE : {}), ...options.patience });
  const where = url ?? 'Yahoo Finance';
  const sync = (signal?: AbortSignal) => past.syncClock(signal);
  const historyEnd = new Map<string, EpochMinute>();
  const means = { where, gate, clock, sync, historyEnd };
  const next = new Map<string, EpochMinute>();
  return {
    name,
    clock,
    tellsCover: true,
    pace: () =>
      gate.closedBecause ?? `${gate.limiter.perSecond.toFixed(gate.limiter.perSecond < 10 ? 1 : 0)} requests/s`,
    sync,
    history: (request) => history({ ...means, client: past, concurrency: options.concurrency ?? 1024 }, request),
    live: (symbols, signal) =>
      live(
        { ...means, client: present, concurrency: options.concurrency ?? 16, next, from: options.liveFrom },
        symbols,
        signal,
      ),
  };
}
