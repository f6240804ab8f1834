/**
 * The live chain in one process: source -> bus -> forecaster -> bus -> state. Every link runs until its input ends;
 * a link that fails ends the chain with its error.
 *
 * A source that fails for a reason that may pass (the network, a rate limit, a garbled answer) is started again after
 * a pause that doubles from one second to a minute. Bars it repeats then are recognised and left out.
 */

import { nextSession } from '../bars/index.ts';
import {
  type BarcastError,
  type EpochMinute,
  type ErrorCode,
  epochMinute,
  msToMinute,
  toBarcastError,
} from '../base/index.ts';
import type { LiveSource } from '../sources/index.ts';
import type { Bus, Subscription } from './bus.ts';
import { Forecaster } from './forecaster.ts';
import type { NewWindows } from './market-windows.ts';
import type { ModelSource } from './model-source.ts';
import { minutesOf, type Pace, type PastBars, realPace } from './replay.ts';
import { keepScoreboard } from './scoreboard-file.ts';
import type { LiveState } from './state.ts';

export interface LiveOptions {
  readonly source: LiveSource;
  readonly symbols: readonly string[];
  /** Whose models forecast; its owner closes it. */
  readonly models: ModelSource;
  readonly newWindows?: NewWindows;
  readonly bus: Bus;
  /** Fed here; its clock becomes the source's. Set its model first. */
  readonly state: LiveState;
  /** Stops the chain. */
  readonly signal: AbortSignal;
  /**
   * Bars of the present session that the store has already: windows and charts are warm at once. From the session's
   * open, or from `from`, up to the source's present time.
   */
  readonly warmUp?: { readonly reader: PastBars; readonly from?: EpochMinute };
  /** Told of everything a person should know: a source that failed, a prediction that failed. One line each. */
  readonly notice?: (line: string) => void;
  readonly pace?: Pace;
  /** Keeps the scores over restarts: read at the start, written while it runs and at its end. */
  readonly scoreboardFile?: string;
}

export interface Live {
  readonly forecaster: Forecaster;
  /** Resolves when the source ended or the signal aborted and every bar was served; rejects with what ended it. */
  readonly done: Promise<void>;
}

const MAY_PASS: ReadonlySet<ErrorCode> = new Set([
  'BARCAST_E_NETWORK',
  'BARCAST_E_RATE_LIMITED',
  'BARCAST_E_SOURCE_FORMAT',
]);
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;

/** Starts the chain. @throws what the reader of `warmUp` throws, BARCAST_E_BUS, BARCAST_E_CHECKPOINT */
export async function startLive(options: LiveOptions): Promise<Live> {
  const { source, symbols, models, newWindows, bus, state, notice } = options;
  const forecaster = new Forecaster(models, newWindows);
  state.clock = source.clock;
  state.counts = forecaster.counts;
  state.follow(symbols);
  state.setSource({ name: source.name, state: 'starting', detail: null });
  const kept = options.scoreboardFile === undefined ? undefined : keepScoreboard(state, options.scoreboardFile, notice);
  await warmUp(options, forecaster);

  // One batch ahead: the source is held up before the forecaster falls minutes behind.
  const toForecast = await bus.subscribe('bars', { name: 'forecaster', capacity: 1 });
  const barsToShow = await bus.subscribe('bars', { name: 'state-bars' });
  const forecastsToShow = await bus.subscribe('forecasts', { name: 'state-forecasts' });

  const broken = new AbortController();
  const feeding = feed({ ...options, signal: AbortSignal.any([options.signal, broken.signal]) });
  const forecasting = forecaster.run(toForecast, bus, (result) => {
    if (result.failure !== undefined) notice?.(`a prediction failed: ${toBarcastError(result.failure).line}`);
    state.notePrediction(result);
  });
  const showing = Promise.all([
    forEachBatch(barsToShow, (bars) => state.acceptBars(bars)),
    forEachBatch(forecastsToShow, (forecasts) => state.acceptForecasts(forecasts)),
  ]);
  const run = async () => {
    try {
      // Ends with the source, or with the first link that fails.
      await Promise.race([feeding, forecasting.then(() => feeding), showing.then(() => feeding)]);
      toForecast.drain();
      await forecasting;
      barsToShow.drain();
      forecastsToShow.drain();
      await showing;
    } finally {
      broken.abort();
      for (const subscription of [toForecast, barsToShow, forecastsToShow]) subscription.close();
      kept?.close();
    }
  };
  return { forecaster, done: run() };
}

async function forEachBatch<T>(subscription: Subscription<T>, take: (items: readonly T[]) => void): Promise<void> {
  for await (const { items } of subscription) take(items);
}

/** Publishes what the source yields until it ends, starting it again after failures that may pass. */
async function feed({ source, symbols, bus, state, signal, notice, pace = realPace }: LiveOptions): Promise<void> {
  const { name } = source;
  let pauseMs = FIRST_PAUSE_MS;
  while (!signal.aborted) {
    try {
      state.setSource({ name, state: 'running', detail: null });
      for await (const bars of source.live(symbols, signal)) {
        pauseMs = FIRST_PAUSE_MS;
        await bus.publish('bars', bars);
        if (signal.aborted) break;
      }
      const detail = signal.aborted ? 'stopped' : 'it has no more bars';
      state.setSource({ name, state: 'ended', detail });
      return;
    } catch (error) {
      const failure = toBarcastError(error);
      if (signal.aborted) return state.setSource({ name, state: 'ended', detail: 'stopped' });
      if (!MAY_PASS.has(failure.code)) {
        state.setSource({ name, state: 'failed', detail: failure.line });
        throw failure;
      }
      state.setSource({ name, state: 'retrying', detail: failure.line });
      notice?.(retryLine(name, failure, pauseMs));
      await pace.sleep(pauseMs, signal);
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    }
  }
  state.setSource({ name, state: 'ended', detail: 'stopped' });
}

const retryLine = (name: string, failure: BarcastError, pauseMs: number): string =>
  `the source of bars (${name}) failed and is tried again in ${pauseMs / 1000} s: ${failure.line}`;

async function warmUp({ source, symbols, state, warmUp }: LiveOptions, forecaster: Forecaster): Promise<void> {
  if (warmUp === undefined) return;
  const now = msToMinute(source.clock.now());
  const from = warmUp.from ?? nextSession(now).open;
  if (from >= now) return;
  const bars = await warmUp.reader.read({ symbols, from: epochMinute(from), to: now });
  for (const minute of minutesOf(bars)) {
    forecaster.preload(minute);
    state.acceptBars(minute);
  }
}
