/** What makes the fit quick: threads, sums in tiles, kernels instead of inputs, and functions of fewer digits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generatedMarket, sessionsFrom } from '../../bench/market.ts';
import { Random } from '../../src/base/index.ts';
import { FlowsAt } from '../../src/features/flow-rows.ts';
import {
  buildWindows,
  buildWindowsOnThreads,
  chronologicalSplit,
  fillMarketOnThreads,
  fitOnThreads,
  recipeOf,
  scaleOnThreads,
  selectWindows,
} from '../../src/features/index.ts';
import { addProducts, paddedWidth } from '../../src/features/linear-algebra.ts';
import {
  flowWeightsOf,
  LINEAR_INPUTS,
  linearForecast,
  linearInputs,
  QuickForecast,
} from '../../src/features/linear-forecast.ts';
import { logAboveOne, logRatio } from '../../src/features/logarithms.ts';
import { ResidualPaths } from '../../src/features/residual-paths.ts';

const recipe = recipeOf('returns');
const place = (name: string) => recipe.features.indexOf(name);
const COLUMNS = {
  logReturn: place('return'),
  range: place('range'),
  closePosition: place('closePosition'),
  explained: place('explained'),
  peers: place('peers'),
};
const F = recipe.columns;
const bytes = (array: Float32Array) => Buffer.from(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));

test('a fit on threads has the bits of one in place, and so has all that follows from it', async () => {
  const sessions = sessionsFrom('2024-03-04', 8);
  const [market] = generatedMarket({ symbols: 70, sessions, sessionsAPart: 8 });
  const windows = await buildWindowsOnThreads(market, recipe, { requireTarget: true });
  const { training } = chronologicalSplit(windows, 0.15);
  assert.ok(training.length > 100_000, `${training.length} windows are enough for threads`);
  for (const apart of [false, true]) {
    const scaler = await fitOnThreads(windows, training, recipe, market, { apart });
    const expected = buildWindows(market, recipe, { requireTarget: true });
    assert.deepEqual(scaler, recipe.fit(selectWindows(expected, training), market));
    assert.ok(bytes(windows.matrix).equals(bytes(expected.matrix)), 'the columns of the market are filled');
    await fillMarketOnThreads(windows, recipe, scaler, market, { apart });
    assert.ok(bytes(windows.matrix).equals(bytes(expected.matrix)), 'and are so again');
    const { windows: scaled, targets } = await scaleOnThreads(windows, recipe, scaler, { apart });
    const wanted = recipe.scale(expected, scaler);
    assert.ok(bytes(scaled.scales).equals(bytes(wanted.scales)));
    assert.ok(bytes(targets).equals(bytes(recipe.targets(wanted, scaler))));
  }
});

test('a forecast from kernels is the weighted sum of the inputs, and a path begun elsewhere has the same bits', () => {
  const [market] = generatedMarket({ symbols: 12, sessions: sessionsFrom('2024-03-04', 2), sessionsAPart: 2 });
  const unscaled = buildWindows(market, recipe, { requireTarget: true });
  recipe.fit(unscaled, market); // fills the market's columns
  const windows = recipe.scale(unscaled, {});
  const random = new Random(3);
  const weights = Float32Array.from({ length: LINEAR_INPUTS }, () => 0.1 * random.normal());
  const quick = new QuickForecast(weights);
  const inputs = new Float64Array(LINEAR_INPUTS);
  for (const blind of [false, true]) {
    const paths = new ResidualPaths(F, 60, COLUMNS, blind);
    const flowsAt = new FlowsAt(unscaled, F, recipe.flows!, {});
    const flowWeights = flowWeightsOf(weights);
    if (blind) for (const explained of [6, 7, 8]) flowWeights[explained] = 0; // as a fit on blind inputs leaves them
    let moved = 0;
    for (let w = 0; w < windows.starts.length; w++) {
      const last = windows.starts[w] + 59;
      const unit = Math.sqrt(5) / windows.volatility[w];
      const flows = flowsAt.at(last);
      linearInputs(windows.matrix, last, unit, paths, flows, inputs);
      const expected = linearForecast(weights, inputs);
      const ofFlows = unit * flows.own(flowWeights) + (blind ? 0 : flows.leading(flowWeights));
      const found = quick.of(windows.matrix, last, unit, paths, ofFlows);
      assert.ok(Math.abs(found - expected) < 1e-12, `${found} is not ${expected}`);
      if (Math.abs(expected) > 0.1 && Math.abs(expected) < 3) moved++;
      if (w % 7 > 0) continue;
      const afresh = new ResidualPaths(F, 60, COLUMNS, blind);
      assert.equal(quick.of(windows.matrix, last, unit, afresh, ofFlows), found);
    }
    assert.ok(moved > 1000, `${moved} forecasts say something`);
  }
});

test('sums of products in tiles are those of a plain loop', () => {
  const random = new Random(5);
  for (const inputs of [1, 3, 4, 11, 68]) {
    const width = paddedWidth(inputs);
    const count = 37;
    const rows = new Float64Array(count * width);
    for (let r = 0; r < count; r++) for (let i = 0; i < inputs; i++) rows[r * width + i] = random.normal();
    const sums = new Float64Array(width * width);
    addProducts(sums, width, rows.subarray(0, 20 * width), 20);
    addProducts(sums, width, rows.subarray(20 * width), 17);
    for (let i = 0; i < inputs; i++) {
      for (let j = 0; j <= i; j++) {
        let expected = 0;
        for (let r = 0; r < count; r++) expected += rows[r * width + i] * rows[r * width + j];
        assert.ok(Math.abs(sums[i * width + j] - expected) < 1e-12, `${i}, ${j} of ${inputs}`);
      }
    }
  }
});

test('quick logarithms are as exact as they say', () => {
  const random = new Random(8);
  for (let i = 0; i < 100_000; i++) {
    const base = 0.0001 + 10 ** (8 * random.uniform() - 4);
    const price = base * Math.exp((i % 2 ? 0.002 : 0.5) * random.normal());
    const expected = Math.log(price / base);
    assert.ok(Math.abs(logRatio(price, base) - expected) <= 2 ** -50 * Math.max(1, Math.abs(expected)));
    const shares = 1 + Math.floor(10 ** (13 * random.uniform()));
    assert.ok(Math.abs(logAboveOne(shares) - Math.log(shares)) <= 2 ** -46, `${shares}`);
  }
  for (const x of [1, 1.5, 2 ** 31 - 1, 2 ** 31, 2 ** 31 + 0.5, 1e13 + 1]) {
    assert.ok(Math.abs(logAboveOne(x) - Math.log(x)) <= 2 ** -46, `${x}`);
  }
  assert.equal(logRatio(5, 5), 0);
});
