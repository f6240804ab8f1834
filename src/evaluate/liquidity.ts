/** How much a symbol is traded: currency a session minute, over the sessions in which it has a bar. */
import { type MarketBars, sessionAt } from '../bars/index.ts';
import { type EpochMinute, epochMinute } from '../base/index.ts';

/**
 * `[symbols]` sum of close x volume over the bars of regular sessions, divided by the minutes of those sessions; NaN
 * for a symbol without a bar in one. A minute without a trade counts as 0, and so does a volume that was not given.
 */
export function turnoverPerMinute(bars: MarketBars): Float64Array {
  const { symbols, offsets, minute, close, volume } = bars;
  return Float64Array.from(symbols, (_, s) => {
    let turnover = 0;
    let minutes = 0;
    let open: EpochMinute | undefined;
    for (let row = offsets[s]; row < offsets[s + 1]; row++) {
      const session = sessionAt(epochMinute(minute[row]));
      if (session === undefined) continue;
      if (session.open !== open) minutes += session.close - (open = session.open);
      const traded = close[row] * volume[row];
      if (traded > 0) turnover += traded;
    }
    return minutes > 0 ? turnover / minutes : Number.NaN;
  });
}
