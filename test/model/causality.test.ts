/** What comes at or after a forecast's asOf changes no forecast before it by a bit: the whole path, with a network. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bar } from '../../src/bars/index.ts';
import { Random } from '../../src/base/index.ts';
import { buildWindows, recipeOf, selectWindows } from '../../src/features/index.ts';
import { initialWeights, referenceKernel } from '../../src/kernel/index.ts';
import { Model, weightsHash } from '../../src/model/index.ts';
import { columnsOf, perturb, randomMarket, SESSIONS } from '../features/fixtures.ts';

test('changing the future changes no forecast of the past', async () => {
  const recipe = recipeOf('returns');
  const shape = { ...recipe.network, lstm: [4] };
  const weights = initialWeights(shape, 1);
  // Days before those that are forecast, of the same symbols.
  const past = columnsOf(randomMarket(9, 6, SESSIONS.slice(0, 1)));
  const scaler = recipe.fit(buildWindows(past, recipe, { requireTarget: true }), past);
  const model = await Model.open(
    {
      format: 1,
      name: 'm',
      version: 'v',
      recipe: { name: recipe.name, version: recipe.version },
      shape,
      scaler,
      calibration: {
        gains: [0.7, 0.6],
        damping: 0.3,
        level: 0.8,
        below: Array(7).fill(1),
        above: Array(7).fill(1.2),
        strain: { usual: 0.2, slope: 1 },
        turbulence: { usual: Array(7).fill(-1), slope: 0.25 },
      },
      weightsHash: weightsHash(weights),
    },
    weights,
    referenceKernel(),
  );
  /** Every forecast with asOf up to `cut`, by symbol and minute, its numbers as they are. */
  const forecastsUpTo = async (bars: readonly Bar[], cut: number) => {
    const all = model.windows(columnsOf(bars), { requireTarget: false });
    const windows = selectWindows(
      all,
      Int32Array.from(all.asOf.keys()).filter((i) => all.asOf[i] <= cut),
    );
    const { predictedReturn, low, high } = await model.predict(windows);
    return Array.from(windows.asOf, (asOf, i) => [
      windows.symbols[windows.symbol[i]],
      asOf,
      predictedReturn[i],
      low[i],
      high[i],
    ]);
  };
  let compared = 0;
  for (let seed = 1; seed <= 4; seed++) {
    const random = new Random(seed);
    const session = SESSIONS[1 + random.below(3)];
    const cut = session.open + 61 + random.below(session.close - session.open - 61);
    const actual = randomMarket(seed, 4);
    const expected = await forecastsUpTo(actual, cut);
    assert.deepEqual(await forecastsUpTo(perturb(actual, cut, random), cut), expected);
    compared += expected.length;
  }
  assert.ok(compared > 500, `${compared} forecasts`);
  model.close();
});
