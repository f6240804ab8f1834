/** Parts of a market's bars by time, and the sessions they lie in. */
import { dayOf, type MarketBars, type Session, sessionsBetween } from '../bars/index.ts';
import { epochMinute, lowerBound } from '../base/index.ts';

/** The bars with `from <= minute < to`; the symbols stay, also those left without a bar. */
export function sliceBars(bars: MarketBars, from: number, to: number): MarketBars {
  const { symbols, offsets, minute } = bars;
  const starts = new Int32Array(symbols.length);
  const ends = new Int32Array(symbols.length);
  const kept = new Int32Array(symbols.length + 1);
  for (let s = 0; s < symbols.length; s++) {
    starts[s] = lowerBound(minute, from, offsets[s], offsets[s + 1]);
    ends[s] = lowerBound(minute, to, starts[s], offsets[s + 1]);
    kept[s + 1] = kept[s] + ends[s] - starts[s];
  }
  const copy = <A extends Int32Array | Float64Array>(column: A, part: A): A => {
    for (let s = 0; s < symbols.length; s++) part.set(column.subarray(starts[s], ends[s]), kept[s]);
    return part;
  };
  const floats = (column: Float64Array) => copy(column, new Float64Array(kept[symbols.length]));
  return {
    symbols,
    offsets: kept,
    minute: copy(minute, new Int32Array(kept[symbols.length])),
    open: floats(bars.open),
    high: floats(bars.high),
    low: floats(bars.low),
    close: floats(bars.close),
    volume: floats(bars.volume),
  };
}

/** The sessions in which the market has at least one bar, in order. */
export function sessionsOf({ minute }: MarketBars): Session[] {
  if (minute.length === 0) return [];
  let first = minute[0];
  let last = minute[0];
  const utcDays = new Set<number>();
  for (const at of minute) {
    first = Math.min(first, at);
    last = Math.max(last, at);
    utcDays.add(Math.floor(at / 1440));
  }
  return sessionsBetween(dayOf(epochMinute(first)), dayOf(epochMinute(last))).filter(({ open }) =>
    utcDays.has(Math.floor(open / 1440)),
  );
}
