import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  buildWindows,
  kernelWindows,
  RECIPE_NAMES,
  recipeOf,
  selectWindows,
  TARGET_LIMIT,
} from '../../src/features/index.ts';
import { outputsOf, parameterCount } from '../../src/kernel/index.ts';
import { columnsOf, randomMarket, SESSIONS } from './fixtures.ts';

test('recipes are found by name', () => {
  for (const name of RECIPE_NAMES) assert.equal(recipeOf(name).name, name);
  for (const name of ['', 'Returns', 'toString', '__proto__']) {
    assert.throws(() => recipeOf(name), { code: 'BARCAST_E_USAGE' });
  }
});

test('a recipe fits its own network', () => {
  for (const name of RECIPE_NAMES) {
    const { network, features, windowLength } = recipeOf(name);
    assert.equal(network.features, features.length);
    assert.equal(network.windowLength, windowLength);
    const { loss } = recipeOf(name).training;
    assert.equal(outputsOf(network), loss.kind === 'pinball' ? loss.levels.length : 1);
  }
  assert.equal(parameterCount(recipeOf('cs205').network), 50 * 4 * (2 + 50 + 1) + 32 * 51 + 33);
});

for (const name of RECIPE_NAMES) {
  test(`a target decodes to the log return it stands for: ${name}`, () => {
    const recipe = recipeOf(name);
    let clipped = 0;
    let seen = 0;
    for (let seed = 0; seed < 4; seed++) {
      const bars = columnsOf(randomMarket(seed));
      const unscaled = buildWindows(bars, recipe, { requireTarget: true });
      const scaler = recipe.fit(unscaled, bars);
      const windows = recipe.scale(unscaled, scaler);
      const targets = recipe.targets(windows, scaler);
      const outputs = outputsOf(recipe.network);
      const { parts, below, above } = recipe.decode(
        Float32Array.from({ length: targets.length * outputs }, (_, i) => targets[Math.floor(i / outputs)]),
        windows,
        scaler,
      );
      const decoded = targets.map((_, w) => parts.reduce((sum, part) => sum + part[w], 0));
      assert.ok([...below, ...above].every((distance) => distance > 0));
      for (let w = 0; w < targets.length; w++) {
        const actual = Math.log(windows.targetClose[w] / windows.lastClose[w]);
        const limit = name === 'returns' ? TARGET_LIMIT * windows.volatility[w] : Number.POSITIVE_INFINITY;
        if (Math.abs(actual) > limit) clipped++;
        const expected = Math.max(-limit, Math.min(limit, actual));
        // cs205: float32 on the scale of the dearest symbol
        const rounding =
          name === 'returns' ? 1e-6 * limit : (scaler.closeMax as number) / windows.lastClose[w] / 2 ** 22;
        assert.ok(Math.abs(decoded[w] - expected) <= rounding, `${decoded[w]} is not ${expected}`);
        seen++;
      }
    }
    assert.ok(seen > 1000);
    if (name === 'returns') assert.ok(clipped > 0, 'some target must reach the limit');
  });

  test(`a target that is not known is NaN: ${name}`, () => {
    const recipe = recipeOf(name);
    const windows = buildWindows(columnsOf(randomMarket(2)), recipe, { requireTarget: false });
    const scaler = recipe.fit(windows);
    const targets = recipe.targets(recipe.scale(windows, scaler), scaler);
    assert.ok(targets.some(Number.isNaN));
    targets.forEach((target, w) => {
      assert.equal(Number.isNaN(target), Number.isNaN(windows.targetClose[w]));
    });
  });
}

test('the scaler of cs205 is the minimum and maximum of the rows of the training windows', () => {
  const recipe = recipeOf('cs205');
  const windows = buildWindows(columnsOf(randomMarket(5)), recipe, { requireTarget: true });
  const fitted = (...indices: number[]) => {
    const training = selectWindows(windows, Int32Array.from(indices));
    const rows = [...training.starts].flatMap((start) => [...training.matrix.subarray(start * 2, (start + 60) * 2)]);
    const closes = rows.filter((_, i) => i % 2 === 0);
    const volumes = rows.filter((_, i) => i % 2 === 1);
    const scaler = recipe.fit(training);
    assert.deepEqual(scaler, {
      closeMin: Math.min(...closes),
      closeMax: Math.max(...closes),
      volumeMin: Math.min(...volumes),
      volumeMax: Math.max(...volumes),
    });
    return { training, scaler };
  };
  for (let w = 0; w < windows.starts.length - 40; w++) fitted(w, w + 1, w + 3, w + 40);
  const { training, scaler } = fitted(40, 3, 4, 5, 100, 20, 21, 60);
  const scaled = recipe.scale(training, JSON.parse(JSON.stringify(scaler)));
  const { matrix, shift, gain, starts, scaleStride } = kernelWindows(scaled);
  assert.equal(scaleStride, 0);
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const start of starts) {
    for (let r = start; r < start + 60; r++) {
      const scaled = (matrix[r * 2] - shift[0]) * gain[0];
      low = Math.min(low, scaled);
      high = Math.max(high, scaled);
    }
  }
  assert.equal(low, 0);
  assert.ok(Math.abs(high - 1) < 1e-6);
});

test('a market of one price, and none at all, give finite scales', () => {
  const { open } = SESSIONS[0];
  const flat = randomMarket(0, 1)
    .slice(0, 70)
    .map((bar, i) => ({
      ...bar,
      minute: (open + i) as typeof bar.minute,
      open: 5,
      high: 5,
      low: 5,
      close: 5,
      volume: 7,
    }));
  for (const name of RECIPE_NAMES) {
    const recipe = recipeOf(name);
    const windows = buildWindows(columnsOf(flat), recipe, { requireTarget: true });
    assert.equal(windows.starts.length, 70 - 64);
    const scaler = recipe.fit(windows);
    const scaled = recipe.scale(windows, scaler);
    const { shift, gain } = kernelWindows(scaled);
    for (const values of [shift, gain, recipe.targets(scaled, scaler)]) {
      assert.ok(values.every(Number.isFinite));
    }
    const none = recipe.scale(windows, recipe.fit(selectWindows(windows, new Int32Array(0)), columnsOf(flat)));
    assert.ok(kernelWindows(none).gain.every(Number.isFinite));
  }
});
