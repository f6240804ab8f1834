/**
 * The best score that any forecaster of the simulated market could reach: that of the oracle, which knows the hidden
 * paths up to a minute and nothing after it.
 *
 * The oracle forecasts, for a log return from the close at t to the close at t + h,
 *
 *     p(t) - log close(t) + Σ_{i=1..h} a c(t+i) λ^(i-1) D(t) σ'(t+i) E[s(t+i)],    E[s(t+i)] = exp(φ^i l(t) - τ² φ^(2i) / 2),
 *
 * which is the conditional expectation given everything hidden, so nobody beats it but by luck. A forecaster sees bars
 * instead: it must infer s, D and on which side of the spread the last trade was. What that costs is small because
 * the bars nearly show them; for thin symbols, where untraded minutes hide the path, it is larger.
 */

import { dayOf, type Session, sessionsBetween } from '../../bars/index.ts';
import type { EpochMinute } from '../../base/index.ts';
import type { Character } from './character.ts';
import { CLUSTER_DECAY, CLUSTER_DEVIATION, type DayPath } from './day-path.ts';

export interface ReachableRequest {
  readonly symbols: readonly string[];
  /** Windows whose last bar ended within [from, to), as in `WindowOptions`. */
  readonly from: EpochMinute;
  readonly to: EpochMinute;
  /** Minutes ahead; 5 by default. */
  readonly horizon?: number;
}

/** Scores of the oracle; null where there is no window. */
export interface BestReachable {
  /** 1 - MSE / MSE of persistence, on log returns. */
  readonly skill: number | null;
  /** The same on log returns divided by the window's own volatility. */
  readonly skillScaled: number | null;
  /** Pearson correlation of forecast and outcome on log returns; null when every forecast is 0. */
  readonly informationCoefficient: number | null;
  readonly windows: number;
}

/** What the score needs of a market. */
export interface OracleMarket {
  readonly amplitude: number;
  character(symbol: string): Character;
  day(symbol: string, session: Session): DayPath;
}

const WINDOW = 60;

/**
 * The oracle's forecast of the log return from bar `t` to `t + horizon`. Where a minute has no trade with probability
 * q, the last price at the horizon is that of an earlier minute: each is weighted by the probability that it is the last.
 */
export function oracleForecast(path: DayPath, t: number, horizon: number, amplitude: number, quiet: number): number {
  if (amplitude === 0) return 0;
  const variance = CLUSTER_DEVIATION ** 2;
  let price = path.logPrice[t] - Math.log(path.close[t]);
  let echo = amplitude * path.echo[t];
  let decay = 1;
  let forecast = 0;
  for (let i = 1; i <= horizon; i++) {
    decay *= CLUSTER_DECAY;
    const expectedVolatility =
      path.usualVolatility[t + i] * Math.exp(decay * path.cluster[t] - (variance * decay * decay) / 2);
    price += echo * path.response[t + i] * expectedVolatility;
    echo *= path.decay;
    forecast = quiet * forecast + (1 - quiet) * price;
  }
  return forecast;
}

/** Adds up the oracle's errors symbol by symbol, so that a server can answer others in between. */
export class ReachableScore {
  readonly #market: OracleMarket;
  readonly #sessions: readonly Session[];
  readonly #request: ReachableRequest;
  readonly #horizon: number;
  #windows = 0;
  #sums = { error: 0, move: 0, scaledError: 0, scaledMove: 0, x: 0, y: 0, xx: 0, xy: 0 };

  constructor(market: OracleMarket, request: ReachableRequest) {
    this.#market = market;
    this.#request = request;
    this.#horizon = request.horizon ?? 5;
    this.#sessions = request.to > request.from ? sessionsBetween(dayOf(request.from), dayOf(request.to)) : [];
  }

  /** @throws BARCAST_E_SYMBOL for a symbol that is not listed */
  add(symbol: string): void {
    const { quiet } = this.#market.character(symbol);
    for (const session of this.#sessions) this.#addDay(this.#market.day(symbol, session), quiet);
  }

  /** The windows of a day: sixty session minutes, the last of them traded, and a horizon within the session; none crosses a hole. */
  #addDay(path: DayPath, quiet: number): void {
    const { session, hole, traded, close } = path;
    const horizon = this.#horizon;
    const length = close.length;
    const { from, to } = this.#request;
    const squares = new Float64Array(length);
    let lastClose = path.open[0];
    let sumOfSquares = 0;
    // The last price at every minute, for targets that fall on a quiet one.
    const price = new Float64Array(length);
    for (let t = 0; t < length; t++) {
      const now = traded[t] === 1 ? close[t] : lastClose;
      squares[t] = Math.log(now / lastClose) ** 2;
      price[t] = now;
      lastClose = now;
    }
    for (let t = 0; t + horizon < length; t++) {
      sumOfSquares += squares[t] - (t >= WINDOW - 1 ? squares[t - WINDOW + 1] : 0);
      const asOf = session.open + t + 1;
      if (t < WINDOW - 1 || traded[t] === 0 || asOf < from || asOf >= to) continue;
      if (hole.to > t - WINDOW + 1 && hole.from <= t + horizon && hole.to > hole.from) continue;
      const forecast = oracleForecast(path, t, horizon, this.#market.amplitude, quiet);
      const move = Math.log(price[t + horizon] / close[t]);
      const volatility = ownVolatility(sumOfSquares, close[t], horizon);
      const sums = this.#sums;
      sums.error += (move - forecast) ** 2;
      sums.move += move ** 2;
      sums.scaledError += ((move - forecast) / volatility) ** 2;
      sums.scaledMove += (move / volatility) ** 2;
      sums.x += forecast;
      sums.y += move;
      sums.xx += forecast ** 2;
      sums.xy += forecast * move;
      this.#windows++;
    }
  }

  result(): BestReachable {
    const n = this.#windows;
    const { error, move, scaledError, scaledMove, x, y, xx, xy } = this.#sums;
    const spread = Math.sqrt((xx - (x * x) / n) * (move - (y * y) / n));
    return {
      skill: move > 0 ? 1 - error / move : null,
      skillScaled: scaledMove > 0 ? 1 - scaledError / scaledMove : null,
      informationCoefficient: spread > 0 ? (xy - (x * y) / n) / spread : null,
      windows: n,
    };
  }
}

/**
 * Root mean square of the last 59 one-minute log returns times sqrt(horizon), with the floors that the recipes have:
 * a basis point, and half a cent (below a dollar half a hundredth of one).
 */
function ownVolatility(sumOfSquares: number, close: number, horizon: number): number {
  const halfTick = (close >= 1 ? 0.005 : 0.00005) / close;
  const own = Math.sqrt(Math.max(0, sumOfSquares) / (WINDOW - 1));
  return Math.max(own, 1e-4, halfTick) * Math.sqrt(horizon);
}
