import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bar } from '../../src/bars/index.ts';
import type { EpochMinute } from '../../src/base/index.ts';
import { buildWindows, fillMarket, LiveMarket, type Recipe, recipeOf } from '../../src/features/index.ts';
import { bitsOf, columnsOf, keysOf, randomMarket, SESSIONS } from './fixtures.ts';

const byTime = (bars: Bar[]): Bar[] => bars.toSorted((a, b) => a.minute - b.minute || (a.symbol < b.symbol ? 1 : -1));

/** A scaler fitted without every fifth symbol: its loadings must be learned from its own runs. */
function fitWithUnseen(recipe: Recipe, bars: readonly Bar[]) {
  const known = columnsOf(bars.filter(({ symbol }) => Number(symbol.slice(3)) % 5 !== 0));
  return recipe.fit(buildWindows(known, recipe, { requireTarget: true }), known);
}

for (const name of ['returns', 'cs205'] as const) {
  test(`live windows have the bits of batch windows, bar after bar: ${name}`, () => {
    const recipe = recipeOf(name);
    let compared = 0;
    for (let seed = 200; seed < 205; seed++) {
      const bars = randomMarket(seed, 20);
      const unscaled = buildWindows(columnsOf(bars), recipe, { requireTarget: false });
      const scaler = fitWithUnseen(recipe, bars);
      fillMarket(unscaled, recipe, scaler, columnsOf(bars));
      const batch = recipe.scale(unscaled, scaler);
      const expected = new Map(keysOf(batch).map((key, w) => [key, bitsOf(batch, w, 60)]));
      const market = new LiveMarket(recipe, scaler);
      const pushed = byTime(bars);
      for (let i = 0; i < pushed.length; ) {
        const { minute } = pushed[i];
        const ended: string[] = [];
        for (; i < pushed.length && pushed[i].minute === minute; i++) {
          if (market.push(pushed[i]) === 'window') ended.push(pushed[i].symbol);
        }
        const live = market.windows(ended);
        assert.deepEqual(live.symbols, ended.toSorted());
        keysOf(live).forEach((key, w) => {
          assert.equal(live.asOf[w], minute + 1);
          assert.equal(bitsOf(live, w, 60), expected.get(key), key);
          assert.ok(Number.isNaN(live.targetClose[w]));
          expected.delete(key);
          compared++;
        });
      }
      assert.deepEqual([...expected.keys()], [], 'windows that live did not see');
      assert.equal(market.symbolCount, 20);
    }
    assert.ok(compared > 1500, `${compared} windows were compared`);
  });
}

const { open, close } = SESSIONS[0];
const barAt = (minute: number, change: Partial<Bar> = {}): Bar => ({
  symbol: 'A',
  minute: minute as EpochMinute,
  open: 10,
  high: 11,
  low: 9,
  close: 10 + 0.1 * Math.sin(minute),
  volume: 100,
  ...change,
});

test('what becomes of a pushed bar', () => {
  const market = new LiveMarket(recipeOf('returns'), {});
  assert.equal(market.push(barAt(open - 1)), 'outOfSession');
  assert.equal(market.push(barAt(open)), 'warming');
  assert.equal(market.push(barAt(open)), 'repeated');
  for (let m = open + 1; m < open + 59; m++) assert.equal(market.push(barAt(m)), 'warming');
  assert.equal(market.windows(['A']).starts.length, 0);
  assert.equal(market.push(barAt(open + 59)), 'window');
  const before = bitsOf(market.windows(['A']), 0, 60);
  assert.equal(market.push(barAt(open + 59, { close: 9.5 })), 'repeated');
  assert.equal(market.push(barAt(open + 3, { close: 9.5 })), 'late');
  assert.equal(market.push(barAt(close)), 'outOfSession');
  assert.equal(bitsOf(market.windows(['A']), 0, 60), before, 'ignored bars change nothing');
  assert.equal(market.push(barAt(open + 60, { close: Number.NaN })), 'unusable');
  assert.equal(market.windows(['A']).starts.length, 0);
  assert.equal(market.push(barAt(open + 60)), 'repeated');
  for (let m = open + 61; m < open + 120; m++) assert.equal(market.push(barAt(m)), 'warming');
  assert.equal(market.push(barAt(open + 120)), 'window');
  assert.equal(market.push(barAt(open + 120 + 17)), 'warming', 'a gap');
  const nextDay = SESSIONS[1].open;
  assert.equal(market.push(barAt(nextDay + 59)), 'warming', 'a new session');
  assert.equal(market.push(barAt(close - 1)), 'late');
});

test('windows answers for known, ready symbols only, each once and sorted', () => {
  const market = new LiveMarket(recipeOf('returns'), {});
  for (let m = open; m < open + 60; m++) {
    for (const symbol of ['B', 'C', 'A']) if (symbol !== 'C' || m > open) market.push(barAt(m, { symbol }));
  }
  const windows = market.windows(['B', 'A', 'B', 'C', 'NONE']);
  assert.deepEqual(windows.symbols, ['A', 'B']);
  assert.deepEqual([...windows.symbol], [0, 1]);
});

test('a window handed out keeps its rows until its symbol has a whole window of new rows', () => {
  for (let first = 60; first < 330; first += 7) {
    const market = new LiveMarket(recipeOf('returns'), {});
    for (let m = open; m < open + first; m++) market.push(barAt(m));
    const held = market.windows(['A']);
    const before = bitsOf(held, 0, 60);
    for (let m = open + first; m < open + first + 60; m++) {
      market.push(barAt(m));
      market.push(barAt(m, { symbol: `S${m}` }));
    }
    assert.equal(bitsOf(held, 0, 60), before, `after ${first} rows`);
  }
});

test('memory does not grow with the number of bars', () => {
  const market = new LiveMarket(recipeOf('returns'), {});
  const sizes = new Set<number>();
  for (const session of SESSIONS) {
    for (let m: number = session.open; m < session.close; m++) {
      if (market.push(barAt(m)) === 'window') sizes.add(market.windows(['A']).matrix.length);
    }
  }
  assert.equal(sizes.size, 1);
});

test('a market joined in mid-session agrees as soon as its first row has left the window', () => {
  const bars = Array.from({ length: 200 }, (_, i) => barAt(open + i, { volume: 1 + ((i * i) % 977) }));
  const whole = new LiveMarket(recipeOf('returns'), {});
  const joined = new LiveMarket(recipeOf('returns'), {});
  let compared = 0;
  bars.forEach((bar, i) => {
    whole.push(bar);
    if (i < 30) return;
    joined.push(bar);
    if (i < 30 + 60) return;
    assert.equal(bitsOf(joined.windows(['A']), 0, 60), bitsOf(whole.windows(['A']), 0, 60));
    compared++;
  });
  assert.equal(compared, 110);
});
