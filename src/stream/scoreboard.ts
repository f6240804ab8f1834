/**
 * Every forecast is scored when its minute has come: against what the price did, and against persistence.
 *
 * A forecast with `asOf` A and horizon h is settled by the last price at the end of minute A + h - 1, the bar that
 * ends the horizon. When that minute saw no trade, the price before it counts, known once a later bar arrives. A
 * forecast is left unscored, and counted as such, when its horizon ends in another session or a gap (more minutes
 * without a trade in a row than the recipe accepts) lies between. A bar without usable prices counts as no trade.
 *
 * Memory: a few hundred bytes a symbol, whatever the time it runs. A snapshot is plain JSON; the forecasts that were
 * waiting in it are scored if the bars they wait for are still fed afterwards.
 */

import { sessionAt } from '../bars/index.ts';
import { BarcastError, type EpochMinute, epochMinute, isoOfMinute } from '../base/index.ts';
import type { Forecast, ForecastingModel } from './forecast.ts';
import type { RecentBars } from './recent-bars.ts';
import { addOutcome, emptyTally, type LiveScore, scoreOf, type Tally } from './tally.ts';

/** A forecast whose minute has come. */
export interface ScoredForecast {
  readonly symbol: string;
  /** ISO 8601 UTC */
  readonly asOf: string;
  /** Log return */
  readonly predictedReturn: number;
  /** Log return */
  readonly realisedReturn: number;
  readonly realisedClose: number;
  /** Whether the direction was right; `flat` when the price, or the forecast, did not move. */
  readonly direction: 'hit' | 'miss' | 'flat';
  /** Whether the close lay in the interval. */
  readonly covered: boolean;
}

export interface SymbolScore {
  readonly symbol: string;
  readonly session: LiveScore;
  readonly total: LiveScore;
  readonly last: ScoredForecast | null;
}

export interface ScoreboardReport {
  readonly model: string;
  readonly weightsHash: string;
  readonly horizonMinutes: number;
  readonly level: number;
  /** The newest session with a scored forecast. */
  readonly session: string | null;
  /** Forecasts whose minute has not come. */
  readonly waiting: number;
  /** Forecasts that can never be scored: their horizon leaves the session or crosses a gap. */
  readonly unscored: number;
  readonly overall: { readonly session: LiveScore; readonly total: LiveScore };
  readonly symbols: readonly SymbolScore[];
}

interface Waiting {
  readonly asOf: number;
  readonly lastClose: number;
  readonly predictedReturn: number;
  readonly low: number;
  readonly high: number;
}

interface SymbolRecord {
  newestAsOf: number;
  waiting: Waiting[];
  total: Tally;
  session: Tally;
  /** Session of the tally `session`. */
  sessionKey: string;
  last: ScoredForecast | null;
}

/** JSON of a scoreboard; `version` rises when its meaning changes. */
export interface ScoreboardSnapshot {
  readonly version: 1;
  readonly model: string;
  readonly weightsHash: string;
  readonly horizonMinutes: number;
  readonly level: number;
  readonly unscored: number;
  readonly overall: { readonly total: Tally; readonly session: Tally; readonly sessionKey: string };
  readonly symbols: { readonly [symbol: string]: SymbolRecord };
}

export interface ScoreboardOptions {
  readonly model: ForecastingModel;
  /** Where prices come from; the owner adds bars to it before calling {@link Scoreboard.settle}. */
  readonly bars: RecentBars;
  /** Minutes without a trade in a row that are no gap: `recipe.quiet.longestRun`. */
  readonly longestQuietRun: number;
}

export class Scoreboard {
  readonly #options: ScoreboardOptions;
  readonly #symbols = new Map<string, SymbolRecord>();
  #overall = { total: emptyTally(), session: emptyTally(), sessionKey: '' };
  #unscored = 0;

  constructor(options: ScoreboardOptions) {
    this.#options = options;
  }

  /** Notes a forecast. One that is not newer than its symbol's newest is a repeat and changes nothing. */
  add(forecast: Forecast): void {
    const asOf = Date.parse(forecast.asOf) / 60_000;
    const record = this.#record(forecast.symbol);
    if (asOf <= record.newestAsOf) return;
    record.newestAsOf = asOf;
    const session = sessionAt(epochMinute(asOf - 1));
    if (session === undefined || this.#target(asOf) >= session.close) {
      this.#unscored++;
      return;
    }
    const { lastClose, predictedReturn, interval } = forecast;
    record.waiting.push({ asOf, lastClose, predictedReturn, low: interval.low, high: interval.high });
  }

  /** Scores what the bars now known allow. @returns what was scored, oldest first */
  settle(symbol: string): ScoredForecast[] {
    const record = this.#symbols.get(symbol);
    if (record === undefined || record.waiting.length === 0) return [];
    const scored: ScoredForecast[] = [];
    record.waiting = record.waiting.filter((forecast) => {
      const price = this.#price(symbol, forecast.asOf);
      if (price === 'waiting') return true;
      if (price === 'unknown') this.#unscored++;
      else scored.push(this.#score(symbol, record, forecast, price));
      return false;
    });
    return scored;
  }

  /** Everything it knows, in the form of the HTTP answer; symbols in alphabetical order. */
  report(): ScoreboardReport {
    const { model } = this.#options;
    const { sessionKey } = this.#overall;
    const symbols = [...this.#symbols].sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      model: model.name,
      weightsHash: model.weightsHash,
      horizonMinutes: model.horizonMinutes,
      level: model.level,
      session: sessionKey === '' ? null : sessionKey,
      waiting: symbols.reduce((sum, [, record]) => sum + record.waiting.length, 0),
      unscored: this.#unscored,
      overall: this.overall(),
      symbols: symbols.map(([symbol, record]) => ({
        symbol,
        session: scoreOf(record.sessionKey === sessionKey ? record.session : emptyTally()),
        total: scoreOf(record.total),
        last: record.last,
      })),
    };
  }

  overall(): { readonly session: LiveScore; readonly total: LiveScore } {
    return { session: scoreOf(this.#overall.session), total: scoreOf(this.#overall.total) };
  }

  snapshot(): ScoreboardSnapshot {
    const { name, weightsHash, horizonMinutes, level } = this.#options.model;
    return structuredClone({
      version: 1,
      model: name,
      weightsHash,
      horizonMinutes,
      level,
      unscored: this.#unscored,
      overall: this.#overall,
      symbols: Object.fromEntries(this.#symbols),
    });
  }

  /**
   * Takes up a snapshot in place of what it holds.
   * @returns false, and changes nothing, when the snapshot is of another model: scores of two models are never mixed
   * @throws BARCAST_E_CHECKPOINT for something that is no snapshot
   */
  restore(snapshot: unknown): boolean {
    const given = snapshot as Partial<ScoreboardSnapshot> | null;
    if (typeof given !== 'object' || given?.version !== 1 || !isTally(given.overall?.total)) throw unreadable();
    const { name, weightsHash, horizonMinutes, level } = this.#options.model;
    const same = given.model === name && given.weightsHash === weightsHash;
    if (!same || given.horizonMinutes !== horizonMinutes || given.level !== level) return false;
    const { overall, symbols, unscored } = structuredClone(given) as ScoreboardSnapshot;
    const records = Object.entries(symbols ?? {});
    const whole = records.every(([, it]) => isTally(it?.total) && isTally(it.session) && Array.isArray(it.waiting));
    if (!isTally(overall.session) || typeof unscored !== 'number' || !whole) throw unreadable();
    this.#overall = overall;
    this.#unscored = unscored;
    this.#symbols.clear();
    for (const [symbol, record] of records) this.#symbols.set(symbol, record);
    return true;
  }

  /** The minute of the bar that ends the horizon. */
  #target(asOf: number): EpochMinute {
    return epochMinute(asOf + this.#options.model.horizonMinutes - 1);
  }

  #record(symbol: string): SymbolRecord {
    let record = this.#symbols.get(symbol);
    if (record === undefined) {
      const [total, session] = [emptyTally(), emptyTally()];
      record = { newestAsOf: 0, waiting: [], total, session, sessionKey: '', last: null };
      this.#symbols.set(symbol, record);
    }
    return record;
  }

  /** The last price at the end of the horizon, as far as the bars tell. */
  #price(symbol: string, asOf: number): number | 'waiting' | 'unknown' {
    const { bars, longestQuietRun } = this.#options;
    const target = this.#target(asOf);
    const closes = bars.closesFrom(symbol, asOf - 1);
    if (closes.length === 0) return 'waiting';
    // The ring no longer reaches back to the forecast's own bar, or never held it.
    if (closes[0].minute !== asOf - 1) return 'unknown';
    for (let i = 1; i < closes.length; i++) {
      if (closes[i].minute - closes[i - 1].minute - 1 > longestQuietRun) return 'unknown';
      if (closes[i].minute === target) return closes[i].close;
      if (closes[i].minute > target) return closes[i - 1].close;
    }
    return 'waiting';
  }

  #score(symbol: string, record: SymbolRecord, forecast: Waiting, close: number): ScoredForecast {
    const { asOf, predictedReturn, low, high } = forecast;
    const realisedReturn = Math.log(close / forecast.lastClose);
    const covered = close >= low && close <= high;
    const outcome = { predictedReturn, realisedReturn, covered };
    const session = sessionAt(epochMinute(asOf - 1))!.day;
    for (const tallies of [record, this.#overall]) {
      addOutcome(tallies.total, outcome);
      if (session > tallies.sessionKey) {
        tallies.sessionKey = session;
        tallies.session = emptyTally();
      }
      if (session === tallies.sessionKey) addOutcome(tallies.session, outcome);
    }
    const moved = predictedReturn !== 0 && realisedReturn !== 0;
    const right = Math.sign(predictedReturn) === Math.sign(realisedReturn);
    const direction = !moved ? 'flat' : right ? 'hit' : 'miss';
    const at = isoOfMinute(epochMinute(asOf));
    record.last = { symbol, asOf: at, predictedReturn, realisedReturn, realisedClose: close, direction, covered };
    return record.last;
  }
}

function isTally(value: unknown): value is Tally {
  const tally = value as Record<string, unknown> | null | undefined;
  return (
    typeof tally === 'object' && tally !== null && Object.keys(emptyTally()).every((key) => Number.isFinite(tally[key]))
  );
}

const unreadable = () =>
  new BarcastError('BARCAST_E_CHECKPOINT', 'the scoreboard snapshot is damaged', 'delete it to start counting anew');
