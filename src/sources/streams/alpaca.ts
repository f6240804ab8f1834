/**
 * Alpaca's market data as a source of bars: its WebSocket pushes one-minute bars, or the trades that bars are built of
 * here; what a connection did not see comes from its REST endpoint of bars.
 */
import { type Bar, parseSymbol, sessionAt } from '../../bars/index.ts';
import {
  BarcastError,
  type Clock,
  type EpochMinute,
  type EpochMs,
  epochMinute,
  epochMs,
  isoOfMinute,
  msToMinute,
  systemClock,
} from '../../base/index.ts';
import type { LiveSource } from '../source.ts';
import { addObject } from '../trades/fields.ts';
import { BuiltBars } from './built-bars.ts';
import { type FeedPace, type FeedTalk, feedBars } from './feed.ts';

export interface AlpacaOptions {
  /** What is subscribed to; default `bars`. */
  readonly take?: 'bars' | 'trades';
  /** `iex` is free, `sip` is the whole market; default `APCA_FEED`, or else `iex`. */
  readonly feed?: string;
  /** Default the environment's `APCA_API_KEY_ID` and `APCA_API_SECRET_KEY`. */
  readonly key?: string;
  readonly secret?: string;
  /** Default `APCA_API_STREAM_URL`, or Alpaca's own; the feed is added as the last part of its path. */
  readonly streamUrl?: string;
  /** Default `APCA_API_DATA_URL`, or Alpaca's own. */
  readonly dataUrl?: string;
  readonly clock?: Clock;
  readonly liveFrom?: EpochMinute;
  readonly pace?: Partial<FeedPace>;
  /** Told of every connection that stands, and of every one that is lost. */
  readonly notice?: (line: string) => void;
}

/** A trade is on the wire within a fraction of a second. */
const LATENESS_MS = 2000;
const ROWS_A_PAGE = 10_000;
/** Symbols in one request: its address must not grow too long. */
const SYMBOLS_A_REQUEST = 200;
const REQUEST_TIMEOUT_MS = 30_000;
/** Codes of errors that another connection does not mend (401 to 410 of the stream's documentation, without the passing ones). */
const LASTING = new Set([402, 405, 409, 410, 411, 412]);

/** Alpaca writes a share class with a dot. */
const toAlpaca = (symbol: string): string => symbol.replace(/-([A-Z])$/, '.$1');

/** Bars of the regular session. @throws BARCAST_E_USAGE without keys */
export function alpacaSource(options: AlpacaOptions = {}): LiveSource {
  const { env } = process;
  const { take = 'bars', clock = systemClock, liveFrom, pace } = options;
  const feed = options.feed ?? env.APCA_FEED ?? 'iex';
  const key = options.key ?? env.APCA_API_KEY_ID;
  const secret = options.secret ?? env.APCA_API_SECRET_KEY;
  if (!key || !secret)
    throw new BarcastError(
      'BARCAST_E_USAGE',
      "Alpaca's keys are not set",
      'set APCA_API_KEY_ID and APCA_API_SECRET_KEY in the environment',
    );
  const streamUrl = options.streamUrl ?? env.APCA_API_STREAM_URL ?? 'wss://stream.data.alpaca.markets/v2';
  const dataUrl = options.dataUrl ?? env.APCA_API_DATA_URL ?? 'https://data.alpaca.markets';
  const next = new Map<string, EpochMinute>();
  const means = { key, secret, feed, take, clock, dataUrl: dataUrl.replace(/\/+$/, '') };
  return {
    name: 'alpaca',
    clock,
    live: (symbols, signal) =>
      feedBars(
        {
          where: 'Alpaca',
          url: `${streamUrl.replace(/\/+$/, '')}/${feed}`,
          clock,
          talk: (send, asked) => new AlpacaTalk(send, asked, means),
          backfill: (asked, from, to, stop) => restBars(means, asked, from, to, stop),
          next,
          from: liveFrom,
          pace,
          notice: options.notice,
        },
        symbols,
        signal,
      ),
  };
}

interface Means {
  readonly key: string;
  readonly secret: string;
  readonly feed: string;
  readonly take: 'bars' | 'trades';
  readonly clock: Clock;
  readonly dataUrl: string;
}

type Message = Readonly<Record<string, unknown>>;

class AlpacaTalk implements FeedTalk {
  ready = false;
  readonly #send: (text: string) => void;
  readonly #symbols: readonly string[];
  readonly #means: Means;
  readonly #built: BuiltBars;
  #bars: Bar[] = [];

  constructor(send: (text: string) => void, symbols: readonly string[], means: Means) {
    this.#send = send;
    this.#symbols = symbols;
    this.#means = means;
    this.#built = new BuiltBars(means.clock, LATENESS_MS, { ofTrades: true });
  }

  opened(): void {
    // The server speaks first.
  }

  take(text: string): void {
    let messages: Message[];
    try {
      messages = [JSON.parse(text) as Message | Message[]].flat();
      for (const message of messages) this.#takeOne(message);
    } catch (error) {
      if (error instanceof BarcastError && error.code !== 'BARCAST_E_SYMBOL') throw error;
      throw unlike(`a message that is not documented (${(error as Error).message})`, error);
    }
  }

  drain(now: EpochMs): Bar[] {
    const bars = this.#means.take === 'bars' ? this.#bars : this.#built.drain(now);
    this.#bars = [];
    return bars;
  }

  #takeOne(message: Message): void {
    switch (message.T) {
      case 'success':
        if (message.msg === 'connected')
          this.#say({ action: 'auth', key: this.#means.key, secret: this.#means.secret });
        if (message.msg === 'authenticated')
          this.#say({ action: 'subscribe', [this.#means.take]: this.#symbols.map(toAlpaca) });
        return;
      case 'subscription':
        this.ready = true;
        return;
      case 'error':
        throw refusal(message);
      case 'b':
        if (this.#means.take === 'bars') this.#bars.push(...barOf(String(message.S), message));
        return;
      case 't':
      case 'x':
      case 'c':
        addObject(this.#built.batch, this.#built.symbols, message);
        return;
      default:
    }
  }

  #say(message: object): void {
    this.#send(JSON.stringify(message));
  }
}

function refusal({ code, msg }: Message): BarcastError {
  const said = `${String(msg)} (${String(code)})`;
  if (code === 402 || code === 409)
    return new BarcastError(
      'BARCAST_E_USAGE',
      `Alpaca refuses: ${said}`,
      'check APCA_API_KEY_ID, APCA_API_SECRET_KEY and what the account may subscribe to (APCA_FEED)',
    );
  if (LASTING.has(Number(code)))
    return new BarcastError('BARCAST_E_USAGE', `Alpaca refuses: ${said}`, 'follow fewer symbols, or another feed');
  // A connection too many (406) is often one's own that has not ended yet.
  return new BarcastError('BARCAST_E_NETWORK', `Alpaca refuses for now: ${said}`, 'wait, or end the other connection');
}

const unlike = (what: string, cause?: unknown): BarcastError =>
  new BarcastError(
    'BARCAST_E_SOURCE_FORMAT',
    `Alpaca sent ${what}`,
    'try again later; if it persists the service has changed and barcast needs an update',
    { cause },
  );

/** One bar, or none outside the regular session. @throws Error for fields that are missing */
function barOf(symbol: string, { t, o, h, l, c, v, n, vw }: Message): Bar[] {
  const timeMs = Date.parse(String(t));
  const numbers = [o, h, l, c, v].map((value) => (typeof value === 'number' ? value : Number.NaN));
  if (Number.isNaN(timeMs) || numbers.some(Number.isNaN))
    throw new Error(`a bar of ${symbol} without t, o, h, l, c or v`);
  const minute = msToMinute(epochMs(timeMs));
  if (sessionAt(minute) === undefined) return [];
  const [open, high, low, close, volume] = numbers;
  const bar = { symbol: parseSymbol(symbol), minute, open, high, low, close, volume };
  return [typeof n === 'number' && typeof vw === 'number' ? { ...bar, tradeCount: n, vwap: vw } : bar];
}

/** Past bars, page by page. @throws BARCAST_E_NETWORK, BARCAST_E_RATE_LIMITED, BARCAST_E_SOURCE_FORMAT, BARCAST_E_USAGE */
async function restBars(
  means: Means,
  symbols: readonly string[],
  from: EpochMinute,
  to: EpochMinute,
  signal: AbortSignal,
): Promise<Bar[]> {
  const bars: Bar[] = [];
  for (let first = 0; first < symbols.length; first += SYMBOLS_A_REQUEST) {
    const query = new URLSearchParams({
      symbols: symbols
        .slice(first, first + SYMBOLS_A_REQUEST)
        .map(toAlpaca)
        .join(','),
      timeframe: '1Min',
      start: isoOfMinute(from),
      // The end is included there.
      end: isoOfMinute(epochMinute(to - 1)),
      limit: String(ROWS_A_PAGE),
      adjustment: 'raw',
      feed: means.feed,
    });
    for (;;) {
      const answer = await ask(means, query, signal);
      if (typeof answer.bars !== 'object') throw unlike('an answer without bars');
      try {
        for (const [symbol, rows] of Object.entries((answer.bars ?? {}) as Record<string, Message[]>))
          for (const row of rows) bars.push(...barOf(symbol, row));
      } catch (error) {
        throw unlike((error as Error).message, error);
      }
      if (typeof answer.next_page_token !== 'string') break;
      query.set('page_token', answer.next_page_token);
    }
  }
  return bars;
}

async function ask({ key, secret, dataUrl }: Means, query: URLSearchParams, signal: AbortSignal): Promise<Message> {
  let response: Response;
  try {
    response = await fetch(`${dataUrl}/v2/stocks/bars?${query}`, {
      headers: { 'APCA-API-KEY-ID': key, 'APCA-API-SECRET-KEY': secret },
      signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
    });
    if (response.ok) return (await response.json()) as Message;
    await response.body?.cancel();
  } catch (error) {
    if (error instanceof SyntaxError) throw unlike('an answer that is not JSON', error);
    throw new BarcastError(
      'BARCAST_E_NETWORK',
      `Alpaca cannot be reached: ${(error as Error).message}`,
      'check the connection',
      {
        cause: error,
      },
    );
  }
  const { status } = response;
  if (status === 429)
    throw new BarcastError(
      'BARCAST_E_RATE_LIMITED',
      'Alpaca refuses further requests for now (HTTP 429)',
      'wait a minute',
    );
  if (status === 401 || status === 403)
    throw new BarcastError(
      'BARCAST_E_USAGE',
      `Alpaca refuses the keys, or the feed, for past bars (HTTP ${status})`,
      'check APCA_API_KEY_ID, APCA_API_SECRET_KEY and APCA_FEED',
    );
  throw new BarcastError('BARCAST_E_NETWORK', `Alpaca answered HTTP ${status}`, 'try again later');
}
