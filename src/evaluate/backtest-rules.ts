/** How a backtest trades. */
import { BarcastError } from '../base/index.ts';

export interface BacktestRules {
  /** Symbols held long, and as many short, each with an equal share of half the capital. */
  readonly top: number;
  /** Minutes between two rounds of orders; the forecasts' horizon. */
  readonly holdMinutes: number;
  /** Fee on the value of every trade, basis points. */
  readonly feeBps: number;
  /** `roll` estimates each symbol's spread from the bars before; a number is the whole spread in basis points for all. */
  readonly spread: 'roll' | number;
  /** Forecasts nearer to 0 than this, basis points, are not traded on. */
  readonly leastBps: number;
}

/** @throws BARCAST_E_USAGE for rules that make no trades */
export function checkRules({ top, holdMinutes, feeBps, spread, leastBps }: BacktestRules): void {
  const sound =
    Number.isInteger(top) &&
    top >= 1 &&
    Number.isInteger(holdMinutes) &&
    holdMinutes >= 1 &&
    feeBps >= 0 &&
    leastBps >= 0 &&
    (spread === 'roll' || spread >= 0);
  if (sound) return;
  throw new BarcastError(
    'BARCAST_E_USAGE',
    'a backtest needs at least one symbol a side, one minute to hold, and costs that are not negative',
    'choose others',
  );
}
