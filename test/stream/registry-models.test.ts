import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { recipeOf, type WindowSet } from '../../src/features/index.ts';
import { RETURNS_SCALING } from '../../src/features/returns-scales.ts';
import { initialWeights, type Kernel, type NetworkShape, referenceKernel } from '../../src/kernel/index.ts';
import { type ModelDescription, plainCalibration, Registry, weightsHash } from '../../src/model/index.ts';
import { makeForecasts, type WatchedModels, watchRegistry } from '../../src/stream/index.ts';

const recipe = recipeOf('returns');
const shape: NetworkShape = {
  windowLength: recipe.windowLength,
  features: recipe.features.length,
  lstm: [2],
  dropout: 0,
  dense: recipe.network.dense.slice(-1),
};

/** The reference kernel, which tells how many networks are open. */
function countingKernel(): Kernel & { open: number; opened: number } {
  const inner = referenceKernel();
  const counting = {
    ...inner,
    name: inner.name,
    threads: 1,
    description: 'counting',
    open: 0,
    opened: 0,
    close: () => inner.close(),
    async createNetwork(...args: Parameters<Kernel['createNetwork']>) {
      const network = await inner.createNetwork(...args);
      counting.open++;
      counting.opened++;
      const close = network.close.bind(network);
      network.close = () => {
        counting.open--;
        close();
      };
      return network;
    },
  };
  return counting;
}

/** N windows of a market that stands still at 100. */
function windowsOf(N: number): WindowSet {
  return {
    recipe: 'returns',
    symbols: Array.from({ length: N }, (_, i) => `S${i}`),
    symbol: Int32Array.from({ length: N }, (_, i) => i),
    asOf: new Int32Array(N).fill(26_300_000),
    lastClose: new Float64Array(N).fill(100),
    targetClose: new Float64Array(N).fill(Number.NaN),
    volatility: new Float64Array(N).fill(0.001),
    matrix: new Float32Array(recipe.windowLength * recipe.columns).fill(0.1),
    starts: new Int32Array(N),
    flows: new Float32Array(0),
    scaling: RETURNS_SCALING,
    scales: new Float32Array(N * RETURNS_SCALING.width).fill(1),
  };
}

describe('the models of a registry', () => {
  let folder = '';
  let registry = new Registry('');
  let kernel = countingKernel();
  let watched: WatchedModels | undefined;
  const told: string[] = [];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'barcast-watch-'));
    registry = new Registry(folder);
    kernel = countingKernel();
    told.length = 0;
    watched = undefined;
  });
  afterEach(async () => {
    await watched?.close();
    rmSync(folder, { recursive: true });
  });

  const describeModel = (name: string, version: string, weights: Float32Array): ModelDescription => ({
    format: 1,
    name,
    version,
    recipe: { name: recipe.name, version: recipe.version },
    shape,
    scaler: {},
    calibration: plainCalibration(),
    weightsHash: weightsHash(weights),
  });
  const save = (version: string, seed: number, name = 'm') => {
    const weights = initialWeights(shape, seed);
    return registry.save(describeModel(name, version, weights), weights);
  };
  const hashOf = (seed: number) => weightsHash(initialWeights(shape, seed));
  const watch = async (extra = {}) => {
    watched = await watchRegistry({
      registry,
      name: 'm',
      kernel,
      notice: (line) => told.push(line),
      everyMs: 3_600_000,
      ...extra,
    });
    return watched;
  };

  test('follows promote and rollback, and closes what it no longer uses', async () => {
    save('v1', 1);
    save('v2', 2);
    registry.promote('m', 'v1');
    const models = await watch();
    assert.equal(models.current().active.weightsHash, hashOf(1));
    assert.equal(kernel.open, 1);
    registry.promote('m', 'v2');
    await models.look();
    assert.equal(models.current().active.weightsHash, hashOf(2));
    assert.deepEqual([kernel.open, models.changes], [1, 1]);
    assert.match(told[0], /^model m@v2 \(weights \w{10}\) forecasts now, in place of m@v1 \(weights \w{10}\)$/);
    registry.rollback('m');
    await models.look();
    await models.look();
    assert.equal(models.current().active.weightsHash, hashOf(1));
    assert.deepEqual([kernel.open, kernel.opened, told.length], [1, 3, 2]);
    await models.close();
    assert.equal(kernel.open, 0);
  });

  test('looks by itself', async () => {
    save('v1', 1);
    save('v2', 2);
    registry.promote('m', 'v1');
    const changed = Promise.withResolvers<string>();
    const models = await watch({ everyMs: 1, onChange: () => changed.resolve('changed') });
    registry.promote('m', 'v2');
    assert.equal(await changed.promise, 'changed');
    assert.equal(models.current().active.weightsHash, hashOf(2));
  });

  test('a shadow stands beside the active model, of this name or another, and promoting it takes no second load', async () => {
    save('v1', 1);
    save('v2', 2);
    save('w1', 3, 'other');
    registry.promote('m', 'v1');
    registry.promote('other', 'w1');
    registry.shadow('m', 'other');
    const models = await watch();
    assert.equal(models.current().shadow?.name, 'other');
    registry.shadow('m', 'm@v2');
    await models.look();
    assert.deepEqual([models.current().shadow?.weightsHash, kernel.open], [hashOf(2), 2]);
    const { opened } = kernel;
    registry.promote('m', 'v2');
    await models.look();
    assert.deepEqual([models.current().active.weightsHash, models.current().shadow], [hashOf(2), undefined]);
    assert.deepEqual([kernel.open, kernel.opened], [1, opened]);
  });

  test('a model is not its own shadow', async () => {
    save('v1', 1);
    save('same', 1);
    registry.promote('m', 'v1');
    registry.shadow('m', 'm@same');
    const models = await watch();
    for (let i = 0; i < 3; i++) await models.look();
    assert.equal(models.current().shadow, undefined);
    assert.deepEqual([kernel.open, kernel.opened], [1, 2], 'it is not opened again and again');
  });

  test('refuses a broken, a foreign, a half-written or an unwarmable model with one line, and takes it once it is whole', async () => {
    save('v1', 1);
    registry.promote('m', 'v1');
    const models = await watch({
      objection: ({ version }: ModelDescription) => (version === 'odd' ? 'it is odd' : undefined),
    });
    const still = (pattern: RegExp) => {
      assert.equal(models.current().active.weightsHash, hashOf(1));
      assert.equal(told.length, 1, told.join('\n'));
      assert.match(told.pop()!, pattern);
      assert.equal(kernel.open, 1);
    };
    const point = (version: string) =>
      writeFileSync(join(folder, 'm', 'current.json'), JSON.stringify({ version, previous: ['v1'] }));
    const lookTwice = async () => {
      await models.look();
      await models.look();
    };

    point('v9');
    await lookTwice();
    still(/^model m@v9 is refused, m@v1 \(.*\) goes on: BARCAST_E_MODEL_MISSING: /);

    const whole = save('v2', 2);
    const half = join(folder, 'm', 'versions', 'half');
    cpSync(whole, half, { recursive: true });
    truncateSync(join(half, 'weights.safetensors'), 200);
    point('half');
    await lookTwice();
    still(/^model m@half is refused, .*BARCAST_E_MODEL_FORMAT: /);
    writeFileSync(join(half, 'weights.safetensors'), readFileSync(join(whole, 'weights.safetensors')));
    await models.look();
    assert.equal(models.current().active.weightsHash, hashOf(2));
    point('v1');
    await models.look();
    told.length = 0;

    writeFileSync(join(folder, 'm', 'current.json'), '{"version":');
    await lookTwice();
    still(/^the registry cannot be read, .*BARCAST_E_MODEL_FORMAT: .*does not name a version/);

    save('odd', 4);
    point('odd');
    await lookTwice();
    still(/it is odd/);

    const infinite = initialWeights(shape, 5).fill(3e38);
    const bad = describeModel('m', 'infinite', infinite);
    const broken = new Registry(folder);
    broken.save(bad, infinite);
    point('infinite');
    await lookTwice();
    still(/^model m@infinite is refused, /);

    mkdirSync(join(folder, 'm', 'versions', 'empty'));
    point('empty');
    await lookTwice();
    still(/BARCAST_E_MODEL_MISSING/);
  });

  test('without a usable model at the start it says so', async () => {
    await assert.rejects(watch(), { code: 'BARCAST_E_MODEL_MISSING' });
    save('v1', 1);
    await assert.rejects(watch(), { code: 'BARCAST_E_MODEL_MISSING' });
    registry.promote('m', 'v1');
    truncateSync(join(folder, 'm', 'versions', 'v1', 'weights.safetensors'), 100);
    await assert.rejects(watch(), { code: 'BARCAST_E_MODEL_FORMAT' });
    assert.equal(kernel.open, 0);
  });

  test('under load every batch is of one model, none is missing, and every network but one is closed in the end', async () => {
    const answers = new Map<string, number>();
    for (const seed of [1, 2, 3]) {
      save(`v${seed}`, seed);
      registry.promote('m', `v${seed}`);
      const alone = await watchRegistry({ registry, name: 'm', kernel: referenceKernel(), everyMs: 3_600_000 });
      answers.set(hashOf(seed), (await alone.current().active.predict(windowsOf(1))).predictedReturn[0]);
      await alone.close();
    }
    assert.equal(new Set(answers.values()).size, 3, 'the models can be told apart by their answers');
    registry.promote('m', 'v1');
    const models = await watch();
    const windows = windowsOf(40);
    const seen = new Set<string>();
    for (let batch = 0; batch < 60; batch++) {
      const { active } = models.current();
      const predicting = active.predict(windows);
      // The registry changes while the prediction runs, and the change is worked on beside it.
      registry.promote('m', `v${1 + (batch % 3)}`);
      const looking = models.look();
      const forecasts = makeForecasts(windows, await predicting, active, 0);
      assert.equal(forecasts.length, 40);
      for (const it of forecasts) {
        assert.equal(it.weightsHash, active.weightsHash);
        assert.equal(it.predictedReturn, answers.get(it.weightsHash), 'what it says is what that model says');
      }
      seen.add(active.weightsHash);
      await looking;
    }
    assert.equal(seen.size, 3);
    // A batch that began with a model ends with it, however late.
    const late = models.current().active;
    registry.promote('m', models.current().active.weightsHash === hashOf(1) ? 'v2' : 'v1');
    await models.look();
    assert.equal((await late.predict(windowsOf(1))).predictedReturn[0], answers.get(late.weightsHash));
    await new Promise(setImmediate);
    assert.equal(kernel.open, 1);
  });
});
