/** The simulated market: determined by its seed, and shaped like bars of real stocks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sessionOf, sessionsBetween } from '../../src/bars/index.ts';
import type { DayString } from '../../src/base/index.ts';
import { Market } from '../../src/sources/index.ts';

const day = (text: string) => sessionOf(text as DayString)!;
const FIVE_WEEKS = sessionsBetween('2025-09-29' as DayString, '2025-10-31' as DayString);

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
function correlation(a: readonly number[], b: readonly number[]): number {
  const ma = mean(a);
  const mb = mean(b);
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    ab += (a[i] - ma) * (b[i] - mb);
    aa += (a[i] - ma) ** 2;
    bb += (b[i] - mb) ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}
const returnsOf = (close: Float64Array) => Array.from(close.subarray(1), (price, t) => Math.log(price / close[t]));

const RELEASED = [
  [17.0065, 17.0155, 17.0016, 17.0149, 21909],
  [17.0567, 17.0624, 17.0427, 17.0491, 48325],
];

test('a symbol-day is the same whatever was asked before, and another with another seed, symbol or day', () => {
  const friday = day('2025-10-17');
  const alone = new Market({ seed: 7 }).day('MSFT', friday);
  const market = new Market({ seed: 7, symbols: ['MSFT', 'AAPL'] });
  for (const session of FIVE_WEEKS) market.day('AAPL', session);
  assert.deepEqual(market.day('MSFT', friday), alone);
  assert.strictEqual(market.day('MSFT', friday), market.day('MSFT', friday), 'a day is kept');
  const others = [
    new Market({ seed: 8 }).day('MSFT', friday),
    market.day('AAPL', friday),
    market.day('MSFT', day('2025-10-16')),
  ];
  for (const other of others) {
    assert.ok(Math.abs(correlation(returnsOf(other.close), returnsOf(alone.close))) < 0.7);
    assert.notDeepEqual(other.volume, alone.volume);
  }
});

test('a market of any seed stays as it was when it was released', () => {
  const path = new Market({ seed: 1 }).day('AAPL', day('2025-10-06'));
  const bar = (t: number) => [path.open[t], path.high[t], path.low[t], path.close[t], path.volume[t]];
  assert.deepEqual([bar(0), bar(389)], RELEASED);
});

test('bars hold together: low <= open, close <= high, whole volumes, positive prices', () => {
  const market = new Market({ seed: 3 });
  for (const symbol of market.symbols.slice(0, 60)) {
    const { open, high, low, close, volume } = market.day(symbol, FIVE_WEEKS[4]);
    for (let t = 0; t < close.length; t++) {
      assert.ok(low[t] > 0 && low[t] <= Math.min(open[t], close[t]) && high[t] >= Math.max(open[t], close[t]));
      assert.ok(Number.isInteger(volume[t]) && volume[t] >= 1);
    }
  }
});

test('prices reach from about one dollar to thousands; a few symbols are thin and miss minutes', () => {
  const market = new Market({ seed: 1 });
  const opens = market.symbols.map((symbol) => market.day(symbol, FIVE_WEEKS[0]).open[0]);
  assert.ok(Math.min(...opens) < 5 && Math.min(...opens) > 0.5, `lowest ${Math.min(...opens)}`);
  assert.ok(Math.max(...opens) > 1000 && Math.max(...opens) < 20_000, `highest ${Math.max(...opens)}`);
  const thin = market.symbols.filter((symbol) => market.character(symbol).quiet > 0);
  assert.ok(thin.length >= 3 && thin.length <= 40, `${thin.length} thin symbols`);
  const { traded } = market.day(thin[0], FIVE_WEEKS[0]);
  const { quiet } = market.character(thin[0]);
  const absent = traded.filter((there) => there === 0).length / traded.length;
  assert.ok(Math.abs(absent - quiet) < 4 * Math.sqrt((quiet * (1 - quiet)) / traded.length), `${absent} for ${quiet}`);
});

test('sessions follow the calendar: a half-day has 210 minutes', () => {
  const market = new Market({ seed: 1 });
  assert.equal(market.day('SPY', day('2025-11-28')).close.length, 210);
  assert.equal(market.day('SPY', day('2025-11-26')).close.length, 390);
});

test('a rare symbol-day has a hole of 15 to 45 minutes', () => {
  const market = new Market({ seed: 1 });
  let holes = 0;
  let days = 0;
  for (const symbol of market.symbols.slice(0, 60)) {
    for (const session of FIVE_WEEKS) {
      const { hole, traded } = market.day(symbol, session);
      days++;
      if (hole.to === hole.from) continue;
      holes++;
      assert.ok(hole.to - hole.from <= 45 && (hole.to - hole.from >= 15 || hole.to === traded.length));
      assert.ok(traded.subarray(hole.from, hole.to).every((there) => there === 0));
    }
  }
  assert.ok(holes >= 1 && holes < days / 100, `${holes} holes in ${days} days`);
});

test('volume and volatility are high at the open and rise again at the close', () => {
  const market = new Market({ seed: 2 });
  const volume = [0, 0, 0];
  const move = [0, 0, 0];
  for (const symbol of market.symbols.slice(0, 40)) {
    const { close, volume: shares } = market.day(symbol, FIVE_WEEKS[2]);
    const typical = market.character(symbol);
    [1, 180, 370].forEach((from, part) => {
      for (let t = from; t < from + 19; t++) {
        volume[part] += shares[t] / typical.volume;
        move[part] += (Math.log(close[t] / close[t - 1]) / typical.volatility) ** 2;
      }
    });
  }
  assert.ok(volume[0] > 1.5 * volume[1] && volume[2] > 1.5 * volume[1], `${volume}`);
  assert.ok(move[0] > 1.5 * move[1] && move[2] > 1.05 * move[1], `${move}`);
});

test('volatility clusters: large moves follow large moves, beyond the time of day', () => {
  const market = new Market({ seed: 2, pattern: 'none' });
  const now: number[] = [];
  const later: number[] = [];
  for (const symbol of market.symbols.slice(0, 60)) {
    const returns = returnsOf(market.day(symbol, FIVE_WEEKS[1]).close).slice(100, 300).map(Math.abs);
    const level = mean(returns);
    for (let t = 0; t + 10 < returns.length; t++) {
      now.push(returns[t] / level);
      later.push(returns[t + 10] / level);
    }
  }
  const r = correlation(now, later);
  assert.ok(r > 4 / Math.sqrt(now.length), `correlation ${r}`);
});

test('symbols follow the index with the correlation of their character', () => {
  const market = new Market({ seed: 4, pattern: 'none' });
  const index: number[] = [];
  const returns: number[] = [];
  for (const session of FIVE_WEEKS.slice(0, 10)) {
    const minutes = returnsOf(market.day('SPY', session).close);
    const own = returnsOf(market.day('JPM', session).close);
    index.push(...minutes);
    returns.push(...own);
  }
  const { correlation: planted } = market.character('JPM');
  // The two have clusters of volatility of their own, which lower the correlation a little.
  const found = correlation(index, returns);
  assert.ok(found < planted + 0.05 && found > 0.8 * planted - 0.05, `${found} for ${planted}`);
});

test('an unlisted symbol and a strength that cannot be planted are refused', () => {
  const code = (expected: string) => (error: { code?: string }) => error.code === expected;
  assert.throws(() => new Market({ seed: 1, symbols: ['A'] }).day('B', FIVE_WEEKS[0]), code('BARCAST_E_SYMBOL'));
  assert.throws(() => new Market({ seed: 1, strength: 0.9 }), code('BARCAST_E_USAGE'));
});
