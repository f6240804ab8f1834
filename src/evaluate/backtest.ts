/**
 * The obvious use of forecasts, with its costs: every few minutes hold the symbols with the highest forecasts, be
 * short those with the lowest, and go home flat.
 *
 * One minute after another, in the order in which they become known:
 *   1. orders given after the minute before are filled at the OPEN of this minute's bar, half the spread against us,
 *      and a fee. A symbol without a bar in this minute fills at its next one; an order not filled when the next ones
 *      are given is dropped.
 *   2. the bar's close marks the position, and feeds the estimate of the spread.
 *   3. forecasts made from this minute's bars give orders for the next.
 * In a session's last minute every position is closed at its bar's close (the last one known when there is none), with
 * the same costs. So no order sees a price that was not known when it was given.
 *
 * What it leaves out: impact (orders of any size fill at one price), the queue, the cost and the chance of borrowing
 * what is sold short, halts. All of these make the truth worse.
 */
import { type Bar, type Session, sessionAt } from '../bars/index.ts';
import { epochMinute, isoOfMinute } from '../base/index.ts';
import { type BacktestResult, type EquityPoint, type SessionResult, summarise } from './backtest-result.ts';
import { type BacktestRules, checkRules } from './backtest-rules.ts';
import { RollSpreads } from './spread.ts';

/** What the backtest reads of a forecast. */
export interface TradedForecast {
  readonly symbol: string;
  /** Log return to the horizon. */
  readonly predictedReturn: number;
}

/** What is held of a symbol. */
interface Position {
  /** Units of the symbol for a capital of 1; negative when short. */
  units: number;
  lastPrice: number;
}

export class Backtest {
  readonly #rules: BacktestRules;
  readonly #spreads = new RollSpreads();
  readonly #positions = new Map<string, Position>();
  /** Units to trade at the next open. */
  readonly #orders = new Map<string, number>();
  readonly #lastClose = new Map<string, number>();
  #session: Session | undefined;
  #cash = 1;
  #spreadCost = 0;
  #feeCost = 0;
  #traded = 0;
  #fills = 0;
  #given = 0;
  #dropped = 0;
  #rounds = 0;
  readonly #equity: EquityPoint[] = [];
  readonly #sessions: SessionResult[] = [];
  #sessionStart = { net: 1, gross: 1, traded: 0 };

  /** @throws BARCAST_E_USAGE for rules that make no trades */
  constructor(rules: BacktestRules) {
    checkRules(rules);
    this.#rules = rules;
  }

  /** Bars from before the backtest, in order of time in each symbol: for the estimate of the spreads alone. */
  learnSpreads(bars: Iterable<Bar>): void {
    for (const bar of bars) this.#spreads.add(bar);
  }

  /** One minute: its bars, and the forecasts made when it had ended. Minutes come in order. */
  minute(bars: readonly Bar[], forecasts: readonly TradedForecast[]): void {
    const at = bars[0]?.minute;
    const session = at === undefined ? undefined : sessionAt(at);
    if (at === undefined || session === undefined) return;
    if (session.open !== this.#session?.open) {
      this.#endSession();
      this.#session = session;
    }
    const usable = bars.filter(({ open, close }) => open > 0 && close > 0);
    for (const { symbol, open } of usable) {
      const units = this.#orders.get(symbol);
      if (units === undefined) continue;
      this.#orders.delete(symbol);
      this.#trade(symbol, units, open);
    }
    for (const bar of usable) {
      this.#lastClose.set(bar.symbol, bar.close);
      const position = this.#positions.get(bar.symbol);
      if (position) position.lastPrice = bar.close;
      this.#spreads.add(bar);
    }
    const end = at + 1;
    const { holdMinutes } = this.#rules;
    if (end >= session.close) this.#flatten();
    else if ((end - session.open) % holdMinutes === 0 && end + holdMinutes <= session.close) this.#order(forecasts);
    if ((end - session.open) % holdMinutes === 0 || end >= session.close) this.#mark(end);
  }

  /** Closes what is open and sums up. */
  end(): BacktestResult {
    this.#endSession();
    return summarise({
      rules: this.#rules,
      equity: this.#equity,
      sessions: this.#sessions,
      spreadCost: this.#spreadCost,
      feeCost: this.#feeCost,
      traded: this.#traded,
      fills: this.#fills,
      given: this.#given,
      dropped: this.#dropped,
      rounds: this.#rounds,
    });
  }

  get #net(): number {
    let value = this.#cash;
    for (const { units, lastPrice } of this.#positions.values()) value += units * lastPrice;
    return value;
  }

  /** Half the spread as a share of the price; undefined when it is not known yet. */
  #halfSpread(symbol: string, price: number): number | undefined {
    const { spread } = this.#rules;
    if (spread !== 'roll') return spread / 2e4;
    const estimate = this.#spreads.of(symbol, price);
    return estimate === undefined ? undefined : estimate / 2;
  }

  #trade(symbol: string, units: number, price: number): void {
    const value = Math.abs(units) * price;
    const halfSpread = value * this.#halfSpread(symbol, price)!;
    const fee = (value * this.#rules.feeBps) / 1e4;
    this.#cash -= units * price + halfSpread + fee;
    this.#spreadCost += halfSpread;
    this.#feeCost += fee;
    this.#traded += value;
    this.#fills++;
    const held = (this.#positions.get(symbol)?.units ?? 0) + units;
    if (Math.abs(held) * price < 1e-12) this.#positions.delete(symbol);
    else this.#positions.set(symbol, { units: held, lastPrice: price });
  }

  /** Orders that lead from what is held to what the forecasts ask for. */
  #order(forecasts: readonly TradedForecast[]): void {
    const { top, leastBps } = this.#rules;
    this.#drop();
    this.#rounds++;
    const ranked = forecasts
      .filter(({ symbol }) => this.#halfSpread(symbol, this.#lastClose.get(symbol)!) !== undefined)
      .sort((a, b) => b.predictedReturn - a.predictedReturn || (a.symbol < b.symbol ? -1 : 1));
    const count = Math.min(top, Math.floor(ranked.length / 2));
    const wanted = new Map<string, number>();
    const capital = this.#net;
    const choose = (chosen: readonly TradedForecast[], side: number) => {
      for (const { symbol, predictedReturn } of chosen) {
        if (1e4 * Math.abs(predictedReturn) < leastBps) continue;
        wanted.set(symbol, (side * 0.5 * capital) / top / this.#lastClose.get(symbol)!);
      }
    };
    choose(ranked.slice(0, count), 1);
    choose(ranked.slice(ranked.length - count), -1);
    for (const symbol of new Set([...wanted.keys(), ...this.#positions.keys()])) {
      const held = this.#positions.get(symbol)?.units ?? 0;
      const units = wanted.get(symbol) ?? 0;
      // A symbol that stays on its side is left as it is: trading to the exact share would pay for nothing.
      if (held !== 0 && Math.sign(held) === Math.sign(units)) continue;
      if (units === held) continue;
      this.#orders.set(symbol, units - held);
      this.#given++;
    }
  }

  #drop(): void {
    this.#dropped += this.#orders.size;
    this.#orders.clear();
  }

  /** Closes every position at its last close. */
  #flatten(): void {
    this.#drop();
    this.#given += this.#positions.size;
    for (const [symbol, { units, lastPrice }] of [...this.#positions]) this.#trade(symbol, -units, lastPrice);
  }

  #mark(end: number): void {
    const net = this.#net;
    const gross = net + this.#spreadCost + this.#feeCost;
    this.#equity.push({ time: isoOfMinute(epochMinute(end)), gross, net });
  }

  #endSession(): void {
    const session = this.#session;
    if (session === undefined) return;
    if (this.#positions.size > 0) this.#flatten();
    if (this.#equity.at(-1)?.time !== isoOfMinute(session.close)) this.#mark(session.close);
    const { net, gross } = this.#equity[this.#equity.length - 1];
    const start = this.#sessionStart;
    this.#sessions.push({
      day: session.day,
      gross: gross - start.gross,
      net: net - start.net,
      turnover: (this.#traded - start.traded) / start.net,
    });
    this.#sessionStart = { net, gross, traded: this.#traded };
    this.#session = undefined;
  }
}
