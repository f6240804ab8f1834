/** The audit finds leaks that were planted, each by its name, and nothing in recipes that are sound. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type MarketBars, sessionsBetween } from '../../src/bars/index.ts';
import type { DayString } from '../../src/base/index.ts';
import { auditLeakage, requireNoLeakage } from '../../src/evaluate/index.ts';
import {
  buildWindows,
  type Recipe,
  recipeOf,
  unscaled,
  type WindowOptions,
  type WindowSet,
} from '../../src/features/index.ts';
import type { Model } from '../../src/model/index.ts';
import { columnsOf, randomMarket } from '../features/fixtures.ts';

const sessions = sessionsBetween('2019-12-16' as DayString, '2019-12-20' as DayString);
const bars = columnsOf(randomMarket(3, 6, sessions));
const sound = recipeOf('returns');

async function failures(recipe: Recipe, model?: Pick<Model, 'predict' | 'windows'>): Promise<string[]> {
  const { checks } = await auditLeakage({ bars, recipe, model, cuts: 4 });
  return checks.filter(({ failed }) => failed > 0).map(({ check }) => check);
}

test('a sound recipe passes, and every check has compared something', async () => {
  const result = await auditLeakage({ bars, recipe: sound, cuts: 4 });
  assert.ok(result.passed);
  const compared = new Map(result.checks.map((check) => [check.check, check.compared]));
  for (const check of ['windows', 'targets', 'scaler', 'split', 'sensitivity'] as const) {
    assert.ok(compared.get(check)! > 0, check);
  }
  requireNoLeakage(result);
});

test('a scale that looks one row past the window is found', async () => {
  const leaky: Recipe = {
    ...sound,
    scale(windows, scaler) {
      const scaled = sound.scale(windows, scaler);
      const F = sound.columns;
      const S = scaled.scaling.width;
      const scales = scaled.scales.map((value, i) => {
        const w = Math.floor(i / S);
        const next = windows.matrix[(windows.starts[w] + sound.windowLength) * F];
        return i % S === 0 && Number.isFinite(next) ? value * (1 + next) : value;
      });
      return { ...scaled, scales };
    },
  };
  assert.deepEqual(await failures(leaky), ['windows']);
});

test('a scaler fitted on the whole matrix instead of the training windows is found', async () => {
  const greatest = ({ matrix }: WindowSet) => matrix.reduce((a, b) => Math.max(a, b), 0);
  assert.deepEqual(await failures({ ...sound, fit: (training) => ({ greatest: greatest(training) }) }), ['scaler']);
});

test('the reference project’s random split is found, and nothing else of it', async () => {
  const cs205 = recipeOf('cs205');
  const usable = columnsOf(
    randomMarket(3, 6, sessions).map((bar) => {
      const price = 10 + ((bar.minute * 7919) % 13) / 100;
      return { ...bar, open: price, high: price, low: price, close: price, volume: 5 + (bar.minute % 97) };
    }),
  );
  const result = await auditLeakage({ bars: usable, recipe: { ...cs205, quiet: sound.quiet }, cuts: 2 });
  assert.deepEqual(
    result.checks.filter(({ failed }) => failed > 0).map(({ check }) => check),
    ['split'],
  );
  const split = result.checks.find(({ check }) => check === 'split')!;
  assert.ok(split.failed > 0.9 * split.compared, `${split.failed} of ${split.compared}`);
  assert.throws(() => requireNoLeakage(result), { code: 'BARCAST_E_LEAKAGE', message: /split: random/ });
});

test('a recipe that does not see its own last bar is found: the audit would compare nothing', async () => {
  const blind: Recipe = {
    ...sound,
    // Nor does it see others, should the sound one do so.
    ...{ market: undefined },
    fit: () => ({}),
    row: { ...sound.row, run() {} },
    scale: (windows) => ({
      ...windows,
      scaling: unscaled(sound.features.length, sound.columns),
      scales: new Float32Array(0),
    }),
  };
  assert.deepEqual(await failures(blind), ['sensitivity']);
});

test('a model that peeks past its windows is found, one that does not passes', async () => {
  const windows = (some: MarketBars, options: WindowOptions) => sound.scale(buildWindows(some, sound, options), {});
  const answer = (rows: number) => async (windows: WindowSet) => {
    const F = sound.columns;
    const predictedReturn = Float64Array.from(windows.starts, (start) => windows.matrix[(start + rows) * F] ?? 0);
    return { predictedReturn, low: predictedReturn, high: predictedReturn };
  };
  assert.deepEqual(await failures(sound, { windows, predict: answer(sound.windowLength - 1) }), []);
  assert.deepEqual(await failures(sound, { windows, predict: answer(sound.windowLength) }), ['forecasts']);
});

test('too few bars to audit are refused with a code', async () => {
  const few = columnsOf(randomMarket(3, 1, []));
  await assert.rejects(auditLeakage({ bars: few, recipe: sound }), { code: 'BARCAST_E_TOO_FEW_WINDOWS' });
});
