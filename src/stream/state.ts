/**
 * What is known right now: the latest forecasts, the recent bars, the scores, the state of the source and of the bus.
 * The server shows it; the bus feeds it. Bounded: a ring of bars and a ring of forecasts a symbol.
 */

import { type Bar, parseSymbol, sessionAt } from '../bars/index.ts';
import { type Clock, type EpochMs, epochMinute, isoOf, systemClock, toBarcastError } from '../base/index.ts';
import type { MonitorName } from './drift.ts';
import type { Forecast, ForecastingModel } from './forecast.ts';
import type { ForecasterCounts, ForecasterResult } from './forecaster.ts';
import { RecentBars } from './recent-bars.ts';
import type { BothScores, Scoreboard, ScoredForecast } from './scoreboard.ts';
import { keyOf, Scoreboards, type Settled } from './scoreboards.ts';

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

export interface BusStatus {
  readonly name: string;
  /** `reconnecting` and `closed` say why in `detail`. */
  readonly state: 'connected' | 'reconnecting' | 'closed';
  readonly detail: string | null;
}

/** A drift monitor that is out of bounds. */
export interface DriftAlarm {
  readonly role: Role;
  readonly monitor: MonitorName;
  readonly model: string;
  readonly value: number | null;
  readonly usual: number | null;
  /** ISO 8601 UTC */
  readonly since: string;
}

export type Role = 'active' | 'shadow';

/** What changed; told to listeners after the state has changed. */
export type LiveEvent =
  | { readonly type: 'bars'; readonly bars: readonly Bar[] }
  | { readonly type: 'forecasts'; readonly forecasts: readonly Forecast[] }
  | {
      readonly type: 'scores';
      /** Of the active model. */
      readonly scores: readonly ScoredForecast[];
      readonly overall: BothScores;
      readonly shadow: BothScores | null;
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
  /** Market minutes that forecasts may be behind bars before the server is not ready. */
  readonly mostLagMinutes?: number;
}

/** What is kept of a symbol unless told otherwise: a session of bars, two hours of forecasts. */
const BARS_KEPT = 390;
const FORECASTS_KEPT = 120;
const MOST_LAG_MINUTES = 3;

export class LiveState {
  readonly bars: RecentBars;
  readonly scores: Scoreboards;
  /** The market's clock: the source's, once there is one. */
  clock: Clock;
  /** What became of the bars; set by the one who runs the forecaster. */
  counts: Readonly<ForecasterCounts> | undefined;
  readonly #options: LiveStateOptions;
  readonly #followed: Set<string>;
  /** By asOf, newest last. */
  readonly #forecasts = new Map<string, Forecast[]>();
  readonly #listeners = new Set<(event: LiveEvent) => void>();
  /** Details of the models that were named so far, by key. */
  readonly #details = new Map<string, ModelInfo['details']>();
  #model: ModelInfo | undefined;
  #shadow: ModelInfo | undefined;
  #source: SourceStatus = { name: 'none', state: 'starting', detail: null };
  #bus: BusStatus | undefined;
  #predictionFailure: string | undefined;
  #lastBarMinute: number | undefined;
  #newestAsOf: number | undefined;
  #modelChanges = 0;

  constructor(options: LiveStateOptions = {}) {
    this.#options = options;
    this.bars = new RecentBars(options.barsPerSymbol ?? BARS_KEPT);
    this.scores = new Scoreboards(options.longestQuietRun ?? 0);
    this.clock = options.clock ?? systemClock;
    this.#followed = new Set(options.symbols);
  }

  /**
   * Names the model that forecasts and the one that does so silently. Forecasts and scores of an earlier model stay:
   * each names its model, and the next minute replaces it.
   */
  setModel(model: ModelInfo, shadow?: ModelInfo): void {
    if (this.#model !== undefined && keyOf(this.#model) !== keyOf(model)) this.#modelChanges++;
    this.#model = model;
    this.#shadow = shadow;
    for (const it of [model, shadow]) if (it?.details !== undefined) this.#details.set(keyOf(it), it.details);
    this.#tell({ type: 'status' });
  }

  get model(): ModelInfo | undefined {
    return this.#model;
  }

  get shadow(): ModelInfo | undefined {
    return this.#shadow;
  }

  /** Times that another model took over. */
  get modelChanges(): number {
    return this.#modelChanges;
  }

  /** Scores of the active model. */
  get scoreboard(): Scoreboard | undefined {
    return this.#model && this.scores.of(this.#model);
  }

  /** Scores of the shadow. */
  get shadowScoreboard(): Scoreboard | undefined {
    return this.#shadow && this.scores.of(this.#shadow);
  }

  /** Drift monitors of the active model and its shadow that are out of bounds. */
  alarms(): DriftAlarm[] {
    const boards: [Role, Scoreboard | undefined][] = [
      ['active', this.scoreboard],
      ['shadow', this.shadowScoreboard],
    ];
    return boards.flatMap(([role, board]) =>
      (board?.drift().monitors ?? [])
        .filter(({ since }) => since !== null)
        .map(({ name, value, usual, since }) => {
          return { role, monitor: name, model: board!.model.name, value, usual, since: since! };
        }),
    );
  }

  get bus(): BusStatus | undefined {
    return this.#bus;
  }

  /** Tells of the bus, where there is one between machines. */
  setBus(bus: BusStatus): void {
    this.#bus = bus;
    this.#tell({ type: 'status' });
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
    for (const bar of fresh) {
      this.#followed.add(bar.symbol);
      this.#lastBarMinute = Math.max(this.#lastBarMinute ?? bar.minute, bar.minute);
    }
    if (fresh.length > 0) this.#tell({ type: 'bars', bars: fresh });
    this.#tellScores(this.scores.takeBars(bars));
  }

  /** Keeps forecasts of the active model, whichever that is by now. */
  acceptForecasts(forecasts: readonly Forecast[]): void {
    for (const forecast of forecasts) this.#noteModel(forecast);
    const fresh = forecasts.filter((forecast) => this.#keep(forecast));
    if (fresh.length > 0) this.#tell({ type: 'forecasts', forecasts: fresh });
    // A forecast may arrive after the bar that ends its horizon, when a source catches up.
    this.#tellScores(this.scores.takeForecasts(forecasts));
  }

  /** Scores forecasts of a shadow model; they are not shown. Which one is the shadow is for {@link setModel} to say. */
  acceptShadow(forecasts: readonly Forecast[]): void {
    this.#tellScores(this.scores.takeForecasts(forecasts));
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
    if (this.#bus !== undefined && this.#bus.state !== 'connected') {
      const { name: bus, state: is, detail: why } = this.#bus;
      reasons.push(`the bus (${bus}) is ${is}${why ? `: ${why}` : ''}`);
    }
    if (this.#predictionFailure !== undefined) reasons.push(`the last prediction failed: ${this.#predictionFailure}`);
    const lagMinutes = this.lagMinutes();
    const most = this.#options.mostLagMinutes ?? MOST_LAG_MINUTES;
    if (lagMinutes !== null && lagMinutes > most)
      reasons.push(`forecasts are ${lagMinutes} minutes behind the bars; ${most} are in bounds`);
    return { ready: reasons.length === 0, reasons };
  }

  /** `none`: no bars yet; `warming`: bars, and no window of this session is full yet; `warm`: forecasts come. */
  windows(): 'none' | 'warming' | 'warm' {
    if (this.#lastBarMinute === undefined) return 'none';
    return this.lagMinutes() === null ? 'warming' : 'warm';
  }

  /**
   * Market minutes that the newest forecast is behind the newest bar. null before the first forecast of the bar's
   * session: a window holds an hour of one session, so none is due before.
   */
  lagMinutes(): number | null {
    if (this.#lastBarMinute === undefined || this.#newestAsOf === undefined) return null;
    const session = sessionAt(epochMinute(this.#lastBarMinute));
    if (session !== undefined && this.#newestAsOf <= session.open) return null;
    return Math.max(0, this.#lastBarMinute + 1 - this.#newestAsOf);
  }

  /** Calls the listener on every change until the returned function is called. A listener must not throw. */
  listen(listener: (event: LiveEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Whoever forecasts a newer minute is the active model: another machine may have changed it before this one. */
  #noteModel(forecast: Forecast): void {
    const asOf = Date.parse(forecast.asOf) / 60_000;
    if (!(asOf > (this.#newestAsOf ?? 0))) return;
    this.#newestAsOf = asOf;
    if (this.#model === undefined || keyOf(this.#model) === modelKey(forecast)) return;
    const shadow = this.#shadow && keyOf(this.#shadow) === modelKey(forecast) ? undefined : this.#shadow;
    this.setModel({ ...modelOf(forecast), details: this.#details.get(modelKey(forecast)) }, shadow);
  }

  #keep(forecast: Forecast): boolean {
    const kept = this.#forecasts.get(forecast.symbol) ?? [];
    const place = kept.findLastIndex((it) => it.asOf <= forecast.asOf) + 1;
    const most = this.#options.forecastsPerSymbol ?? FORECASTS_KEPT;
    // A minute's first forecast stands; one older than all of a full ring has no place.
    if (kept[place - 1]?.asOf === forecast.asOf || (place === 0 && kept.length >= most)) return false;
    kept.splice(place, 0, forecast);
    if (kept.length > most) kept.shift();
    this.#forecasts.set(forecast.symbol, kept);
    this.#followed.add(forecast.symbol);
    return true;
  }

  #tellScores({ scored, alarmsChanged }: Settled): void {
    if (alarmsChanged) this.#tell({ type: 'status' });
    if (scored.size === 0 || this.#model === undefined) return;
    const scores = scored.get(keyOf(this.#model)) ?? [];
    const shadow = this.shadowScoreboard?.overall() ?? null;
    this.#tell({ type: 'scores', scores, overall: this.scoreboard!.overall(), shadow });
  }

  #tell(event: LiveEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

const modelKey = ({ model, weightsHash }: Forecast): string => keyOf({ name: model, weightsHash });
const modelOf = ({ model, weightsHash, horizonMinutes, interval }: Forecast): ModelInfo => ({
  name: model,
  weightsHash,
  horizonMinutes,
  level: interval.level,
});
