/** A session that was forecast live has the scores that `evaluate` gives it afterwards: one code path, one answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evaluateModel } from '../../src/evaluate/index.ts';
import { recipeOf } from '../../src/features/index.ts';
import { chooseKernel, initialWeights, type NetworkShape } from '../../src/kernel/index.ts';
import { Model, plainCalibration, weightsHash } from '../../src/model/index.ts';
import type { LiveSource } from '../../src/sources/index.ts';
import { fixedModel, LiveState, memoryBus, startLive } from '../../src/stream/index.ts';
import { clockAt, marketOf, OPEN } from './fixtures.ts';
import { madeUpMinutes, scalerOf } from './sensitive-model.ts';

const recipe = recipeOf('returns');
const shape: NetworkShape = { ...recipe.network, lstm: [4], dropout: 0 };

test('the live scores of a whole session are those of evaluate', async (t) => {
  const minutes = madeUpMinutes(20, 390);
  const kernel = await chooseKernel({ kernel: 'auto' });
  t.after(() => kernel.close());
  const weights = initialWeights(shape, 3);
  const description = {
    format: 1,
    name: 'm',
    version: 'v1',
    recipe: { name: recipe.name, version: recipe.version },
    shape,
    scaler: scalerOf(minutes),
    calibration: { ...plainCalibration(), gains: [0.7, 0.6], damping: 0.3 },
    weightsHash: weightsHash(weights),
  } as const;
  const model = await Model.open(description, weights, kernel);
  t.after(() => model.close());
  const source: LiveSource = {
    name: 'made up',
    clock: clockAt(OPEN),
    async *live() {
      for (const bars of minutes) yield [...bars];
    },
  };
  const state = new LiveState({ longestQuietRun: recipe.quiet.longestRun });
  state.setModel({
    name: 'm',
    weightsHash: model.weightsHash,
    horizonMinutes: model.horizonMinutes,
    level: model.level,
  });
  const symbols = [...new Set(minutes.flat().map(({ symbol }) => symbol))];
  const signal = new AbortController().signal;
  await (await startLive({ source, symbols, models: fixedModel(model), bus: memoryBus(), state, signal })).done;
  const live = state.scoreboard!.report();
  const evaluation = await evaluateModel({ model, bars: marketOf(minutes.flat()) });

  // A last minute without a trade is known to evaluate, which has the session's end; live it waits for a bar that never comes.
  const { forecasts, skill, skillScaled, directionalAccuracy, coverage } = live.overall.total;
  assert.ok(forecasts > 5000 && forecasts + live.waiting >= evaluation.windows, `${forecasts} ${evaluation.windows}`);
  assert.equal(forecasts, evaluation.windows - live.waiting);
  const near = (a: number | null, b: number | null, within: number, what: string) =>
    assert.ok(Math.abs(a! - b!) <= within, `${what}: ${a} live, ${b} evaluated`);
  const slack = live.waiting === 0 ? 1e-9 : (20 * live.waiting) / forecasts;
  near(skill, evaluation.model.skill, slack, 'skill');
  near(skillScaled, evaluation.model.skillScaled, slack, 'scaled skill');
  near(directionalAccuracy, evaluation.model.directionalAccuracy, slack, 'direction');
  near(coverage, evaluation.coverage80, slack, 'coverage');
  t.diagnostic(
    `${forecasts} forecasts, ${live.waiting} of them waiting, scaled skill ${skillScaled} and ${evaluation.model.skillScaled}`,
  );
});
