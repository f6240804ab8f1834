/**
 * Yahoo's streaming quotes as a source of bars. A quote tells the last price and the day's volume so far: a trade is
 * made of each, with the volume that was added since the quote before. What was traded between two quotes is one trade
 * at the later price, so that high and low may be narrower than the exchange's.
 */
import { type Bar, sessionAt } from '../../bars/index.ts';
import {
  BarcastError,
  type Clock,
  type EpochMinute,
  epochMinute,
  isoOfMinute,
  MS_PER_MINUTE,
  systemClock,
} from '../../base/index.ts';
import type { HistorySource, LiveSource } from '../source.ts';
import { REGULAR } from '../trades/conditions.ts';
import { yahooSource } from '../yahoo/index.ts';
import { BuiltBars } from './built-bars.ts';
import { type FeedPace, type FeedTalk, feedBars } from './feed.ts';
import { decodePricingData } from './pricing-data.ts';

const YAHOO_STREAM = 'wss://streamer.finance.yahoo.com/?version=2';
/** Quotes come within a second or two. */
const LATENESS_MS = 3000;

export interface YahooStreamOptions {
  /** Another server that pushes such quotes. */
  readonly streamUrl?: string;
  /** Another server that speaks the chart API, for what the stream did not see. */
  readonly url?: string;
  /** Where those bars come from; default Yahoo's chart API through {@link yahooSource}, and its pace. */
  readonly history?: HistorySource;
  readonly clock?: Clock;
  readonly liveFrom?: EpochMinute;
  readonly pace?: Partial<FeedPace>;
  /** Told of every connection that stands, and of every one that is lost. */
  readonly notice?: (line: string) => void;
}

/** Bars of the regular session. @throws BARCAST_E_USAGE for an address that is none */
export function yahooStreamSource(options: YahooStreamOptions = {}): LiveSource {
  const { streamUrl = YAHOO_STREAM, url, clock = systemClock, liveFrom, pace } = options;
  const history = options.history ?? yahooSource({ url, clock });
  const next = new Map<string, EpochMinute>();
  const where = options.streamUrl ?? "Yahoo's stream of quotes";
  return {
    name: 'yahoo-stream',
    clock,
    live: (symbols, signal) =>
      feedBars(
        {
          where,
          url: streamUrl,
          clock,
          talk: (send, asked) => new YahooTalk(send, asked, clock, where),
          backfill: (asked, from, to, stop) => pastBars(history, asked, from, to, stop, options.notice),
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

class YahooTalk implements FeedTalk {
  ready = false;
  readonly #send: (text: string) => void;
  readonly #symbols: readonly string[];
  readonly #where: string;
  readonly #bars: BuiltBars;
  /** By symbol: the day's volume that its last quote told. */
  readonly #dayVolume = new Map<string, number>();

  constructor(send: (text: string) => void, symbols: readonly string[], clock: Clock, where: string) {
    this.#send = send;
    this.#symbols = symbols;
    this.#where = where;
    this.#bars = new BuiltBars(clock, LATENESS_MS);
  }

  opened(): void {
    this.keepAlive();
    // It sends what it has and confirms nothing.
    this.ready = true;
  }

  /** The stream forgets who does not ask again. */
  keepAlive(): void {
    this.#send(JSON.stringify({ subscribe: this.#symbols }));
  }

  take(text: string): void {
    const message = text.startsWith('{') ? messageOf(text) : text;
    if (message === undefined) return;
    let quote: ReturnType<typeof decodePricingData>;
    try {
      quote = decodePricingData(Buffer.from(message, 'base64'));
    } catch (error) {
      throw new BarcastError(
        'BARCAST_E_SOURCE_FORMAT',
        `${this.#where} sent what is no quote: ${(error as Error).message}`,
        'try again later; if it persists the service has changed and barcast needs an update',
        { cause: error },
      );
    }
    const { id, price, timeMs, dayVolume } = quote;
    if (!(price > 0 && timeMs > 0)) return;
    const before = this.#dayVolume.get(id);
    if (!Number.isNaN(dayVolume)) this.#dayVolume.set(id, dayVolume);
    // The first quote tells a volume that nobody knows the trades of; a smaller one is another day's.
    const size = before === undefined || !(dayVolume > before) ? 0 : dayVolume - before;
    const { symbols, batch } = this.#bars;
    batch.add(symbols.numberOf(id), timeMs, price, size, REGULAR, Number.NaN);
  }

  drain(now: Parameters<FeedTalk['drain']>[0]): Bar[] {
    return this.#bars.drain(now);
  }
}

/** What is in the envelope of the stream's second version. */
function messageOf(text: string): string | undefined {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    return typeof message === 'string' ? message : undefined;
  } catch {
    return undefined;
  }
}

/** Complete bars of the regular session from a source of history, each minute once. What it could not get stays a gap, and is told. */
async function pastBars(
  history: HistorySource,
  symbols: readonly string[],
  from: EpochMinute,
  to: EpochMinute,
  signal: AbortSignal,
  notice: YahooStreamOptions['notice'],
): Promise<Bar[]> {
  const bars = new Map<string, Bar>();
  const answers = history.history({ symbols, from, to, signal });
  let answer = await answers.next();
  for (; !answer.done; answer = await answers.next()) {
    const rows = answer.value;
    for (let i = 0; i < rows.timeMs.length; i++) {
      const minute = epochMinute(rows.timeMs[i] / MS_PER_MINUTE);
      const whole = Number.isInteger(minute) && rows.timeMs[i] + MS_PER_MINUTE <= rows.askedAt && rows.close[i] > 0;
      if (!whole || sessionAt(minute) === undefined) continue;
      const [open, high, low, close, volume] = [rows.open, rows.high, rows.low, rows.close, rows.volume].map(
        (column) => column[i],
      );
      bars.set(`${rows.symbol} ${minute}`, { symbol: rows.symbol, minute, open, high, low, close, volume });
    }
  }
  for (const { symbol, reason } of answer.value.failed)
    notice?.(`${symbol} has a gap from ${isoOfMinute(from)} to ${isoOfMinute(to)}: ${reason}`);
  return [...bars.values()];
}
