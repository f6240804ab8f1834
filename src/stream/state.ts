/**
 * What is known right now: the latest forecasts, the recent bars, the scores, the state of the source. The server
 * shows it; the bus feeds it. Bounded: a ring of bars and a ring of forecasts a symbol.
 */

import { type Bar, parseSymbol } from '../bars/index.ts';
import { type Clock, type EpochMs, isoOf, systemClock, toBarcastError } from '../base/index.ts';
import type { Forecast, ForecastingModel } from './forecast.ts';
import type { ForecasterCounts, ForecasterResult } from './forecaster.ts';
import { RecentBars } from './recent-bars.ts';
import { Scoreboard, type ScoredForecast } from './scoreboard.ts';
import type { LiveScore } from './tally.ts';

/** What the server tells of the model. `details` is free: recipe, training range, validation. */
export interface ModelInfo extends ForecastingModel {
  readonly details?: { readonly [name: string]: unknown };
}

export interface SourceStatus {
  readonly name: string;
  /** `retrying` and `failed` say why in `detail`. */
  readonly state: 'starting' | 'running' | 'retrying' | 'ended' | 'failed';
  readonly detail: string | null;
}

/** What changed; told to listeners after the state has changed. */
export type LiveEvent =
  | { readonly type: 'bars'; readonly bars: readonly Bar[] }
  | { readonly type: 'forecasts'; readonly forecasts: readonly Forecast[] }
  | {
      readonly type: 'scores';
      readonly scores: readonly ScoredForecast[];
      readonly overall: { readonly session: LiveScore; readonly total: LiveScore };
    }
  /** One call of the model: how many forecasts it made, in how many milliseconds. */
  | { readonly type: 'prediction'; readonly forecasts: number; readonly predictionMs: number }
  | { readonly type: 'status' };

export interface LiveStateOptions {
  /** Symbols that are followed; others join when their first bar comes. */
  readonly symbols?: readonly string[];
  /** Minutes without a trade in a row that are no gap: `recipe.quiet.longestRun`. */
  readonly longestQuietRun?: number;
  /** The market's clock; the system's unless the source lives in another time. */
  readonly clock?: Clock;
  readonly barsPerSymbol?: number;
  readonly forecastsPerSymbol?: number;
}

/** What is kept of a symbol unless told otherwise: a session of bars, two hours of forecasts. */
const BARS_KEPT = 390;
const FORECASTS_KEPT = 120;

export class LiveState {
  readonly bars: RecentBars;
  /** The market's clock: the source's, once there is one. */
  clock: Clock;
  /** What became of the bars; set by the one who runs the forecaster. */
  counts: Readonly<ForecasterCounts> | undefined;
  readonly #options: LiveStateOptions;
  readonly #followed: Set<string>;
  /** Newest last. */
  readonly #forecasts = new Map<string, Forecast[]>();
  readonly #listeners = new Set<(event: LiveEvent) => void>();
  #model: ModelInfo | undefined;
  #scoreboard: Scoreboard | undefined;
  #source: SourceStatus = { name: 'none', state: 'starting', detail: null };
  #predictionFailure: string | undefined;
  #lastBarMinute: number | undefined;

  constructor(options: LiveStateOptions = {}) {
    this.#options = options;
    this.bars = new RecentBars(options.barsPerSymbol ?? BARS_KEPT);
    this.clock = options.clock ?? systemClock;
    this.#followed = new Set(options.symbols);
  }

  /** Sets the model; its scoreboard starts from nothing. Forecasts of an earlier model are forgotten. */
  setModel(model: ModelInfo): void {
    this.#model = model;
    this.#forecasts.clear();
    const { longestQuietRun = 0 } = this.#options;
    this.#scoreboard = new Scoreboard({ model, bars: this.bars, longestQuietRun });
    this.#tell({ type: 'status' });
  }

  get model(): ModelInfo | undefined {
    return this.#model;
  }

  get scoreboard(): Scoreboard | undefined {
    return this.#scoreboard;
  }

  get source(): SourceStatus {
    return this.#source;
  }

  setSource(source: SourceStatus): void {
    this.#source = source;
    this.#tell({ type: 'status' });
  }

  /** Notes what the forecaster just did: readiness tells of a failure until a prediction works again. */
  notePrediction({ forecasts, predictionMs, failure }: ForecasterResult): void {
    if (failure === undefined && forecasts.length === 0) return;
    const failed = failure === undefined ? undefined : toBarcastError(failure).line;
    const changed = failed !== this.#predictionFailure;
    this.#predictionFailure = failed;
    if (forecasts.length > 0) this.#tell({ type: 'prediction', forecasts: forecasts.length, predictionMs });
    if (changed) this.#tell({ type: 'status' });
  }

  /** Forgets nothing, follows more. */
  follow(symbols: Iterable<string>): void {
    for (const symbol of symbols) this.#followed.add(symbol);
  }

  /** Followed symbols in alphabetical order. */
  symbols(): string[] {
    return [...this.#followed].sort();
  }

  /** The followed symbol that a text names in any spelling (`brk.b`), or undefined. */
  findSymbol(text: string): string | undefined {
    if (this.#followed.has(text)) return text;
    try {
      const symbol = parseSymbol(text);
      return this.#followed.has(symbol) ? symbol : undefined;
    } catch {
      return undefined;
    }
  }

  /** The market's time, ISO 8601 UTC. */
  marketTime(): string {
    return isoOf(this.clock.now());
  }

  /** End of the newest bar, milliseconds since the epoch. */
  get lastBarEnd(): EpochMs | undefined {
    return this.#lastBarMinute === undefined ? undefined : (((this.#lastBarMinute + 1) * 60_000) as EpochMs);
  }

  /** Keeps the bars that are new and scores the forecasts whose minute they end. */
  acceptBars(bars: readonly Bar[]): void {
    const fresh = bars.filter((bar) => this.bars.add(bar));
    if (fresh.length === 0) return;
    for (const bar of fresh) {
      this.#followed.add(bar.symbol);
      this.#lastBarMinute = Math.max(this.#lastBarMinute ?? bar.minute, bar.minute);
    }
    this.#tell({ type: 'bars', bars: fresh });
    this.#settle(fresh);
  }

  /** Keeps the forecasts that are newer than their symbol's newest. */
  acceptForecasts(forecasts: readonly Forecast[]): void {
    const fresh = forecasts.filter((forecast) => this.#keep(forecast));
    if (fresh.length === 0) return;
    this.#tell({ type: 'forecasts', forecasts: fresh });
    // A forecast may arrive after the bar that ends its horizon, when a source catches up.
    this.#settle(fresh);
  }

  /** The latest forecast of every symbol, or of those asked for, in alphabetical order. */
  latest(symbols: Iterable<string> = this.#forecasts.keys()): Forecast[] {
    const found = [...new Set(symbols)].sort().map((symbol) => this.#forecasts.get(symbol)?.at(-1));
    return found.filter((forecast) => forecast !== undefined);
  }

  /** The newest forecasts of a symbol, newest first. */
  recent(symbol: string, limit = Number.MAX_SAFE_INTEGER): Forecast[] {
    return (this.#forecasts.get(symbol) ?? []).slice(-limit).reverse();
  }

  /** Symbols that have a forecast. */
  get forecasting(): number {
    return this.#forecasts.size;
  }

  /** Whether forecasts can come, and what stands in their way. */
  readiness(): { readonly ready: boolean; readonly reasons: string[] } {
    const reasons: string[] = [];
    if (this.#model === undefined) reasons.push('no model is loaded');
    const { name, state, detail } = this.#source;
    if (name === 'none') reasons.push('no source of bars is started');
    else if (state !== 'running')
      reasons.push(`the source of bars (${name}) is ${state}${detail ? `: ${detail}` : ''}`);
    if (this.#predictionFailure !== undefined) reasons.push(`the last prediction failed: ${this.#predictionFailure}`);
    return { ready: reasons.length === 0, reasons };
  }

  /** Calls the listener on every change until the returned function is called. A listener must not throw. */
  listen(listener: (event: LiveEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #keep(forecast: Forecast): boolean {
    if (this.#model === undefined || forecast.weightsHash !== this.#model.weightsHash) return false;
    const kept = this.#forecasts.get(forecast.symbol) ?? [];
    const newest = kept.at(-1);
    if (newest !== undefined && Date.parse(forecast.asOf) <= Date.parse(newest.asOf)) return false;
    kept.push(forecast);
    if (kept.length > (this.#options.forecastsPerSymbol ?? FORECASTS_KEPT)) kept.shift();
    this.#forecasts.set(forecast.symbol, kept);
    this.#followed.add(forecast.symbol);
    this.#scoreboard?.add(forecast);
    return true;
  }

  #settle(items: readonly { readonly symbol: string }[]): void {
    const scoreboard = this.#scoreboard;
    if (scoreboard === undefined) return;
    const scores = [...new Set(items.map((item) => item.symbol))].flatMap((symbol) => scoreboard.settle(symbol));
    if (scores.length > 0) this.#tell({ type: 'scores', scores, overall: scoreboard.overall() });
  }

  #tell(event: LiveEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}
