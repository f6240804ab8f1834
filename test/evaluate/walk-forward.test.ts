/** Real trainings, fold by fold, on a small market and a small network. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { sessionsBetween } from '../../src/bars/index.ts';
import { type DayString, type Progress, silentProgress } from '../../src/base/index.ts';
import {
  evaluateModel,
  type FoldPlan,
  planFolds,
  sessionsOf,
  sliceBars,
  type WalkForwardResult,
  walkForward,
} from '../../src/evaluate/index.ts';
import { buildWindows, chronologicalSplit, randomSplit, recipeOf, selectWindows } from '../../src/features/index.ts';
import { chooseKernel, type Kernel } from '../../src/kernel/index.ts';
import { Registry } from '../../src/model/index.ts';
import { columnsOf, randomMarket } from '../features/fixtures.ts';

const sessions = sessionsBetween('2019-12-16' as DayString, '2019-12-23' as DayString);
const bars = columnsOf(randomMarket(5, 8, sessions));
const PLAN: FoldPlan = {
  mode: 'expanding',
  trainingSessions: 3,
  testSessions: 1,
  purgeMinutes: 65,
  embargoMinutes: 30,
};
/** The reference's pipeline has a scaler to refit; a small network, and quiet minutes let in, keep it quick. */
const cs205 = recipeOf('cs205');
const recipe = {
  ...cs205,
  quiet: { longestRun: 15, most: 45 },
  network: { ...cs205.network, lstm: [4], dense: [{ units: 1, activation: 'relu' as const }] },
};

describe('walk-forward', () => {
  const folder = mkdtempSync(join(tmpdir(), 'barcast-walk-'));
  let kernel: Kernel;
  let first: WalkForwardResult;
  const run = (name: string, change: { progress?: Progress; signal?: AbortSignal; plan?: FoldPlan } = {}) =>
    walkForward({
      bars,
      recipe,
      kernel,
      registry: new Registry(join(folder, name)),
      plan: PLAN,
      seed: 1,
      overrides: { epochs: 1, batch: 256 },
      version: 'test',
      progress: silentProgress,
      ...change,
    });
  before(async () => {
    kernel = await chooseKernel({ kernel: 'auto', threads: 1 });
    first = await run('a');
  });
  after(() => {
    kernel.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('trains and scores every fold, and scores all test windows together', () => {
    assert.equal(first.folds.length, 3);
    const windows = first.folds.reduce((sum, { model }) => sum + model.windows, 0);
    assert.equal(first.pooled.windows, windows);
    assert.ok(windows > 1000);
    assert.equal(new Set(first.folds.map(({ weightsHash }) => weightsHash)).size, 3);
    assert.deepEqual(JSON.parse(JSON.stringify(first)), first);
  });

  it('fits the scaler of each fold on that fold’s training windows and nothing else', () => {
    const registry = new Registry(join(folder, 'a'));
    const scalers = new Set<string>();
    for (const fold of planFolds(sessionsOf(bars), PLAN)) {
      const windows = buildWindows(sliceBars(bars, fold.trainFrom, fold.trainTo), recipe, { requireTarget: true });
      const split = randomSplit(windows, recipe.training.validationShare, 1);
      const { scaler } = registry.show(`fold-${fold.number}`);
      assert.deepEqual(scaler, recipe.fit(selectWindows(windows, split.training)));
      scalers.add(JSON.stringify(scaler));
      assert.ok(chronologicalSplit(windows, 0.2).cut < fold.trainTo);
    }
    assert.equal(scalers.size, 3);
  });

  it('a fold’s score is the evaluation of its model on its test sessions', async () => {
    const fold = planFolds(sessionsOf(bars), PLAN)[1];
    const registry = new Registry(join(folder, 'a'));
    const model = await registry.load('fold-2', kernel);
    const evaluation = await evaluateModel({ model, bars: sliceBars(bars, fold.testFrom, fold.testTo) });
    model.close();
    assert.deepEqual(evaluation.model, first.folds[1].model);
    assert.equal(evaluation.fittedWindowsLeftOut, 0);
    const { provenance } = model.description;
    assert.ok(provenance!.to <= first.folds[1].trainTo && first.folds[1].trainTo < first.folds[1].testFrom);
  });

  it('the bars of a test change nothing of its fold or those before', async () => {
    const [, second, third] = planFolds(sessionsOf(bars), PLAN);
    const changed = {
      ...bars,
      close: bars.close.map((price, row) =>
        bars.minute[row] >= second.testFrom ? price * (1 + (row % 3) / 1000) : price,
      ),
    };
    const other = await walkForward({
      bars: changed,
      recipe,
      kernel,
      registry: new Registry(join(folder, 'changed')),
      plan: PLAN,
      seed: 1,
      overrides: { epochs: 1, batch: 256 },
      version: 'test',
      progress: silentProgress,
    });
    assert.deepEqual(
      other.folds.map(({ weightsHash }, i) => weightsHash === first.folds[i].weightsHash),
      [true, true, false],
    );
    assert.ok(third.trainTo > second.testFrom);
  });

  it('a second run trains nothing, and one that was stopped goes on to the same numbers', async () => {
    const versions = () => readdirSync(join(folder, 'a', 'fold-1', 'versions'));
    const before = versions().map((name) => statSync(join(folder, 'a', 'fold-1', 'versions', name)).mtimeMs);
    const said: string[] = [];
    const again = await run('a', { progress: { ...silentProgress, say: (line) => said.push(line) } });
    assert.deepEqual(again, first);
    assert.deepEqual(said.filter((line) => /is trained already/.test(line)).length, 3);
    assert.deepEqual(
      versions().map((name) => statSync(join(folder, 'a', 'fold-1', 'versions', name)).mtimeMs),
      before,
    );

    const stop = new AbortController();
    const stopInSecond: Progress = { ...silentProgress, say: (line) => line.startsWith('fold 2') && stop.abort() };
    await assert.rejects(run('b', { progress: stopInSecond, signal: stop.signal }), { code: 'BARCAST_E_INTERRUPTED' });
    assert.deepEqual(await run('b'), first);
  });

  it('rolling folds train on the last sessions alone', async () => {
    const rolling = await run('rolling', { plan: { ...PLAN, mode: 'rolling' } });
    assert.deepEqual(rolling.folds[0].weightsHash, first.folds[0].weightsHash);
    assert.notEqual(rolling.folds[2].weightsHash, first.folds[2].weightsHash);
    assert.ok(rolling.folds[2].trainFrom > first.folds[2].trainFrom);
  });
});
