/** A source of history with a few flaws in it, the same in every process. */

import { sessionAt } from '../../src/bars/index.ts';
import { epochMinute, epochMs } from '../../src/base/index.ts';
import type { HistorySource } from '../../src/sources/index.ts';

export const SYMBOLS = Array.from({ length: 10 }, (_, i) => `S${i + 10}`);
export const FROM = epochMinute(Date.parse('2020-01-02T05:00:00Z') / 60_000);
export const TO = epochMinute(Date.parse('2020-01-04T05:00:00Z') / 60_000);

export const PLAIN_SOURCE: HistorySource = {
  name: 'plain',
  clock: { now: () => epochMs(Date.parse('2020-02-01T00:00:00Z')) },
  tellsCover: true,
  async *history({ symbols, from, to, spans }) {
    for (const symbol of symbols) {
      if (spans !== undefined && !spans.has(symbol)) continue;
      const times: number[] = [];
      for (let m = from as number; m < to; m++) if (sessionAt(epochMinute(m))) times.push(m * 60_000);
      // An off-minute row, and a repeat with another price.
      times.push(times[0]! + 1500, times[1]!);
      const price = Float64Array.from(times, (_, i) => 10 + i + symbol.charCodeAt(2) / 100);
      const volume = price.map((_, i) => i % 7);
      yield {
        symbol,
        timeMs: Float64Array.from(times),
        open: price,
        high: price,
        low: price,
        close: price,
        volume,
        askedAt: this.clock.now(),
        covers: { from, to },
      };
    }
    return { unknown: [], failed: [] };
  },
};
