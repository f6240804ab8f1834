import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { BarcastError, type ErrorCode } from '../../src/base/index.ts';
import { initialWeights, type NetworkShape, referenceKernel } from '../../src/kernel/index.ts';
import { type ModelDescription, Registry, weightsHash } from '../../src/model/index.ts';

const shape: NetworkShape = {
  windowLength: 4,
  features: 2,
  lstm: [3],
  dropout: 0,
  dense: [{ units: 1, activation: 'linear' }],
};
const kernel = referenceKernel();

function sample(version: string, seed: number): { description: ModelDescription; weights: Float32Array } {
  const weights = initialWeights(shape, seed);
  return { description: { format: 1, name: 'm', version, shape, weightsHash: weightsHash(weights) }, weights };
}

describe('the registry', () => {
  let folder = '';
  let registry = new Registry('');
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'barcast-models-'));
    registry = new Registry(folder);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const save = (version: string, seed: number) => {
    const { description, weights } = sample(version, seed);
    return registry.save(description, weights);
  };
  const fails = async (work: () => unknown, code: ErrorCode, what = /./) =>
    assert.rejects(
      async () => work(),
      (error) => error instanceof BarcastError && error.code === code && what.test(error.line),
    );

  it('saves versions, points at one, goes back', async () => {
    assert.deepEqual(registry.list(), []);
    save('v1', 1);
    save('v2', 2);
    assert.deepEqual(registry.list(), [{ name: 'm', current: null, shadow: null, versions: ['v1', 'v2'] }]);
    await fails(() => registry.resolve('m'), 'BARCAST_E_MODEL_MISSING');
    registry.promote('m', 'v1');
    registry.promote('m', 'v2');
    registry.promote('m', 'v2');
    assert.equal(registry.show('m').version, 'v2');
    assert.equal(registry.show('m@v1').version, 'v1');
    assert.equal(registry.rollback('m'), 'v1');
    assert.equal(registry.show('m').version, 'v1');
    await fails(() => registry.rollback('m'), 'BARCAST_E_MODEL_MISSING', /no earlier version/);
  });

  it('sets a shadow, keeps it over promote and rollback, and ends it when it is promoted itself', async () => {
    for (const [version, seed] of [
      ['v1', 1],
      ['v2', 2],
      ['v3', 3],
    ] as const)
      save(version, seed);
    await fails(() => registry.shadow('m', 'm@v2'), 'BARCAST_E_MODEL_MISSING');
    registry.promote('m', 'v1');
    assert.equal(registry.shadow('m', 'm@v3'), 'm@v3');
    await fails(() => registry.shadow('m', 'm@v9'), 'BARCAST_E_MODEL_MISSING');
    await fails(() => registry.shadow('m', '../x@v1'), 'BARCAST_E_MODEL_MISSING');
    await fails(() => registry.shadow('m', 'm'), 'BARCAST_E_USAGE', /forecasts already/);
    registry.promote('m', 'v2');
    registry.rollback('m');
    assert.deepEqual(registry.current('m'), { version: 'v1', previous: [], shadow: 'm@v3' });
    assert.equal(registry.list()[0].shadow, 'm@v3');
    registry.promote('m', 'v3');
    assert.deepEqual(registry.current('m'), { version: 'v3', previous: ['v1'], shadow: undefined });
    registry.shadow('m', 'm@v2');
    assert.equal(registry.shadow('m', undefined), undefined);
    assert.equal(registry.list()[0].shadow, null);
  });

  it('refuses a pointer that names no version', async () => {
    save('v1', 1);
    for (const text of [
      '',
      '{',
      'null',
      '7',
      '{"version":7,"previous":[]}',
      '{"version":"v1"}',
      '{"version":"v1","previous":[],"shadow":1}',
    ]) {
      writeFileSync(join(folder, 'm', 'current.json'), text);
      await fails(() => registry.load('m', kernel), 'BARCAST_E_MODEL_FORMAT', /does not name a version/);
    }
  });

  it('loads a model by name, by version and by its folder, with the same answers', async () => {
    const path = save('v1', 5);
    registry.promote('m', 'v1');
    const x = Float32Array.from({ length: 3 * 4 * 2 }, (_, i) => Math.sin(i));
    const answers = [];
    for (const reference of ['m', 'm@v1', path]) {
      const model = await registry.load(reference, kernel);
      answers.push(await model.forward(x, 3));
      model.close();
    }
    assert.equal(answers[0].length, 3);
    assert.deepEqual(answers[1], answers[0]);
    assert.deepEqual(answers[2], answers[0]);
  });

  it('refuses input that is not [B, T, F], and forecasts from a bare network', async () => {
    const model = await registry.load(save('v1', 5), kernel);
    await fails(() => model.forward(new Float32Array(7), 1), 'BARCAST_E_SHAPE', /\[1, 4, 2\]/);
    await fails(() => model.recipe, 'BARCAST_E_MODEL_FORMAT', /bare network/);
    model.close();
  });

  it('leaves a version that is there as it is, and sweeps what a killed process left behind', () => {
    const path = save('v1', 1);
    const before = readFileSync(join(path, 'model.json'));
    save('v1', 2);
    assert.deepEqual(readFileSync(join(path, 'model.json')), before);
    const leftover = join(folder, 'm', 'versions', 'v2.0123456789ab.tmp');
    mkdirSync(leftover);
    writeFileSync(join(leftover, 'weights.safetensors'), 'half');
    assert.deepEqual(registry.list(), [{ name: 'm', current: null, shadow: null, versions: ['v1'] }]);
    save('v2', 2);
    assert.deepEqual(readdirSync(join(folder, 'm', 'versions')).sort(), ['v1', 'v2']);
  });

  it('tells a missing, a truncated and a foreign model apart', async () => {
    await fails(() => registry.load('nobody', kernel), 'BARCAST_E_MODEL_MISSING');
    await fails(() => registry.load('../etc', kernel), 'BARCAST_E_MODEL_MISSING');
    await fails(() => registry.promote('../x', 'v1'), 'BARCAST_E_MODEL_MISSING');
    const first = save('v1', 1);
    const second = save('v2', 2);
    writeFileSync(join(second, 'weights.safetensors'), readFileSync(join(first, 'weights.safetensors')));
    await fails(() => registry.load('m@v2', kernel), 'BARCAST_E_MODEL_FORMAT', /hashes of the weights differ/);
    truncateSync(join(first, 'weights.safetensors'), 300);
    await fails(() => registry.load('m@v1', kernel), 'BARCAST_E_MODEL_FORMAT', /cut off/);
    writeFileSync(join(first, 'model.json'), '{"format":1');
    await fails(() => registry.load('m@v1', kernel), 'BARCAST_E_MODEL_FORMAT', /not JSON/);
    writeFileSync(
      join(first, 'model.json'),
      JSON.stringify({ ...sample('v1', 1).description, shape: { ...shape, lstm: [0] } }),
    );
    await fails(() => registry.load('m@v1', kernel), 'BARCAST_E_MODEL_FORMAT', /LSTM layer of 0 units/);
  });
});
