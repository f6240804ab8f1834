/** `barcast models`: the registry from the command line. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { initialWeights, type NetworkShape } from '../../src/kernel/index.ts';
import { Registry, weightsHash } from '../../src/model/index.ts';
import { answer, refused, temporaryFolder } from './support.ts';

const shape: NetworkShape = {
  windowLength: 4,
  features: 2,
  lstm: [3],
  dropout: 0,
  dense: [{ units: 1, activation: 'linear' }],
};

test('list, promote, shadow, rollback, show', async () => {
  const folder = temporaryFolder();
  after(() => folder.remove());
  const registry = new Registry(join(folder.path, 'models'));
  for (const [version, seed] of [
    ['v1', 1],
    ['v2', 2],
  ] as const) {
    const weights = initialWeights(shape, seed);
    registry.save({ format: 1, name: 'm', version, shape, weightsHash: weightsHash(weights) }, weights);
  }
  const models = <T>(...args: string[]) => answer<T>(['models', ...args], folder.path);
  assert.deepEqual(await models('promote', 'm@v1'), { model: 'm', version: 'v1' });
  assert.deepEqual(await models('shadow', 'm', 'm@v2'), { model: 'm', shadow: 'm@v2' });
  assert.deepEqual(await models('list'), {
    models: [{ name: 'm', current: 'v1', shadow: 'm@v2', versions: ['v1', 'v2'] }],
  });
  assert.deepEqual(await models('shadow', 'm', '--off'), { model: 'm', shadow: null });
  await models('shadow', 'm', 'm@v2');
  await models('promote', 'm@v2');
  assert.deepEqual(registry.current('m'), { version: 'v2', previous: ['v1'], shadow: undefined });
  assert.deepEqual(await models('rollback', 'm'), { model: 'm', version: 'v1' });
  assert.equal((await models<{ version: string }>('show', 'm')).version, 'v1');
  await refused(['models', 'shadow', 'm'], folder.path, 'BARCAST_E_USAGE');
  await refused(['models', 'shadow', 'm', 'm@v2', '--off'], folder.path, 'BARCAST_E_USAGE');
  await refused(['models', 'shadow', 'm', 'm@v1'], folder.path, 'BARCAST_E_USAGE', /forecasts already/);
  await refused(['models', 'shadow', 'm', 'm@v9'], folder.path, 'BARCAST_E_MODEL_MISSING');
  await refused(['models', 'shadow', 'nobody', 'm@v1'], folder.path, 'BARCAST_E_MODEL_MISSING');
});
