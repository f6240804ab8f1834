/**
 * The scores of one model: every forecast is scored when its minute has come, against what the price did and against
 * persistence.
 *
 * A forecast with `asOf` A and horizon h is settled by the last price at the end of minute A + h - 1, the bar that
 * ends the horizon. When that minute saw no trade, the price before it counts, known once a later bar arrives. A
 * forecast is left unscored, and counted as such, when its horizon ends in another session or a gap (more minutes
 * without a trade in a row than the recipe accepts) lies between. A bar without usable prices counts as no trade.
 *
 * What it tells depends on which bars and forecasts it saw, not on how the two were interleaved or cut into batches:
 * sums are exact, and a forecast may come up to half an hour out of order.
 *
 * Memory: a few hundred bytes a symbol, whatever the time it runs.
 */

import { sessionAt } from '../bars/index.ts';
import { BarcastError, type EpochMinute, epochMinute, isoOfMinute } from '../base/index.ts';
import { DriftMonitor, type DriftReport } from './drift.ts';
import type { ForecastingModel } from './forecast.ts';
import type { PriceTrail } from './price-trail.ts';
import { addOutcome, emptyTally, isTally, type LiveScore, scoreOf, type Tally } from './tally.ts';

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

/** The scores of the newest session and those since the model's first forecast. */
export interface BothScores {
  readonly session: LiveScore;
  readonly total: LiveScore;
}

export interface ScoreboardSummary {
  readonly model: string;
  readonly weightsHash: string;
  readonly horizonMinutes: number;
  readonly level: number;
  /** The newest session with a scored forecast. */
  readonly session: string | null;
  /** `asOf` of the oldest scored forecast, ISO 8601 UTC. */
  readonly since: string | null;
  /** Forecasts whose minute has not come. */
  readonly waiting: number;
  /** Forecasts that can never be scored: their horizon leaves the session or crosses a gap. */
  readonly unscored: number;
  readonly overall: BothScores;
  readonly drift: DriftReport;
}

export interface ScoreboardReport extends ScoreboardSummary {
  readonly symbols: readonly SymbolScore[];
}

/** What scoring needs of a forecast; `asOf` in EpochMinute. */
export interface Claim {
  readonly symbol: string;
  readonly asOf: number;
  readonly lastClose: number;
  readonly predictedReturn: number;
  readonly low: number;
  readonly high: number;
  readonly volatility: number;
}

interface SymbolRecord {
  newestAsOf: number;
  /** Bit i is set when a forecast of newestAsOf - i was seen. */
  seen: number;
  waiting: Omit<Claim, 'symbol'>[];
  readonly total: Tally;
  session: Tally;
  /** Session of the tally `session`. */
  sessionKey: string;
  last: ScoredForecast | null;
}

type Overall = Pick<SymbolRecord, 'total' | 'session' | 'sessionKey'>;

/** JSON of a scoreboard, as {@link Scoreboards} keeps it. */
export interface ScoreboardSnapshot {
  readonly model: ForecastingModel;
  readonly unscored: number;
  readonly since: number | null;
  readonly overall: Overall;
  readonly drift: object;
  readonly symbols: { readonly [symbol: string]: SymbolRecord };
}

const NOTHING: readonly ScoredForecast[] = [];

/** Minutes that a forecast may come after a newer one of its symbol. */
export const SEEN_MINUTES = 32;
/** Forecasts of a symbol that may wait; more of them means that its bars are no longer there, as in a stream that is read late. */
const MOST_WAITING = 64;

export interface ScoreboardOptions {
  readonly model: ForecastingModel;
  /** Where prices come from; the owner adds bars to it before calling {@link Scoreboard.settle}. */
  readonly prices: PriceTrail;
  /** Minutes without a trade in a row that are no gap: `recipe.quiet.longestRun`. */
  readonly longestQuietRun: number;
}

export class Scoreboard {
  readonly model: ForecastingModel;
  readonly #prices: PriceTrail;
  readonly #longestQuietRun: number;
  readonly #symbols = new Map<string, SymbolRecord>();
  #overall: Overall = { total: emptyTally(), session: emptyTally(), sessionKey: '' };
  #unscored = 0;
  #since: number | null = null;
  #newestAsOf = 0;
  #asOf = 0;
  #asOfText = '';
  readonly #drift: DriftMonitor;

  constructor({ model, prices, longestQuietRun }: ScoreboardOptions) {
    this.model = model;
    this.#prices = prices;
    this.#longestQuietRun = longestQuietRun;
    this.#drift = new DriftMonitor(model);
  }

  /** EpochMinute of its newest forecast. */
  get newestAsOf(): number {
    return this.#newestAsOf;
  }

  /** Notes a forecast. @returns false for a repeat, which changes nothing, and for one that comes too late to tell */
  add(claim: Claim): boolean {
    const { symbol, ...rest } = claim;
    const { asOf } = rest;
    const record = this.#record(symbol);
    if (!note(record, asOf)) return false;
    this.#newestAsOf = Math.max(this.#newestAsOf, asOf);
    const session = sessionAt(epochMinute(asOf - 1));
    if (session === undefined || this.#target(asOf) >= session.close) this.#unscored++;
    else record.waiting.splice(record.waiting.findLastIndex((it) => it.asOf < asOf) + 1, 0, rest);
    if (record.waiting.length > MOST_WAITING) {
      record.waiting.shift();
      this.#unscored++;
    }
    return true;
  }

  /** Scores what the bars now known allow. @returns what was scored, oldest first */
  settle(symbol: string): readonly ScoredForecast[] {
    const record = this.#symbols.get(symbol);
    if (record === undefined) return NOTHING;
    const { waiting } = record;
    let scored: ScoredForecast[] | undefined;
    let settled = 0;
    // By asOf: what comes after one that has to wait has to wait too.
    for (; settled < waiting.length; settled++) {
      const claim = waiting[settled];
      const { asOf } = claim;
      const price = this.#prices.priceAt(symbol, asOf - 1, this.#target(asOf), this.#longestQuietRun);
      if (price === 'waiting') break;
      if (price === 'unknown') this.#unscored++;
      else (scored ??= []).push(this.#score(symbol, record, claim, price));
    }
    if (settled > 0) waiting.splice(0, settled);
    return scored ?? NOTHING;
  }

  /**
   * Lets the drift monitors close what both bars and forecasts have left behind: whichever ran ahead, they see the same.
   * @param minute the newest one that has a bar
   * @returns whether a drift alarm began or ended
   */
  advance(minute: number): boolean {
    return this.#drift.advance(Math.min(minute, this.#newestAsOf));
  }

  drift(): DriftReport {
    return this.#drift.report();
  }

  /** Everything it knows, in the form of the HTTP answer; symbols in alphabetical order. */
  report(): ScoreboardReport {
    const { sessionKey } = this.#overall;
    const symbols = [...this.#symbols].sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      ...this.summary(),
      symbols: symbols.map(([symbol, record]) => ({
        symbol,
        session: scoreOf(record.sessionKey === sessionKey ? record.session : emptyTally()),
        total: scoreOf(record.total),
        last: record.last,
      })),
    };
  }

  /** The report without its symbols. */
  summary(): ScoreboardSummary {
    const { name, weightsHash, horizonMinutes, level } = this.model;
    const { sessionKey } = this.#overall;
    let waiting = 0;
    for (const record of this.#symbols.values()) waiting += record.waiting.length;
    return {
      model: name,
      weightsHash,
      horizonMinutes,
      level,
      session: sessionKey === '' ? null : sessionKey,
      since: this.#since === null ? null : isoOfMinute(epochMinute(this.#since)),
      waiting,
      unscored: this.#unscored,
      overall: this.overall(),
      drift: this.drift(),
    };
  }

  overall(): BothScores {
    return { session: scoreOf(this.#overall.session), total: scoreOf(this.#overall.total) };
  }

  /** The bar of each symbol's oldest waiting forecast, EpochMinute, added to a map that may hold older ones. */
  noteNeeded(neededFrom: Map<string, number>): void {
    for (const [symbol, { waiting }] of this.#symbols)
      for (const { asOf } of waiting) neededFrom.set(symbol, Math.min(asOf - 1, neededFrom.get(symbol) ?? asOf));
  }

  /** JSON that shares its inside with what goes on: write it down at once. */
  snapshot(): ScoreboardSnapshot {
    const { name, weightsHash, horizonMinutes, level } = this.model;
    return {
      model: { name, weightsHash, horizonMinutes, level },
      unscored: this.#unscored,
      since: this.#since,
      overall: this.#overall,
      drift: this.#drift.snapshot(),
      symbols: Object.fromEntries(this.#symbols),
    };
  }

  /** A scoreboard as a snapshot tells. @throws BARCAST_E_CHECKPOINT for something that is no snapshot */
  static restore(snapshot: unknown, options: Omit<ScoreboardOptions, 'model'>): Scoreboard {
    const { model, overall, symbols, unscored, since, drift } = (snapshot ?? {}) as Partial<ScoreboardSnapshot>;
    const records = Object.entries(symbols ?? {});
    const known =
      isModel(model) &&
      isTally(overall?.total) &&
      isTally(overall.session) &&
      typeof overall.sessionKey === 'string' &&
      typeof unscored === 'number' &&
      (since === null || Number.isFinite(since)) &&
      records.every(([, it]) => isRecord(it));
    if (!known) throw damagedScores();
    const board = new Scoreboard({ ...options, model });
    if (!board.#drift.restore(drift)) throw damagedScores();
    board.#overall = structuredClone(overall) as Overall;
    board.#unscored = unscored;
    board.#since = since ?? null;
    for (const [symbol, record] of records) {
      board.#symbols.set(symbol, structuredClone(record));
      board.#newestAsOf = Math.max(board.#newestAsOf, record.newestAsOf);
    }
    return board;
  }

  /** The minute of the bar that ends the horizon. */
  #target(asOf: number): EpochMinute {
    return epochMinute(asOf + this.model.horizonMinutes - 1);
  }

  #record(symbol: string): SymbolRecord {
    let record = this.#symbols.get(symbol);
    if (record === undefined) {
      const [total, session] = [emptyTally(), emptyTally()];
      record = { newestAsOf: 0, seen: 0, waiting: [], total, session, sessionKey: '', last: null };
      this.#symbols.set(symbol, record);
    }
    return record;
  }

  #score(symbol: string, record: SymbolRecord, claim: Omit<Claim, 'symbol'>, close: number): ScoredForecast {
    const { asOf, lastClose, predictedReturn, low, high, volatility } = claim;
    const realisedReturn = Math.log(close / lastClose);
    const covered = close >= low && close <= high;
    const outcome = { predictedReturn, realisedReturn, covered, volatility };
    const session = sessionAt(epochMinute(asOf - 1))!.day;
    for (const tallies of [record, this.#overall]) {
      addOutcome(tallies.total, outcome);
      if (session > tallies.sessionKey) {
        tallies.sessionKey = session;
        tallies.session = emptyTally();
      }
      if (session === tallies.sessionKey) addOutcome(tallies.session, outcome);
    }
    this.#since = Math.min(this.#since ?? asOf, asOf);
    const before = this.#prices.closeBefore(symbol, asOf - 1, 1 + this.#longestQuietRun);
    const lastReturn = before === undefined ? undefined : Math.log(lastClose / before);
    this.#drift.add(asOf, outcome, { lastReturn, ...this.#prices.activityAt(symbol, asOf - 1) });
    const moved = predictedReturn !== 0 && realisedReturn !== 0;
    const right = Math.sign(predictedReturn) === Math.sign(realisedReturn);
    const direction = !moved ? 'flat' : right ? 'hit' : 'miss';
    // Forecasts of one minute are scored together and share one text.
    if (asOf !== this.#asOf) this.#asOfText = isoOfMinute(epochMinute((this.#asOf = asOf)));
    const at = this.#asOfText;
    const scored: ScoredForecast = {
      symbol,
      asOf: at,
      predictedReturn,
      realisedReturn,
      realisedClose: close,
      direction,
      covered,
    };
    if (record.last === null || record.last.asOf < at) record.last = scored;
    return scored;
  }
}

/** Marks a minute as seen. @returns false when it was, or when it is too old to tell */
function note(record: SymbolRecord, asOf: number): boolean {
  const behind = record.newestAsOf - asOf;
  if (behind < 0) {
    record.seen = -behind >= SEEN_MINUTES ? 1 : ((record.seen << -behind) | 1) >>> 0;
    record.newestAsOf = asOf;
    return true;
  }
  if (behind >= SEEN_MINUTES || (record.seen >>> behind) & 1) return false;
  record.seen = (record.seen | (1 << behind)) >>> 0;
  return true;
}

const isModel = (value: unknown): value is ForecastingModel => {
  const { name, weightsHash, horizonMinutes, level } = (value ?? {}) as Partial<ForecastingModel>;
  const texts = typeof name === 'string' && typeof weightsHash === 'string';
  return texts && Number.isFinite(horizonMinutes) && Number.isFinite(level);
};

const isRecord = (value: unknown): value is SymbolRecord => {
  const it = (value ?? {}) as Partial<SymbolRecord>;
  const numbers = [it.newestAsOf, it.seen].every((number) => Number.isFinite(number));
  return numbers && isTally(it.total) && isTally(it.session) && Array.isArray(it.waiting);
};

export const damagedScores = () =>
  new BarcastError('BARCAST_E_CHECKPOINT', 'the saved scores are damaged', 'delete them to start counting anew');
