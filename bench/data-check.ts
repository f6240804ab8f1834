/** What `bench data` checks before it times: the fast paths against slow and obvious ones. */
import { type MarketBars, type Session, sessionAt } from '../src/bars/index.ts';
import { BarcastError, type EpochMinute, Random } from '../src/base/index.ts';
import { buildWindowsOnThreads, type Recipe, type WindowSet } from '../src/features/index.ts';
import { NdjsonReader, ruleOf, SymbolTable, TradeBatch, TradeBuilder } from '../src/sources/index.ts';

const wrong = (what: string): BarcastError =>
  new BarcastError('BARCAST_E_INTERNAL', `${what} is not what the slow way gives`, 'nothing was timed; report this');

/** @throws BARCAST_E_INTERNAL when a store does not give back the bars that it was filled with */
export function checkBars(found: MarketBars, expected: MarketBars): void {
  if (found.symbols.join() !== expected.symbols.join()) throw wrong('the list of symbols read from the store');
  for (const name of ['offsets', 'minute', 'open', 'high', 'low', 'close', 'volume'] as const) {
    const [a, b] = [found[name], expected[name]];
    if (a.length !== b.length) throw wrong(`the number of rows read from the store (${a.length} of ${b.length})`);
    for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) throw wrong(`${name} of row ${i} read from the store`);
  }
}

/** One symbol's windows, walked minute by minute with an object for each. */
function slowWindows(bars: MarketBars, s: number, { windowLength: T, horizonMinutes: H, quiet }: Recipe): string[] {
  const closes = new Map<number, number>();
  for (let row = bars.offsets[s]; row < bars.offsets[s + 1]; row++) closes.set(bars.minute[row], bars.close[row]);
  const sessions = new Map<number, Session>();
  for (const minute of closes.keys()) {
    const session = sessionAt(minute as EpochMinute);
    if (session !== undefined) sessions.set(session.open, session);
  }
  const found: string[] = [];
  for (const session of sessions.values()) {
    const last = Math.max(...[...closes.keys()].filter((m) => m >= session.open && m < session.close));
    for (let asOf = session.open + T; asOf <= session.close; asOf++) {
      const minutes = Array.from({ length: T }, (_, i) => asOf - T + i);
      const traded = minutes.map((minute) => closes.has(minute));
      // The generated market has single quiet minutes only: no run of them is too long.
      const began = [...closes.keys()].some((m) => m >= session.open && m <= minutes[0]);
      if (!began || !traded[T - 1] || traded.filter((there) => !there).length > quiet.most) continue;
      if (asOf + H > last + 1) continue;
      let ahead = asOf + H - 1;
      while (!closes.has(ahead)) ahead--;
      found.push(`${asOf} ${closes.get(asOf - 1)} ${closes.get(ahead)}`);
    }
  }
  return found;
}

/** @throws BARCAST_E_INTERNAL when windows made on threads are not those of the slow way */
export async function checkWindows(bars: MarketBars, recipe: Recipe, symbols: readonly number[]): Promise<WindowSet> {
  const windows = await buildWindowsOnThreads(bars, recipe, { requireTarget: true });
  for (const s of symbols) {
    const found: string[] = [];
    for (let w = 0; w < windows.starts.length; w++) {
      if (windows.symbol[w] === s) found.push(`${windows.asOf[w]} ${windows.lastClose[w]} ${windows.targetClose[w]}`);
    }
    if (found.join() !== slowWindows(bars, s, recipe).join()) throw wrong(`the windows of ${bars.symbols[s]}`);
  }
  return windows;
}

export interface Trade {
  readonly symbol: string;
  readonly timeMs: number;
  readonly price: number;
  readonly size: number;
  readonly conditions: readonly string[];
  readonly id: number;
}

const START = Date.parse('2024-03-04T14:30:00Z');
/** Trades whose conditions let all of them set every price, odd lots among them. */
export function randomTrades(count: number, symbols = 500): Trade[] {
  const random = new Random(1, 3);
  return Array.from({ length: count }, (_, id) => ({
    symbol: `G${String(random.below(symbols)).padStart(4, '0')}`,
    // Two seconds out of order at most.
    timeMs: START + Math.floor(id / 20) + random.below(2000),
    price: (10_000 + random.below(300)) / 100,
    size: 1 + random.below(500),
    conditions: random.uniform() < 0.2 ? ['@', 'I'] : ['@'],
    id,
  }));
}

export const ndjsonOf = (trades: readonly Trade[]): Buffer =>
  Buffer.from(
    trades
      .map(({ symbol: S, timeMs, price: p, size: s, conditions: c, id: i }) =>
        JSON.stringify({ T: 't', S, i, x: 'V', p, s, c, t: new Date(timeMs).toISOString(), z: 'A' }),
      )
      .join('\n'),
  );

export function batchOf(trades: readonly Trade[], symbols: SymbolTable): TradeBatch {
  const batch = new TradeBatch(trades.length);
  for (const { symbol, timeMs, price, size, conditions, id } of trades)
    batch.add(symbols.numberOf(symbol), timeMs, price, size, ruleOf(conditions.join('')), id);
  return batch;
}

/** Bars of trades in a buffer of NDJSON, as text. */
export function barsOfNdjson(bytes: Buffer): { bars: string[]; trades: number } {
  const symbols = new SymbolTable();
  const builder = new TradeBuilder();
  const reader = new NdjsonReader(symbols, 'the benchmark');
  const batch = new TradeBatch();
  for (let at = 0; at < bytes.length; at += 1 << 16) {
    batch.clear();
    reader.push(bytes.subarray(at, at + (1 << 16)), batch);
    builder.push(batch);
  }
  batch.clear();
  reader.finish(batch);
  builder.push(batch);
  builder.finish();
  const { count, symbol, minute, open, high, low, close, volume } = builder.drain();
  const bars = Array.from({ length: count }, (_, i) =>
    [symbols.names[symbol[i]], minute[i], open[i], high[i], low[i], close[i], volume[i]].join(' '),
  );
  return { bars: bars.sort(), trades: builder.counts.trades };
}

/** @throws BARCAST_E_INTERNAL when bars of trades, by way of NDJSON, are not those of the slow way */
export function checkTrades(trades: readonly Trade[]): void {
  const minutes = Map.groupBy(trades, ({ symbol, timeMs }) => `${symbol} ${Math.floor(timeMs / 60_000)}`);
  const expected: string[] = [];
  for (const [key, own] of minutes) {
    const regular = own.filter(({ conditions }) => !conditions.includes('I')).sort((a, b) => a.timeMs - b.timeMs);
    if (regular.length === 0) continue;
    const prices = regular.map(({ price }) => price);
    const volume = own.reduce((sum, { size }) => sum + size, 0);
    expected.push([key, prices[0], Math.max(...prices), Math.min(...prices), prices.at(-1), volume].join(' '));
  }
  if (barsOfNdjson(ndjsonOf(trades)).bars.join('\n') !== expected.sort().join('\n')) throw wrong('the bars of trades');
}
