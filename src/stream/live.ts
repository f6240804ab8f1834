/**
 * The live chain in one process: source -> bus -> forecaster -> bus -> state. Every link runs until its input ends;
 * a link that fails ends the chain with its error.
 */

import { nextSession } from '../bars/index.ts';
import { type EpochMinute, epochMinute, msToMinute, toBarcastError } from '../base/index.ts';
import type { LiveSource } from '../sources/index.ts';
import type { Bus } from './bus.ts';
import { feedBars } from './feed.ts';
import { Forecaster } from './forecaster.ts';
import type { NewWindows } from './market-windows.ts';
import type { ModelSource } from './model-source.ts';
import { minutesOf, type Pace, type PastBars } from './replay.ts';
import { keepScoreboard } from './scoreboard-file.ts';
import type { LiveState } from './state.ts';
import { feedState } from './state-feed.ts';

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

/** Starts the chain. @throws what the reader of `warmUp` throws, BARCAST_E_BUS, BARCAST_E_CHECKPOINT */
export async function startLive(options: LiveOptions): Promise<Live> {
  const { source, symbols, models, newWindows, bus, state, notice, pace } = options;
  const forecaster = new Forecaster(models, newWindows);
  state.clock = source.clock;
  state.counts = forecaster.counts;
  state.follow(symbols);
  state.setSource({ name: source.name, state: 'starting', detail: null });
  const kept = options.scoreboardFile === undefined ? undefined : keepScoreboard(state, options.scoreboardFile, notice);
  await warmUp(options, forecaster);

  // One batch ahead: the source is held up before the forecaster falls minutes behind.
  const toForecast = await bus.subscribe('bars', { name: 'forecaster', capacity: 1 });
  const showing = await feedState(bus, state);

  const broken = new AbortController();
  const signal = AbortSignal.any([options.signal, broken.signal]);
  const onStatus = state.setSource.bind(state);
  const feeding = feedBars({ source, symbols, bus, signal, notice, pace, onStatus });
  const forecasting = forecaster.run(toForecast, bus, (result) => {
    if (result.failure !== undefined) notice?.(`a prediction failed: ${toBarcastError(result.failure).line}`);
    state.notePrediction(result);
  });
  const run = async () => {
    try {
      // Ends with the source, or with the first link that fails.
      await Promise.race([feeding, forecasting.then(() => feeding), showing.done.then(() => feeding)]);
      toForecast.drain();
      await forecasting;
      showing.drain();
      await showing.done;
    } finally {
      broken.abort();
      toForecast.close();
      showing.close();
      kept?.close();
    }
  };
  return { forecaster, done: run() };
}

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
