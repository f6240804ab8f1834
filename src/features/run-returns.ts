/** One symbol's one-minute log returns, bar by bar, by the rules of `rows.ts`: what the market's factors are made of. */
import { type MarketBars, sessionAt } from '../bars/index.ts';
import { type EpochMinute, lowerBound } from '../base/index.ts';
import { isUsable, logReturnOf } from './rows.ts';

/**
 * Told of every usable bar of a symbol within a session.
 * @param minute EpochMinute
 * @param logReturn over the run's previous close, or over the open where a run begins
 * @param beginsRun whether the bar begins a run
 * @param sessionOpen EpochMinute
 */
export type VisitReturn = (minute: number, logReturn: number, beginsRun: boolean, sessionOpen: number) => void;

/** Visits the usable bars of symbol `index` with `from <= minute < to`, in order of time. */
export function visitReturns(
  bars: MarketBars,
  index: number,
  longestQuietRun: number,
  from: number,
  to: number,
  visit: VisitReturn,
): void {
  const { minute, open, high, low, close, volume } = bars;
  let sessionOpen = 0;
  let sessionClose = 0;
  let previous = -1; // the run's last bar
  const end = bars.offsets[index + 1];
  for (let bar = lowerBound(minute, from, bars.offsets[index], end); bar < end; bar++) {
    const now = minute[bar];
    if (now >= to) break;
    if (now < sessionOpen || now >= sessionClose) {
      previous = -1;
      const session = sessionAt(now as EpochMinute);
      if (session === undefined) continue;
      sessionOpen = session.open;
      sessionClose = session.close;
    }
    if (!isUsable(open[bar], high[bar], low[bar], close[bar], volume[bar])) {
      previous = -1;
      continue;
    }
    const begins = previous < 0 || now - minute[previous] - 1 > longestQuietRun;
    visit(now, logReturnOf(close[bar], begins ? open[bar] : close[previous]), begins, sessionOpen);
    previous = bar;
  }
}
