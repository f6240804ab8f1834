/**
 * The scoreboards of every model that forecasts or did: the active one, its shadow, and those before. A model keeps its
 * scores when it turns from shadow to active or back.
 *
 * It takes bars and forecasts one by one in the order in which they come and knows nothing else, so servers that read
 * the same streams show the same scores, and one that takes up a snapshot and reads what came since goes on as if it
 * had never stopped. What it has had already changes nothing when it comes again.
 */
import type { Bar } from '../bars/index.ts';
import { isUsable } from '../features/index.ts';
import type { Forecast, ForecastingModel } from './forecast.ts';
import { PriceTrail } from './price-trail.ts';
import { type Claim, damagedScores, Scoreboard, type ScoreboardSnapshot, type ScoredForecast } from './scoreboard.ts';

/** Models whose scores are kept; the one without a forecast for longest goes first. */
const MOST_MODELS = 6;

/** JSON; `version` rises when its meaning changes. */
export interface ScoresSnapshot {
  readonly version: typeof SNAPSHOT_VERSION;
  readonly boards: readonly ScoreboardSnapshot[];
  readonly prices: object;
  /** Missing in what was written before there was any. */
  readonly activity?: object;
  readonly newestMinute: number;
}
export const SNAPSHOT_VERSION = 3;

type TakenBar = readonly [symbol: string, minute: number, close: number, range?: number, volume?: number | null];

/** What was taken, in the form in which it can be written down and taken again. */
export type Taken =
  /** Minutes, closes, ln(high / low) and volumes of bars; the last two are missing in what was written before there were any, and JSON makes null of a volume that is NaN. */
  | readonly ['bars', ...TakenBar[]]
  | readonly ['forecasts', ForecastingModel, ...(readonly [symbol: string, ...numbers: number[]])[]];

/** What became of a batch, by the model's key. */
export interface Settled {
  readonly scored: ReadonlyMap<string, readonly ScoredForecast[]>;
  /** Whether a drift alarm began or ended. */
  readonly alarmsChanged: boolean;
}

type Model = Pick<ForecastingModel, 'name' | 'weightsHash'>;
export const keyOf = ({ name, weightsHash }: Model): string => `${name}@${weightsHash}`;

export class Scoreboards {
  readonly #longestQuietRun: number;
  readonly #boards = new Map<string, Scoreboard>();
  #prices = new PriceTrail();
  #newestMinute = 0;
  /** Called with what was taken, after it was. */
  onTaken: ((taken: Taken) => void) | undefined;

  /** @param longestQuietRun minutes without a trade in a row that are no gap: `recipe.quiet.longestRun` */
  constructor(longestQuietRun: number) {
    this.#longestQuietRun = longestQuietRun;
  }

  /** The scores of a model, empty ones if it has none yet. */
  of(model: ForecastingModel): Scoreboard {
    const key = keyOf(model);
    let board = this.#boards.get(key);
    if (board === undefined) {
      board = new Scoreboard({ model, prices: this.#prices, longestQuietRun: this.#longestQuietRun });
      this.#boards.set(key, board);
      this.#forget(key);
    }
    return board;
  }

  /** The model's scores if it has any. */
  find(model: Model): Scoreboard | undefined {
    return this.#boards.get(keyOf(model));
  }

  /** By model and hash: which came first may differ from node to node. */
  list(): Scoreboard[] {
    return [...this.#boards].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, board]) => board);
  }

  /** Scores the forecasts whose minute the bars end. */
  takeBars(bars: readonly Bar[]): Settled {
    const taken: TakenBar[] = [];
    const settled = new Collector();
    for (const { symbol, minute, open, high, low, close, volume } of bars) {
      if (!isUsable(open, high, low, close, volume)) continue;
      const bar = [symbol, minute, close, Math.log(high / low), volume] as const;
      if (this.#takeBar(bar, settled)) taken.push(bar);
    }
    if (taken.length > 0) this.onTaken?.(['bars', ...taken]);
    return settled;
  }

  /** Notes forecasts, and scores those whose minute has been. */
  takeForecasts(forecasts: readonly Forecast[]): Settled {
    const settled = new Collector();
    for (const group of byModel(forecasts)) {
      const [{ model: name, weightsHash, horizonMinutes, interval }] = group;
      const model = { name, weightsHash, horizonMinutes, level: interval.level };
      const claims = group.map(claimOf).filter((claim) => this.#takeClaim(model, claim, settled));
      if (claims.length > 0) this.onTaken?.(['forecasts', model, ...claims.map(rowOf)]);
    }
    return settled;
  }

  /** Takes again what was taken before a stop. @throws BARCAST_E_CHECKPOINT for something that was never taken */
  takeAgain(taken: unknown): void {
    if (!Array.isArray(taken)) throw damagedScores();
    const [kind, ...rest] = taken;
    const ignored = new Collector();
    if (kind === 'bars') {
      for (const bar of rest) this.#takeBar(bar, ignored);
    } else if (kind === 'forecasts') {
      const [model, ...rows] = rest;
      for (const [symbol, asOf, lastClose, predictedReturn, low, high, volatility] of rows)
        this.#takeClaim(model, { symbol, asOf, lastClose, predictedReturn, low, high, volatility }, ignored);
    } else throw damagedScores();
  }

  /** Notes that bars may be missing between those taken and the next ones: nothing is scored across. */
  break(): void {
    this.#prices.break();
  }

  /** JSON that shares its inside with what goes on: write it down at once. */
  snapshot(): ScoresSnapshot {
    const needed = new Map<string, number>();
    for (const board of this.#boards.values()) board.noteNeeded(needed);
    return {
      version: SNAPSHOT_VERSION,
      boards: this.list().map((board) => board.snapshot()),
      ...this.#prices.snapshot(needed),
      newestMinute: this.#newestMinute,
    };
  }

  /** Takes up a snapshot in place of what it holds. @throws BARCAST_E_CHECKPOINT for something that is no snapshot */
  restore(snapshot: unknown): void {
    const { version, boards, prices, activity, newestMinute } = (snapshot ?? {}) as Partial<ScoresSnapshot>;
    const trail = new PriceTrail();
    if (version !== SNAPSHOT_VERSION || !Array.isArray(boards) || !Number.isFinite(newestMinute)) throw damagedScores();
    if (!trail.restore(prices, activity)) throw damagedScores();
    const options = { prices: trail, longestQuietRun: this.#longestQuietRun };
    const restored = boards.map((board) => Scoreboard.restore(board, options));
    this.#prices = trail;
    this.#newestMinute = newestMinute!;
    this.#boards.clear();
    for (const board of restored) this.#boards.set(keyOf(board.model), board);
  }

  #takeBar([symbol, minute, close, range, volume]: TakenBar, settled: Collector): boolean {
    if (!this.#prices.add(symbol, minute, close, range, volume ?? undefined)) return false;
    const later = minute > this.#newestMinute;
    if (later) this.#newestMinute = minute;
    for (const [key, board] of this.#boards) {
      if (later && board.advance(minute)) settled.alarmsChanged = true;
      settled.add(key, board.settle(symbol));
    }
    return true;
  }

  #takeClaim(model: ForecastingModel, claim: Claim, settled: Collector): boolean {
    if (!isClaim(claim)) return false;
    const board = this.of(model);
    const { newestAsOf } = board;
    if (!board.add(claim)) return false;
    if (board.newestAsOf > newestAsOf && board.advance(this.#newestMinute)) settled.alarmsChanged = true;
    settled.add(keyOf(model), board.settle(claim.symbol));
    return true;
  }

  #forget(keep: string): void {
    if (this.#boards.size <= MOST_MODELS) return;
    const others = [...this.#boards].filter(([key]) => key !== keep);
    const [oldest] = others.sort(([, a], [, b]) => a.newestAsOf - b.newestAsOf)[0];
    this.#boards.delete(oldest);
  }
}

class Collector implements Settled {
  readonly scored = new Map<string, ScoredForecast[]>();
  alarmsChanged = false;

  add(key: string, scored: readonly ScoredForecast[]): void {
    if (scored.length === 0) return;
    const list = this.scored.get(key);
    if (list === undefined) this.scored.set(key, [...scored]);
    else list.push(...scored);
  }
}

function byModel(forecasts: readonly Forecast[]): Forecast[][] {
  const groups = new Map<string, Forecast[]>();
  for (const forecast of forecasts) {
    const key = `${forecast.model}@${forecast.weightsHash}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [forecast]);
    else group.push(forecast);
  }
  return [...groups.values()];
}

const claimOf = ({ symbol, asOf, lastClose, predictedReturn, volatility, interval }: Forecast): Claim => ({
  symbol,
  asOf: Date.parse(asOf) / 60_000,
  lastClose,
  predictedReturn,
  low: interval.low,
  high: interval.high,
  volatility,
});
const rowOf = ({ symbol, asOf, lastClose, predictedReturn, low, high, volatility }: Claim) =>
  [symbol, asOf, lastClose, predictedReturn, low, high, volatility] as const;

/** Whether a forecast can be scored at all; what comes over a bus may be anything. */
const isClaim = ({ asOf, lastClose, predictedReturn, low, high, volatility }: Claim): boolean =>
  Number.isSafeInteger(asOf) &&
  [lastClose, low, high].every((price) => price > 0 && Number.isFinite(price)) &&
  Number.isFinite(predictedReturn) &&
  Number.isFinite(volatility);
