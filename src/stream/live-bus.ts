/**
 * One node on a NATS bus: what it shows comes from the bus, from the present session's first bar on, whoever published
 * it; it may forecast with the others; and it may feed bars of its own source.
 */
import { statSync } from 'node:fs';
import { type Clock, type EpochMs, epochMs, systemClock, toBarcastError } from '../base/index.ts';
import type { LiveSource } from '../sources/index.ts';
import { feedBars } from './feed.ts';
import type { NewWindows } from './market-windows.ts';
import type { ModelSource } from './model-source.ts';
import type { NatsBus } from './nats-bus.ts';
import { streamOf } from './nats-connection.ts';
import { keepScoreboard } from './scoreboard-file.ts';
import { startSharedForecaster } from './shared-forecaster.ts';
import { presentSessionSince } from './shared-recovery.ts';
import type { LiveState } from './state.ts';
import { feedState } from './state-feed.ts';

export interface LiveOnBusOptions {
  readonly bus: NatsBus;
  readonly state: LiveState;
  /** Forecasts with the others of its group; without it the node only shows. */
  readonly forecasting?: { readonly models: ModelSource; readonly group: string; readonly newWindows?: NewWindows };
  /** Bars that this node brings to the bus; without it they come from others. */
  readonly source?: LiveSource;
  /** Followed from the start; others join with their first bar. What a source is asked for. */
  readonly symbols: readonly string[];
  readonly signal: AbortSignal;
  readonly notice?: (line: string) => void;
  /** Keeps the scores over restarts. Where it is not there yet, they are made from what the streams hold. */
  readonly scoreboardFile?: string;
}

/** Resolves when the signal aborted and what was taken is done; rejects with what ended it. @throws also what the streams throw at the start */
export async function startLiveOnBus(options: LiveOnBusOptions): Promise<{ readonly done: Promise<void> }> {
  const { bus, state, forecasting, source, symbols, notice, scoreboardFile } = options;
  const broken = new AbortController();
  const signal = AbortSignal.any([options.signal, broken.signal]);
  state.follow(symbols);
  const watching = watchConnection(bus, state, source === undefined);
  const session = await presentSessionSince(bus.nats);
  const stopped =
    scoreboardFile === undefined ? undefined : (lastWritten(scoreboardFile) ?? (await wholePast(bus, notice)));
  const since = epochMs(Math.min(session ?? Date.now(), stopped ?? Number.POSITIVE_INFINITY));
  const kept =
    scoreboardFile === undefined
      ? undefined
      : keepScoreboard(state, scoreboardFile, notice, { everyBarComes: stopped !== undefined });
  const showing = await feedState(bus, state, { since });
  state.clock = source?.clock ?? barClock(state);
  const parts: Promise<unknown>[] = [showing.done.then(() => ended(signal))];
  if (forecasting !== undefined) {
    const forecaster = await startSharedForecaster({
      bus,
      ...forecasting,
      signal,
      notice,
      tell: (result) => {
        if (result.failure !== undefined) notice?.(`a prediction failed: ${toBarcastError(result.failure).line}`);
        state.notePrediction(result);
      },
    });
    state.counts = forecaster.counts;
    parts.push(forecaster.done);
  }
  if (source !== undefined) {
    const onStatus = state.setSource.bind(state);
    parts.push(feedBars({ source, symbols, bus, signal, notice, onStatus }).then(() => ended(signal)));
  }
  const run = async () => {
    try {
      await Promise.race([ended(signal), ...parts]);
    } finally {
      broken.abort();
      showing.close();
      // What was taken is answered; an error of a second part would only repeat the first one's.
      await Promise.allSettled(parts);
      kept?.close();
      await bus.close();
      await watching;
    }
  };
  return { done: run() };
}

const ended = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

/** Tells the state whether the bus is there; where the bars come from the bus, it is the source too. */
async function watchConnection(bus: NatsBus, state: LiveState, isSource: boolean): Promise<void> {
  const tell = (connected: boolean) => {
    const detail = connected ? null : 'the NATS server does not answer';
    state.setBus({ name: bus.name, state: connected ? 'connected' : 'reconnecting', detail });
    if (isSource) state.setSource({ name: 'bus', state: connected ? 'running' : 'retrying', detail });
  };
  tell(true);
  for await (const { type } of bus.nats.connection.status()) {
    if (type === 'disconnect') tell(false);
    if (type === 'reconnect') tell(true);
  }
}

/** Time as the bars tell it: the present one while they are fresh, and else the end of the newest, as in a replay. */
function barClock(state: LiveState): Clock {
  return {
    now(): EpochMs {
      const now = systemClock.now();
      const newest = state.lastBarEnd;
      return newest === undefined || Math.abs(now - newest) < FRESH_MS ? now : newest;
    },
  };
}

const FRESH_MS = 10 * 60_000;

/** When the scores of an earlier run were written last, less what clocks may differ; undefined when there was none. */
function lastWritten(path: string): number | undefined {
  try {
    return statSync(path).mtimeMs - MARGIN_MS;
  } catch {
    return undefined;
  }
}

const MARGIN_MS = 60_000;

/**
 * A node that has no scores of its own makes them from all that the streams hold, so that it shows what the others do;
 * undefined when that would take it minutes.
 */
async function wholePast({ nats }: NatsBus, notice: (line: string) => void = () => {}): Promise<number | undefined> {
  const { state } = await nats.manager.streams.info(streamOf('bars'));
  if (state.messages <= MOST_BARS_READ) return 0;
  const bars = state.messages.toLocaleString('en-US');
  notice(
    `scores begin with this session: the bus holds ${bars} bars; take over another node's file to have its totals`,
  );
  return undefined;
}

/** About a week of 500 symbols: half a minute. */
const MOST_BARS_READ = 1_500_000;
