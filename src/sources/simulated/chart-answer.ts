/**
 * Yahoo's chart JSON from the simulated market: the same fields, in the same units, with the same habits. Rows are
 * stamped at the open; a minute without a trade has no row; the first row of an answer has volume 0; the running
 * minute's bar is stamped with the current second.
 *
 * Dividends and splits are told and change nothing else: Yahoo's prices are adjusted for splits when they are asked for.
 *
 * Limits: regular sessions of one-minute bars.
 */

import { dayOf, newYorkOffsetMinutes, nextSession, type Session, sessionsBetween } from '../../bars/index.ts';
import { type EpochMinute, type EpochMs, hashText, MS_PER_MINUTE, msToMinute, Random } from '../../base/index.ts';
import { INDEX_SYMBOL } from './character.ts';
import type { DayPath } from './day-path.ts';
import type { FaultDice } from './faults.ts';
import type { Market } from './market.ts';

export interface ChartQuery {
  /** Canonical and listed. */
  readonly symbol: string;
  /** Unix seconds: rows with period1 <= timestamp < period2. */
  readonly period1: number;
  readonly period2: number;
  readonly now: EpochMs;
  readonly dice: FaultDice;
  /** Stamp the running bar with its whole minute. */
  readonly disguisePartial: boolean;
  /** Kinds of events that are wanted: `div`, `split`. */
  readonly events?: readonly string[];
}

interface Rows {
  timestamp: number[];
  open: (number | null)[];
  high: (number | null)[];
  low: (number | null)[];
  close: (number | null)[];
  volume: (number | null)[];
}

/** The body of a successful answer. */
export function chartAnswer(market: Market, query: ChartQuery): object {
  const { timestamp, ...quote } = rowsOf(market, query);
  const meta = metaOf(market, query);
  const events = eventsOf(market, query);
  const about = Object.keys(events).length > 0 ? { meta, events } : { meta };
  const result =
    timestamp.length > 0
      ? { ...about, timestamp, indicators: { quote: [quote] } }
      : { ...about, indicators: { quote: [{}] } };
  return { chart: { result: [result], error: null } };
}

/** The body of a refusal. */
export const chartError = (code: string, description: string): object => ({
  chart: { result: null, error: { code, description } },
});

function rowsOf(market: Market, query: ChartQuery): Rows {
  const { symbol, now, dice } = query;
  const rows: Rows = { timestamp: [], open: [], high: [], low: [], close: [], volume: [] };
  const first = Math.ceil(query.period1 / 60);
  const end = Math.min(query.period2, Math.floor(now / 1000) + 1);
  const running = msToMinute(now);
  const sessions = query.period1 < end ? sessionsAround(first as EpochMinute, Math.floor(end / 60) as EpochMinute) : [];
  for (const session of sessions) {
    const path = market.day(symbol, session);
    const from = Math.max(first, session.open);
    const to = Math.min(Math.ceil(end / 60), session.close, running);
    for (let minute = from; minute < to; minute++) {
      const t = minute - session.open;
      const lacks = path.traded[t] === 0 ? 'row' : dice.lacks(symbol, minute);
      if (lacks === 'row') continue;
      const times = dice.repeats(symbol, minute) ? 2 : 1;
      const known = lacks === undefined;
      for (let i = 0; i < times; i++) {
        rows.timestamp.push(minute * 60);
        rows.open.push(known ? path.open[t] : null);
        rows.high.push(known ? path.high[t] : null);
        rows.low.push(known ? path.low[t] : null);
        rows.close.push(known ? path.close[t] : null);
        rows.volume.push(known ? path.volume[t] : null);
      }
    }
    if (running >= session.open && running < session.close && Math.floor(now / 1000) < query.period2) {
      addRunningBar(rows, path, running - session.open, query);
    }
  }
  if (rows.volume.length > 0 && rows.volume[0] !== null) rows.volume[0] = 0;
  return rows;
}

/** One symbol-day in this many has a dividend, or a split, at its open. */
const EVENT_ONE_IN = { dividends: 60, splits: 400 } as const;
const SPLITS = [
  [2, 1],
  [3, 1],
  [4, 1],
  [1, 10],
] as const;

function eventsOf(market: Market, query: ChartQuery): Record<string, Record<string, object>> {
  const found: Record<string, Record<string, object>> = {};
  const { symbol, events = [] } = query;
  const end = Math.min(query.period2, Math.floor(query.now / 1000));
  if (!(query.period1 < end)) return found;
  const [first, last] = [Math.ceil(query.period1 / 60), Math.floor(end / 60)];
  for (const session of sessionsAround(first as EpochMinute, last as EpochMinute)) {
    const date = session.open * 60;
    if (date < query.period1 || date >= end) continue;
    const random = (kind: string) => new Random(market.seed, hashText(`${kind} ${symbol}`), 8 * session.open);
    if (events.includes('div')) {
      const dice = random('dividends');
      const amount = Math.round(100 * (0.05 + dice.uniform())) / 100;
      if (dice.below(EVENT_ONE_IN.dividends) === 0) (found.dividends ??= {})[date] = { amount, date };
    }
    if (events.includes('split')) {
      const dice = random('splits');
      const [numerator, denominator] = SPLITS[dice.below(SPLITS.length)]!;
      if (dice.below(EVENT_ONE_IN.splits) === 0)
        (found.splits ??= {})[date] = { date, numerator, denominator, splitRatio: `${numerator}:${denominator}` };
    }
  }
  return found;
}

const sessionsAround = (first: EpochMinute, last: EpochMinute): Session[] => sessionsBetween(dayOf(first), dayOf(last));

/** The minute that has not ended: its open, and as much of its way to the close as time has passed. */
function addRunningBar(rows: Rows, path: DayPath, t: number, query: ChartQuery): void {
  const second = Math.floor(query.now / 1000);
  const share = (second % 60) / 60;
  const minute = path.session.open + t;
  if (path.traded[t] === 0 || second < query.period1) return;
  const wiggle = new Random(hashText(query.symbol), 0, 4 * second).uniform() - 0.5;
  const between = path.open[t] + share * (path.close[t] - path.open[t]);
  const reach = Math.sqrt(share * (1 - share)) * (path.high[t] - path.low[t]);
  const limited = Math.min(path.high[t], Math.max(path.low[t], between + wiggle * reach));
  const price = Math.round(limited * 1e4) / 1e4;
  rows.timestamp.push(query.disguisePartial ? minute * 60 : second);
  rows.open.push(path.open[t]);
  rows.high.push(Math.max(path.open[t], price));
  rows.low.push(Math.min(path.open[t], price));
  rows.close.push(price);
  rows.volume.push(Math.floor(share * path.volume[t]));
}

/** The session that runs or ran last, for prices, and the one that runs or comes, for trading periods. */
function metaOf(market: Market, query: ChartQuery): object {
  const { symbol, now } = query;
  const minute = msToMinute(now);
  const sessions = sessionsBetween(dayOf((minute - 12 * 1440) as EpochMinute), dayOf(minute));
  const past = sessions.filter((session) => session.open <= minute);
  const [before, latest] = past.slice(-2);
  const current = nextSession(minute);
  const path = market.day(symbol, latest);
  const ended = Math.min(path.close.length, minute - latest.open);
  const upTo = Math.max(1, ended);
  const previousClose = market.day(symbol, before).close.at(-1)!;
  const regularMarketPrice = ended > 0 ? path.close[upTo - 1] : path.open[0];
  let volume = 0;
  let high = Number.NEGATIVE_INFINITY;
  let low = Number.POSITIVE_INFINITY;
  for (let t = 0; t < upTo; t++) {
    volume += path.volume[t];
    high = Math.max(high, path.high[t]);
    low = Math.min(low, path.low[t]);
  }
  const zone = (at: EpochMinute) => {
    const minutes = newYorkOffsetMinutes(at);
    return { timezone: minutes === -240 ? 'EDT' : 'EST', gmtoffset: minutes * 60 };
  };
  const here = zone(minute);
  const period = (from: number, to: number) => ({ ...zone(current.open), start: from * 60, end: to * 60 });
  const isFund = symbol === INDEX_SYMBOL;
  return {
    currency: 'USD',
    symbol,
    exchangeName: isFund ? 'PCX' : 'NMS',
    fullExchangeName: isFund ? 'NYSEArca' : 'NasdaqGS',
    instrumentType: isFund ? 'ETF' : 'EQUITY',
    firstTradeDate: 345479400,
    regularMarketTime: Math.floor(Math.min(now, latest.close * MS_PER_MINUTE) / 1000),
    hasPrePostMarketData: true,
    gmtoffset: here.gmtoffset,
    timezone: here.timezone,
    exchangeTimezoneName: 'America/New_York',
    regularMarketPrice,
    fiftyTwoWeekHigh: high,
    fiftyTwoWeekLow: low,
    regularMarketDayHigh: high,
    regularMarketDayLow: low,
    regularMarketVolume: volume,
    longName: `${symbol} (simulated)`,
    shortName: symbol,
    chartPreviousClose: previousClose,
    previousClose,
    scale: 3,
    priceHint: 2,
    currentTradingPeriod: {
      pre: period(current.open - 330, current.open),
      regular: period(current.open, current.close),
      post: period(current.close, current.close + 240),
    },
    tradingPeriods: [[period(current.open, current.close)]],
    dataGranularity: '1m',
    range: '',
    validRanges: ['1d', '5d', '1mo', '3mo', '6mo', '1y', '2y', '5y', '10y', 'ytd', 'max'],
  };
}
