/**
 * Past bars of the store as if they came in now: a source for `serve`, and the straight path of `barcast replay`.
 *
 * All bars of a minute come together, when the minute has ended in the replay's own time. A UTC day is read at a time,
 * which holds a whole session: memory is one day of the symbols asked for.
 */

import type { Bar, MarketBars } from '../bars/index.ts';
import {
  BarcastError,
  type Clock,
  type EpochMinute,
  type EpochMs,
  epochMinute,
  epochMs,
  isoOfMinute,
} from '../base/index.ts';
import type { LiveSource } from '../sources/index.ts';
import type { Forecast, Predictor } from './forecast.ts';
import { Forecaster } from './forecaster.ts';
import type { NewWindows } from './market-windows.ts';
import { fixedModel } from './model-source.ts';

/** What a replay needs of the store: the `read` of its reader. */
export interface PastBars {
  /** Bars with `from <= minute < to`. */
  read(range: {
    readonly symbols: readonly string[];
    readonly from: EpochMinute;
    readonly to: EpochMinute;
  }): MarketBars | Promise<MarketBars>;
}

export interface ReplayRange {
  readonly reader: PastBars;
  /** First minute replayed. */
  readonly from: EpochMinute;
  /** First minute not replayed. */
  readonly to: EpochMinute;
}

/** How real time passes; tests inject their own. */
export interface Pace {
  /** Milliseconds on a clock that never jumps. */
  now(): number;
  /** Resolves after that long, or at once when the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export interface ReplayOptions extends ReplayRange {
  /** Market minutes a real minute; Infinity: as fast as the consumer takes them. */
  readonly speed: number;
  readonly pace?: Pace;
}

const MINUTES_PER_UTC_DAY = 1440;
const MS_PER_MINUTE = 60_000;
/** A hole in the whole market longer than this (a night, a weekend, an outage) is passed over in one minute. */
const LONGEST_PAUSE_MINUTES = 30;

export const realPace: Pace = {
  now: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done);
    }),
};

/** The bars of [from, to), minute by minute, in the order of the symbols within a minute. */
export async function* replayMinutes(range: ReplayRange, symbols: readonly string[]): AsyncGenerator<Bar[]> {
  for (let from: number = range.from; from < range.to; ) {
    const to = Math.min(range.to, (Math.floor(from / MINUTES_PER_UTC_DAY) + 1) * MINUTES_PER_UTC_DAY);
    yield* minutesOf(await range.reader.read({ symbols, from: epochMinute(from), to: epochMinute(to) }));
    from = to;
  }
}

/** The bars of a market, minute by minute. */
export function* minutesOf(bars: MarketBars): Generator<Bar[]> {
  const cursor = bars.offsets.slice(0, bars.symbols.length);
  while (true) {
    let minute = Number.POSITIVE_INFINITY;
    for (let s = 0; s < cursor.length; s++) {
      if (cursor[s] < bars.offsets[s + 1]) minute = Math.min(minute, bars.minute[cursor[s]]);
    }
    if (minute === Number.POSITIVE_INFINITY) return;
    const together: Bar[] = [];
    for (let s = 0; s < cursor.length; s++) {
      const row = cursor[s];
      if (row < bars.offsets[s + 1] && bars.minute[row] === minute) {
        together.push(barAt(bars, s, row));
        cursor[s]++;
      }
    }
    yield together;
  }
}

function barAt(bars: MarketBars, symbol: number, row: number): Bar {
  return {
    symbol: bars.symbols[symbol],
    minute: epochMinute(bars.minute[row]),
    open: bars.open[row],
    high: bars.high[row],
    low: bars.low[row],
    close: bars.close[row],
    volume: bars.volume[row],
  };
}

/**
 * The store as a live source. Its clock is the market's: the end of the newest minute, and between two minutes it
 * runs on at the replay's speed. Ends when the range has been replayed. @throws BARCAST_E_USAGE, BARCAST_E_DATE,
 * and when it runs BARCAST_E_STORE_EMPTY and what the reader throws
 */
export function replaySource(options: ReplayOptions): LiveSource {
  const { from, to, speed, pace = realPace } = options;
  if (!(speed > 0)) throw new BarcastError('BARCAST_E_USAGE', `a speed of ${speed}`, 'choose a speed above 0, as 60');
  if (!(to > from))
    throw new BarcastError('BARCAST_E_DATE', 'the range to replay is empty', 'choose --to after --from');
  let market = from * MS_PER_MINUTE;
  let since = pace.now();
  const clock: Clock = {
    now(): EpochMs {
      const passed = Number.isFinite(speed) ? (pace.now() - since) * speed : 0;
      return epochMs(market + Math.min(Math.max(passed, 0), MS_PER_MINUTE - 1));
    },
  };
  async function* live(symbols: readonly string[], signal: AbortSignal): AsyncGenerator<Bar[]> {
    let previous: number | undefined;
    let dueAt = pace.now();
    for await (const bars of replayMinutes(options, symbols)) {
      const minute = bars[0].minute;
      if (previous !== undefined && Number.isFinite(speed)) {
        const gap = minute - previous;
        dueAt += ((gap > LONGEST_PAUSE_MINUTES ? 1 : gap) * MS_PER_MINUTE) / speed;
        const wait = dueAt - pace.now();
        if (wait > 0) await pace.sleep(wait, signal);
        // A consumer slower than the replay is not chased with a burst of minutes afterwards.
        else dueAt = pace.now();
      }
      if (signal.aborted) return;
      previous = minute;
      market = (minute + 1) * MS_PER_MINUTE;
      since = pace.now();
      yield bars;
    }
    if (previous === undefined) {
      const range = `from ${isoOfMinute(from)} to ${isoOfMinute(to)}`;
      throw new BarcastError(
        'BARCAST_E_STORE_EMPTY',
        `the store holds no bars ${range}`,
        'ingest some, or choose another range',
      );
    }
  }
  return { name: 'replay', clock, live };
}

/**
 * A past session through the live path as fast as it goes: the forecasts of each minute. The first ones come when the
 * windows are warm; start at a session's open to see what a server saw that day.
 *
 * @throws what the reader and the model throw
 */
export async function* replayForecasts(
  options: ReplayRange & {
    readonly symbols: readonly string[];
    /** Symbols whose bars the forecasts rest on, where they are more than those to forecast. */
    readonly read?: readonly string[];
    readonly predictor: Predictor;
    readonly newWindows?: NewWindows;
    readonly signal?: AbortSignal;
  },
): AsyncGenerator<readonly Forecast[]> {
  const forecaster = new Forecaster(fixedModel(options.predictor), options.newWindows);
  const wanted = new Set(options.symbols);
  for await (const bars of replayMinutes(options, options.read ?? options.symbols)) {
    if (options.signal?.aborted) return;
    const { forecasts, failure } = await forecaster.accept(bars);
    if (failure !== undefined) throw failure;
    const asked = options.read ? forecasts.filter(({ symbol }) => wanted.has(symbol)) : forecasts;
    if (asked.length > 0) yield asked;
  }
}
