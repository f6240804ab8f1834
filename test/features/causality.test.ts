/** The future-perturbation test: what comes at or after a forecast's asOf changes nothing before it by a bit. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../src/base/index.ts';
import { buildWindows, recipeOf, selectWindows } from '../../src/features/index.ts';
import { bitsOf, columnsOf, keysOf, perturb, randomMarket, SESSIONS } from './fixtures.ts';

for (const name of ['returns', 'cs205'] as const) {
  test(`changing the future changes no window, scale, target or scaler of the past: ${name}`, () => {
    const recipe = recipeOf(name);
    let compared = 0;
    for (let seed = 100; seed < 112; seed++) {
      const random = new Random(seed);
      const session = SESSIONS[1 + random.below(3)];
      const cut = session.open + 61 + random.below(session.close - session.open - 61);
      const actual = randomMarket(seed, 4);
      const versions = [actual, actual.filter((bar) => bar.minute < cut), perturb(actual, cut, random)].map((bars) => {
        const columns = columnsOf(bars);
        const all = buildWindows(columns, recipe, { requireTarget: false });
        const past = selectWindows(
          all,
          Int32Array.from(all.asOf.keys()).filter((w) => all.asOf[w] <= cut),
        );
        const upTo = buildWindows(columns, recipe, { requireTarget: false, asOfTo: cut + 1 });
        assert.deepEqual(keysOf(upTo), keysOf(past));
        const training = Int32Array.from(past.asOf.keys()).filter((w) => past.asOf[w] + 65 < cut);
        const scaler = recipe.fit(selectWindows(past, training), columns);
        const scaled = recipe.scale(past, scaler);
        return { keys: keysOf(past), scaled, scaler, targets: recipe.targets(scaled, scaler) };
      });
      const [first, truncated, changed] = versions;
      for (const other of [first, changed]) {
        assert.deepEqual(other.keys, truncated.keys);
        assert.deepEqual(other.scaler, truncated.scaler);
        truncated.keys.forEach((key, w) => {
          assert.equal(bitsOf(other.scaled, w, 60), bitsOf(truncated.scaled, w, 60), key);
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
