import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Bar, sessionAt } from '../../src/bars/index.ts';
import type { EpochMinute } from '../../src/base/index.ts';
import { buildWindows, kernelWindows, type Recipe, recipeOf } from '../../src/features/index.ts';
import { bitsOf, columnsOf, keysOf, oracleWindows, randomMarket, SESSIONS } from './fixtures.ts';

const returns = recipeOf('returns');
const cs205 = recipeOf('cs205');
const strict = { ...returns, quiet: { longestRun: 0, most: 0 } };
const few = { ...returns, quiet: { longestRun: 3, most: 10 } };

const near = (actual: number, expected: number, tolerance: number, what: string) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${what}: ${actual} is not ${expected}`);

function compareWithOracle(bars: Bar[], recipe: Recipe): number {
  const oracle = oracleWindows(bars, recipe);
  const all = buildWindows(columnsOf(bars), recipe, { requireTarget: false });
  assert.deepEqual(
    keysOf(all),
    oracle.map((window) => `${window.symbol}@${window.asOf}`),
  );
  const F = recipe.columns;
  const limit = (x: number) => Math.max(-0.5, Math.min(0.5, x));
  oracle.forEach((window, w) => {
    const last = window.minutes.at(-1)!;
    assert.equal(all.lastClose[w], last.bar!.close);
    assert.deepEqual(all.targetClose[w], window.targetClose);
    const squares = window.minutes.reduce((sum, m) => sum + limit(m.logReturn) ** 2, 0);
    const tick = last.price >= 1 ? 0.01 : 0.0001;
    const minuteVolatility = Math.max(Math.sqrt(squares / 60), 1e-4, tick / 2 / last.price);
    near(all.volatility[w], minuteVolatility * Math.sqrt(5), 1e-6 * minuteVolatility + 1e-7, 'volatility');
    if (w % 7 !== 0) return; // rows are shared by up to 60 windows
    window.minutes.forEach((m, t) => {
      const actual = all.matrix.subarray((all.starts[w] + t) * F, (all.starts[w] + t + 1) * F);
      const { high, low, close, volume } = m.bar ?? { high: m.price, low: m.price, close: m.price, volume: 0 };
      const shares = Number.isNaN(volume) ? 0 : volume;
      if (recipe.name === 'cs205') {
        assert.deepEqual([...actual], [Math.fround(m.price), Math.fround(shares)]);
        return;
      }
      near(actual[0], limit(m.logReturn), 2 ** -23, 'return');
      near(actual[1], Math.log1p(shares), 2 ** -16, 'volume');
      near(actual[2], limit(Math.log(high / low)), 2 ** -23, 'range');
      const position = high > low ? (close - low) / (high - low) - (high - close) / (high - low) : 0;
      near(actual[3], Math.max(-1, Math.min(1, position)), 1e-6, 'position of the close');
      assert.equal(actual[4], m.bar === undefined ? 1 : 0);
      near(actual[5], -1 + m.minutesSinceOpen / 195, 1e-6, 'clock');
    });
  });
  const known = buildWindows(columnsOf(bars), recipe, { requireTarget: true });
  assert.deepEqual(
    keysOf(known),
    keysOf(all).filter((_, w) => !Number.isNaN(all.targetClose[w])),
  );
  assert.ok(known.targetClose.every((close) => close > 0));
  assert.ok(all.matrix.every(Number.isFinite));
  return oracle.length;
}

for (const [label, recipe] of Object.entries({ returns, cs205, strict, few })) {
  test(`windows, rows and targets are those of the oracle: ${label}`, () => {
    let windows = 0;
    for (let seed = 0; seed < 6; seed++) windows += compareWithOracle(randomMarket(seed), recipe);
    assert.ok(windows > 1500, `${windows} windows were compared`);
  });
}

test('scales are those of the oracle and bound the inputs', () => {
  for (let seed = 20; seed < 25; seed++) {
    const bars = randomMarket(seed);
    const windows = returns.scale(buildWindows(columnsOf(bars), returns, { requireTarget: false }), {});
    const F = returns.features.length;
    const scales = kernelWindows(windows);
    assert.equal(scales.scaleStride, F);
    for (let w = 0; w < windows.starts.length; w++) {
      const column = (f: number) =>
        Array.from({ length: 60 }, (_, t) => windows.matrix[(windows.starts[w] + t) * returns.columns + f]);
      const minuteVolatility = windows.volatility[w] / Math.sqrt(5);
      const volumes = column(1);
      const mean = volumes.reduce((a, b) => a + b) / 60;
      const deviation = Math.sqrt(volumes.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 60);
      const rangeRms = Math.hypot(...column(2)) / Math.sqrt(60);
      const shift = scales.shift.subarray(w * F, (w + 1) * F);
      const gain = scales.gain.subarray(w * F, (w + 1) * F);
      assert.deepEqual([shift[0], shift[2], shift[3], shift[4], shift[5]], [0, 0, 0, 0, 0]);
      assert.deepEqual([gain[3], gain[4], gain[5]], [1, 1, 1]);
      near(gain[0] * minuteVolatility, 1, 1e-6, 'gain of the return');
      near(shift[1], mean, 1e-5, 'shift of the volume');
      near(gain[1] * Math.max(deviation, 0.1), 1, 1e-5, 'gain of the volume');
      near(gain[2] * Math.max(rangeRms / 4, minuteVolatility), 1, 1e-5, 'gain of the range');
      const bounds = [7.75, 7.75, 31, 1, 1, 1];
      bounds.forEach((bound, f) => {
        for (const x of column(f))
          assert.ok(Math.abs((x - shift[f]) * gain[f]) <= bound, `${returns.features[f]} ${x}`);
      });
    }
  }
});

test('scales do not depend on the order, the choice or the place of windows', async () => {
  const { selectWindows } = await import('../../src/features/index.ts');
  const windows = buildWindows(columnsOf(randomMarket(3)), returns, { requireTarget: false });
  const scaled = returns.scale(windows, {});
  const N = windows.starts.length;
  const indices = Int32Array.from({ length: 400 }, (_, i) => (i * 7919) % N);
  const alone = returns.scale(selectWindows(windows, indices), {});
  indices.forEach((w, i) => {
    assert.equal(bitsOf(alone, i, 60), bitsOf(scaled, w, 60));
  });
  const chosen = selectWindows(scaled, indices);
  assert.deepEqual(chosen.scales, alone.scales);
  assert.equal(chosen.matrix, windows.matrix);
});

const steady = (from: number, to: number, symbol = 'A'): Bar[] =>
  Array.from({ length: to - from }, (_, i) => {
    const close = 100 + Math.sin(from + i);
    return { symbol, minute: (from + i) as EpochMinute, open: 100, high: 102, low: 98, close, volume: 10 };
  });

test('a full session has open + 60 to close as ends of windows, a half-day to 13:00, and nothing crosses', () => {
  const bars = SESSIONS.flatMap((session) => steady(session.open - 90, session.close + 90));
  const windows = buildWindows(columnsOf(bars), strict, { requireTarget: false });
  const expected = SESSIONS.flatMap(({ open, close }) =>
    Array.from({ length: close - open - 59 }, (_, i) => open + 60 + i),
  );
  assert.deepEqual([...windows.asOf], expected);
  assert.deepEqual(
    SESSIONS.map(({ open, close }) => close - open),
    [390, 390, 210, 390],
  );
  Array.from(windows.asOf).forEach((asOf, w) => {
    const { open, close } = sessionAt((asOf - 1) as EpochMinute)!;
    assert.ok(asOf - 60 >= open);
    assert.equal(Number.isNaN(windows.targetClose[w]), asOf + 5 > close);
  });
});

test('one more quiet minute than accepted is a gap', () => {
  const { open } = SESSIONS[0];
  const withHole = (length: number) =>
    buildWindows(columnsOf([...steady(open, open + 30), ...steady(open + 30 + length, open + 120)]), returns, {
      requireTarget: false,
    });
  assert.equal(withHole(15).asOf[0], open + 60);
  assert.equal(withHole(16).asOf[0], open + 30 + 16 + 60);
});

test('a window may hold 45 quiet minutes and no more', () => {
  const { open } = SESSIONS[0];
  const everyFourth = steady(open, open + 240).filter((_, i) => i % 4 === 0);
  const windows = buildWindows(columnsOf(everyFourth), returns, { requireTarget: false });
  assert.equal(windows.asOf.length, 60 - 15);
  const everyFifth = steady(open, open + 240).filter((_, i) => i % 5 === 0);
  assert.equal(buildWindows(columnsOf(everyFifth), returns, { requireTarget: false }).asOf.length, 0);
});

for (const [what, change] of Object.entries<Partial<Bar>>({
  'null close': { close: Number.NaN },
  'null open': { open: Number.NaN },
  'price of 0': { low: 0 },
  'low above high': { low: 103 },
  'absurd price': { high: 2e9 },
  'negative volume': { volume: -1 },
  'absurd volume': { volume: 2e13 },
})) {
  test(`no window holds a bar with a ${what}`, () => {
    const { open } = SESSIONS[0];
    const bars = steady(open, open + 200).map((bar, i) => (i === 100 ? { ...bar, ...change } : bar));
    const windows = buildWindows(columnsOf(bars), returns, { requireTarget: false });
    const before = Array.from({ length: 41 }, (_, i) => open + 60 + i);
    const after = Array.from({ length: 40 }, (_, i) => open + 161 + i);
    assert.deepEqual([...windows.asOf], [...before, ...after]);
    assert.deepEqual(
      [...windows.asOf].filter((_, w) => Number.isNaN(windows.targetClose[w])),
      [...before.slice(-5), ...after.slice(-5)],
    );
  });
}

test('asOfFrom and asOfTo choose windows and change none of them', () => {
  const bars = columnsOf(randomMarket(1));
  const all = buildWindows(bars, returns, { requireTarget: true });
  const asOfFrom = SESSIONS[1].open + 100;
  const asOfTo = SESSIONS[2].open + 130;
  const part = buildWindows(bars, returns, { requireTarget: true, asOfFrom, asOfTo });
  const wanted = [...all.asOf.keys()].filter((w) => all.asOf[w] >= asOfFrom && all.asOf[w] < asOfTo);
  assert.ok(wanted.length > 100 && wanted.length < all.asOf.length);
  assert.deepEqual(
    keysOf(part),
    wanted.map((w) => keysOf(all)[w]),
  );
  wanted.forEach((w, i) => {
    assert.equal(bitsOf(part, i, 60), bitsOf(all, w, 60));
  });
  assert.ok(part.matrix.length < all.matrix.length);
});

test('no bars, no windows', () => {
  const none = returns.scale(buildWindows(columnsOf([]), returns, { requireTarget: true }), {});
  assert.equal(none.starts.length + none.matrix.length + none.targetClose.length, 0);
});

test('bars out of order are refused', () => {
  const bars = columnsOf(steady(SESSIONS[0].open, SESSIONS[0].open + 70));
  bars.minute[10] = bars.minute[9];
  assert.throws(() => buildWindows(bars, returns, { requireTarget: true }), { code: 'BARCAST_E_INTERNAL' });
});
