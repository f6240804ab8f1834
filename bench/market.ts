/** A market of any size, made as fast as memory takes it: random walks at cents, quiet minutes and gaps among them. */
import { type MarketBars, type Session, sessionsBetween } from '../src/bars/index.ts';
import type { DayString } from '../src/base/index.ts';

/** The first `count` sessions from a day on. */
export function sessionsFrom(day: string, count: number): Session[] {
  const years = Math.ceil(count / 250) + 1;
  const end = `${Number(day.slice(0, 4)) + years}${day.slice(4)}`;
  return sessionsBetween(day as DayString, end as DayString).slice(0, count);
}

/** `G0000`, `G0001`, … */
export const generatedSymbols = (count: number): string[] =>
  Array.from({ length: count }, (_, s) => `G${String(s).padStart(4, '0')}`);

/** Of 256 minutes of a symbol one has no trade, so that windows have quiet rows. */
const ABSENT = 1 / 256;

/**
 * Bars of `symbols` over sessions, in parts of some sessions each, the whole market in every part. The same seed gives
 * the same bars, whatever the parts.
 */
export function* generatedMarket(options: {
  readonly symbols: number;
  readonly sessions: readonly Session[];
  readonly sessionsAPart: number;
  readonly seed?: number;
}): Generator<MarketBars> {
  const { sessions, sessionsAPart, seed = 1 } = options;
  const symbols = generatedSymbols(options.symbols);
  // A state of the generator and a price for each symbol, carried from part to part.
  const states = Int32Array.from(symbols, (_, s) => Math.imul(seed * 7919 + s + 1, 0x9e3779b1) | 1);
  const begin = Float64Array.from(symbols, (_, s) => 2000 + 37 * ((s * 61) % 997));
  const cents = begin.slice();
  for (let first = 0; first < sessions.length; first += sessionsAPart) {
    yield part(symbols, sessions.slice(first, first + sessionsAPart), states, begin, cents);
  }
}

function part(
  symbols: readonly string[],
  sessions: readonly Session[],
  states: Int32Array,
  begin: Float64Array,
  cents: Float64Array,
): MarketBars {
  const most = symbols.length * sessions.reduce((sum, { open, close }) => sum + close - open, 0);
  const column = () => new Float64Array(new SharedArrayBuffer(8 * most));
  const minute = new Int32Array(new SharedArrayBuffer(4 * most));
  const [open, high, low, close, volume] = [column(), column(), column(), column(), column()];
  const offsets = new Int32Array(symbols.length + 1);
  let row = 0;
  for (let s = 0; s < symbols.length; s++) {
    let state = states[s];
    let price = cents[s];
    const step = begin[s] * 0.0006;
    for (const session of sessions) {
      for (let now: number = session.open; now < session.close; now++) {
        // Xorshift (Marsaglia 2003); its bits serve for several choices.
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        const bits = state >>> 0;
        if (bits * 2 ** -32 < ABSENT) continue;
        const before = price;
        price = Math.max(100, Math.round(price + step * (((bits & 1023) + ((bits >>> 10) & 1023)) / 1024 - 1)));
        minute[row] = now;
        open[row] = before / 100;
        close[row] = price / 100;
        high[row] = (Math.max(before, price) + ((bits >>> 20) & 3)) / 100;
        low[row] = (Math.min(before, price) - ((bits >>> 22) & 3)) / 100;
        volume[row] = 100 + ((bits >>> 8) & 0xffff);
        row++;
      }
    }
    states[s] = state;
    cents[s] = price;
    offsets[s + 1] = row;
  }
  const cut = <A extends Int32Array | Float64Array>(array: A) => array.subarray(0, row) as A;
  return {
    symbols,
    offsets,
    minute: cut(minute),
    open: cut(open),
    high: cut(high),
    low: cut(low),
    close: cut(close),
    volume: cut(volume),
  };
}
