/** Random trades with every kind of trouble, and a slow, obvious implementation of bars to compare with. */
import { Random } from '../../../src/base/index.ts';
import { ruleOf, type SymbolTable, type TradeBars, TradeBatch } from '../../../src/sources/index.ts';

export interface Trade {
  readonly symbol: string;
  readonly timeMs: number;
  readonly price: number;
  readonly size: number;
  readonly conditions: string;
  readonly id: number;
  /** A word about the trade of that id. */
  readonly action?: 'cancel' | 'correct';
}

export const START = Date.parse('2020-01-02T14:30:00Z');
const CONDITIONS = ['@', '', '@', '@FT', '@I', 'Z', '4', 'W', 'C', '@ 6', 'M', 'Q', '@ F', 'L', '?', '9', 'O', 'FI'];

/** Trades of a few minutes, each at most `disorderMs` out of order, some cancelled or corrected soon after. */
export function randomTrades(seed: number, count: number, disorderMs: number, corrections = false): Trade[] {
  const random = new Random(seed, 5);
  const symbols = ['AAPL', 'BRK-B', 'SPY', 'THIN'];
  const trades: { at: number; trade: Trade }[] = [];
  for (let id = 0; id < count; id++) {
    const timeMs = START + Math.floor((id / count) * 600_000) + random.below(3);
    const symbol = symbols[random.uniform() < 0.01 ? 3 : random.below(3)];
    const trade: Trade = {
      symbol,
      timeMs,
      price: Math.round(10_000 + 50 * random.normal()) / 100,
      size: random.below(500),
      conditions: CONDITIONS[random.below(CONDITIONS.length)],
      id,
    };
    const at = timeMs + random.below(disorderMs);
    trades.push({ at, trade });
    if (!corrections || random.uniform() > 0.05) continue;
    const action = random.uniform() < 0.5 ? 'cancel' : 'correct';
    trades.push({ at: at + 1, trade: { ...trade, price: trade.price + 1, size: trade.size + 7, action } });
  }
  return trades.sort((a, b) => a.at - b.at).map(({ trade }) => trade);
}

export function batchOf(trades: readonly Trade[], symbols: SymbolTable): TradeBatch {
  const batch = new TradeBatch();
  for (const { symbol, timeMs, price, size, conditions, id, action } of trades) {
    const bits = action === 'cancel' ? 16 : action === 'correct' ? 32 : 0;
    batch.add(symbols.numberOf(symbol), timeMs, price, size, ruleOf(conditions) | bits, id);
  }
  return batch;
}

/** `symbol minute open high low close volume trades vwap`, sorted. */
export function oracleBars(trades: readonly Trade[]): string[] {
  const may: Record<string, [highLow: boolean, last: 'yes' | 'only' | 'no', volume: boolean]> = {
    '@': [true, 'yes', true],
    F: [true, 'yes', true],
    O: [true, 'yes', true],
    '6': [true, 'yes', true],
    Z: [true, 'only', true],
    L: [true, 'only', true],
    '4': [true, 'only', true],
    T: [false, 'no', true],
    I: [false, 'no', true],
    W: [false, 'no', true],
    C: [false, 'no', true],
    '?': [false, 'no', true],
    M: [false, 'no', false],
    Q: [false, 'no', false],
    '9': [true, 'yes', false],
  };
  const live: Trade[] = [];
  for (const trade of trades) {
    const of = live.findIndex((other) => other.id === trade.id && other.symbol === trade.symbol);
    if (trade.action === 'cancel') live.splice(of, 1);
    else if (trade.action === 'correct')
      live[of] = { ...live[of], price: trade.price, size: trade.size, conditions: trade.conditions };
    else live.push(trade);
  }
  const minutes = Map.groupBy(live, ({ symbol, timeMs }) => `${symbol} ${Math.floor(timeMs / 60_000)}`);
  const lines: string[] = [];
  for (const [minute, own] of minutes) {
    const rules = own.map((trade) => {
      const all = [...trade.conditions].filter((code) => code !== ' ').map((code) => may[code]);
      const lasts = all.map(([, last]) => last);
      return {
        ...trade,
        highLow: all.every(([highLow]) => highLow),
        last: lasts.includes('no') ? 'no' : lasts.includes('only') ? 'only' : 'yes',
        counts: all.every(([, , volume]) => volume),
      };
    });
    const full = rules.filter(({ last }) => last === 'yes');
    const byTime = full.toSorted((a, b) => a.timeMs - b.timeMs);
    const setters = full.length > 0 ? byTime : rules.filter(({ last }) => last === 'only');
    if (setters.length === 0) continue;
    const open = setters[0].price;
    const close = setters.at(-1)!.price;
    const range = [open, close, ...rules.filter(({ highLow }) => highLow).map(({ price }) => price)];
    const volume = rules.filter(({ counts }) => counts);
    const priced = volume.filter(({ highLow }) => highLow);
    const shares = priced.reduce((sum, { size }) => sum + size, 0);
    const vwap = shares > 0 ? priced.reduce((sum, { price, size }) => sum + price * size, 0) / shares : Number.NaN;
    lines.push(
      [
        minute,
        open,
        Math.max(...range),
        Math.min(...range),
        close,
        volume.reduce((sum, { size }) => sum + size, 0),
        volume.length,
        vwap.toFixed(6),
      ].join(' '),
    );
  }
  return lines.sort();
}

export function linesOf(bars: TradeBars, symbols: SymbolTable): string[] {
  return Array.from({ length: bars.count }, (_, i) =>
    [
      symbols.names[bars.symbol[i]],
      bars.minute[i],
      bars.open[i],
      bars.high[i],
      bars.low[i],
      bars.close[i],
      bars.volume[i],
      bars.tradeCount[i],
      bars.vwap[i].toFixed(6),
    ].join(' '),
  ).sort();
}
