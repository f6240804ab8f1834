/** The bars of the simulated market as a store would have them, without an exchange in between. */
import type { MarketBars, Session } from '../../bars/index.ts';
import type { Market } from './market.ts';

/**
 * Every bar of whole sessions, over shared memory.
 * @param symbols sorted; all of the market's by default
 * @throws BARCAST_E_SYMBOL for a symbol that is not listed
 */
export function barsOfMarket(
  market: Market,
  sessions: readonly Session[],
  symbols: readonly string[] = market.symbols,
): MarketBars {
  const most = symbols.length * sessions.reduce((sum, { open, close }) => sum + close - open, 0);
  const column = () => new Float64Array(new SharedArrayBuffer(8 * most));
  const minute = new Int32Array(new SharedArrayBuffer(4 * most));
  const bars = { open: column(), high: column(), low: column(), close: column(), volume: column() };
  const names = ['open', 'high', 'low', 'close', 'volume'] as const;
  const offsets = new Int32Array(symbols.length + 1);
  let row = 0;
  for (const [s, symbol] of symbols.entries()) {
    for (const session of sessions) {
      const path = market.day(symbol, session);
      for (let t = 0; t < path.close.length; t++) {
        if (path.traded[t] === 0) continue;
        minute[row] = session.open + t;
        for (const name of names) bars[name][row] = path[name][t];
        row++;
      }
    }
    offsets[s + 1] = row;
  }
  const cut = (array: Float64Array) => array.subarray(0, row);
  return {
    symbols,
    offsets,
    minute: minute.subarray(0, row),
    open: cut(bars.open),
    high: cut(bars.high),
    low: cut(bars.low),
    close: cut(bars.close),
    volume: cut(bars.volume),
  };
}
