/** The future-perturbation test: what comes at or after a forecast's asOf changes nothing before it by a bit. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bar } from '../../src/bars/index.ts';
import { type EpochMinute, Random } from '../../src/base/index.ts';
import { buildWindows, recipeOf, selectWindows } from '../../src/features/index.ts';
import { bitsOf, columnsOf, keysOf, randomMarket, SESSIONS } from './fixtures.ts';

/** The bars before `asOf` as they are; those at or after it changed, removed, and new ones added. */
function perturb(bars: readonly Bar[], asOf: number, random: Random): Bar[] {
  const kept = bars.filter((bar) => bar.minute < asOf);
  const other: Bar[] = [];
  const taken = new Set<string>();
  for (const bar of bars) {
    if (bar.minute < asOf) continue;
    taken.add(`${bar.symbol}@${bar.minute}`);
    const fate = random.below(4);
    if (fate === 0) continue;
    const factor = fate === 1 ? 1 : 0.5 + random.uniform();
    const { open, high, low, close } = bar;
    other.push({
      ...bar,
      open: open * factor,
      high: high * factor,
      low: low * factor,
      close: close * factor,
      volume: random.below(1e7),
    });
  }
  for (const symbol of new Set(bars.map((bar) => bar.symbol))) {
    for (let i = 0; i < 60; i++) {
      const minute = asOf + (i < 20 ? i : random.below(2000));
      if (taken.has(`${symbol}@${minute}`)) continue;
      taken.add(`${symbol}@${minute}`);
      const close = 1e3 * random.uniform();
      other.push({
        symbol,
        minute: minute as EpochMinute,
        open: close,
        high: close * 2,
        low: close / 2,
        close,
        volume: 1e12,
      });
    }
  }
  return [...kept, ...other];
}

for (const name of ['returns', 'cs205'] as const) {
  test(`changing the future changes no window, scale, target or scaler of the past: ${name}`, () => {
    const recipe = recipeOf(name);
    const F = recipe.features.length;
    let compared = 0;
    for (let seed = 100; seed < 112; seed++) {
      const random = new Random(seed);
      const session = SESSIONS[1 + random.below(3)];
      const cut = session.open + 61 + random.below(session.close - session.open - 61);
      const actual = randomMarket(seed, 4);
      const versions = [actual, actual.filter((bar) => bar.minute < cut), perturb(actual, cut, random)].map((bars) => {
        const all = buildWindows(columnsOf(bars), recipe, { requireTarget: false });
        const past = selectWindows(
          all,
          Int32Array.from(all.asOf.keys()).filter((w) => all.asOf[w] <= cut),
        );
        const upTo = buildWindows(columnsOf(bars), recipe, { requireTarget: false, asOfTo: cut + 1 });
        assert.deepEqual(keysOf(upTo), keysOf(past));
        const training = Int32Array.from(past.asOf.keys()).filter((w) => past.asOf[w] + 65 < cut);
        const scaler = recipe.fit(selectWindows(past, training));
        const scaled = recipe.scale(past, scaler);
        return { keys: keysOf(past), scaled, scaler, targets: recipe.targets(scaled, scaler) };
      });
      const [first, truncated, changed] = versions;
      for (const other of [first, changed]) {
        assert.deepEqual(other.keys, truncated.keys);
        assert.deepEqual(other.scaler, truncated.scaler);
        truncated.keys.forEach((key, w) => {
          assert.equal(bitsOf(other.scaled, w, 60, F), bitsOf(truncated.scaled, w, 60, F), key);
          if (Number.isNaN(truncated.scaled.targetClose[w])) return;
          assert.equal(other.scaled.targetClose[w], truncated.scaled.targetClose[w], key);
          assert.equal(other.targets[w], truncated.targets[w], key);
          compared++;
        });
      }
    }
    assert.ok(compared > 1000, `${compared} windows were compared`);
  });
}
