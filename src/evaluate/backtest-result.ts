/** What a backtest found: profit before and after costs, turnover, Sharpe ratio and drawdown, and what to think of them. */
import type { BacktestRules } from './backtest-rules.ts';

/** Capital at a time; it starts at 1. `gross` has the costs added back. */
export interface EquityPoint {
  readonly time: string;
  readonly gross: number;
  readonly net: number;
}

/** One session, in shares of the capital at the start of all. */
export interface SessionResult {
  readonly day: string;
  readonly gross: number;
  readonly net: number;
  /** Value traded over the capital at the session's start. */
  readonly turnover: number;
}

export interface Sharpe {
  /** Annualised: mean over standard deviation of the periods' net returns, times sqrt(periods a year of 252 sessions). */
  readonly value: number | null;
  /** sqrt((1 + s^2 / 2) / periods) of the ratio s of one period, annualised (Lo 2002); it takes periods for independent. */
  readonly standardError: number | null;
  readonly periods: number;
}

export interface BacktestResult {
  readonly rules: BacktestRules;
  readonly sessions: number;
  /** Rounds of orders. */
  readonly rounds: number;
  /** Given, those that close the session's positions among them: filled or dropped. */
  readonly orders: number;
  readonly fills: number;
  /** Orders dropped unfilled: no bar came before the next round. */
  readonly dropped: number;
  readonly grossReturn: number;
  readonly netReturn: number;
  readonly costs: { readonly spread: number; readonly fees: number };
  /** Value traded over the capital, a session. */
  readonly turnoverPerSession: number | null;
  /** Half-spread paid on average, basis points of the value traded. */
  readonly meanHalfSpreadBps: number | null;
  /** Cost a trade, basis points of its value, at which nothing would be left of the gross return. */
  readonly breakEvenBps: number | null;
  readonly sharpe: Sharpe;
  readonly sharpeGross: Sharpe;
  /** Largest fall of the net capital from its highest point before, as a share of that. */
  readonly maxDrawdown: number;
  /** Share of the periods whose net return is above 0. */
  readonly periodsWon: number | null;
  readonly bySession: readonly SessionResult[];
  readonly equity: readonly EquityPoint[];
  readonly caveats: readonly string[];
}

export interface BacktestSums {
  readonly rules: BacktestRules;
  readonly equity: readonly EquityPoint[];
  readonly sessions: readonly SessionResult[];
  readonly spreadCost: number;
  readonly feeCost: number;
  readonly traded: number;
  readonly fills: number;
  readonly given: number;
  readonly dropped: number;
  readonly rounds: number;
}

const SESSIONS_A_YEAR = 252;

const CAVEATS = [
  'fills at the next open, half the spread against the order: no market impact, no queue, no cost of borrowing what is sold short',
  "spreads are Roll's estimates unless one was given: bars do not hold quotes",
  'a Sharpe ratio of a few sessions is mostly chance: look at its standard error, and that takes periods for independent',
];

export function summarise(sums: BacktestSums): BacktestResult {
  const { rules, equity, sessions, spreadCost, feeCost, traded, fills, given, dropped, rounds } = sums;
  const last = equity.at(-1) ?? { gross: 1, net: 1 };
  const returnsOf = (pick: (point: EquityPoint) => number) =>
    equity.map((point, i) => (i === 0 ? pick(point) : pick(point) / pick(equity[i - 1])) - 1);
  const net = returnsOf((point) => point.net);
  return {
    rules,
    sessions: sessions.length,
    rounds,
    orders: given,
    fills,
    dropped,
    grossReturn: last.gross - 1,
    netReturn: last.net - 1,
    costs: { spread: spreadCost, fees: feeCost },
    turnoverPerSession: sessions.length > 0 ? sessions.reduce((sum, s) => sum + s.turnover, 0) / sessions.length : null,
    meanHalfSpreadBps: traded > 0 ? (1e4 * spreadCost) / traded : null,
    breakEvenBps: traded > 0 ? (1e4 * (last.gross - 1)) / traded : null,
    sharpe: sharpeOf(net, sessions.length),
    sharpeGross: sharpeOf(
      returnsOf((point) => point.gross),
      sessions.length,
    ),
    maxDrawdown: maxDrawdown(equity.map((point) => point.net)),
    periodsWon: net.length > 0 ? net.filter((value) => value > 0).length / net.length : null,
    bySession: sessions,
    equity,
    caveats: CAVEATS,
  };
}

/** Of the returns of equal periods that fill so many sessions. */
export function sharpeOf(returns: readonly number[], sessions: number): Sharpe {
  const periods = returns.length;
  if (periods < 2 || sessions === 0) return { value: null, standardError: null, periods };
  const mean = returns.reduce((sum, value) => sum + value, 0) / periods;
  const variance = returns.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (periods - 1);
  if (!(variance > 0)) return { value: null, standardError: null, periods };
  const ratio = mean / Math.sqrt(variance);
  const annual = Math.sqrt((SESSIONS_A_YEAR * periods) / sessions);
  return { value: ratio * annual, standardError: Math.sqrt((1 + ratio ** 2 / 2) / periods) * annual, periods };
}

/** Largest fall from the highest value before, the start of 1 included. */
export function maxDrawdown(values: readonly number[]): number {
  let highest = 1;
  let worst = 0;
  for (const value of values) {
    highest = Math.max(highest, value);
    worst = Math.max(worst, 1 - value / highest);
  }
  return worst;
}
