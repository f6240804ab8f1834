import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { BarcastError, type ErrorCode } from '../../src/base/index.ts';
import { initialWeights, type Kernel, type NetworkShape, referenceKernel } from '../../src/kernel/index.ts';
import {
  decodeSafetensors,
  describeBareNetwork,
  encodeModelFile,
  encodeSafetensors,
  exportSafetensors,
  importSafetensors,
  loadModel,
  Model,
  Registry,
} from '../../src/model/index.ts';
import { worstDistance } from './kernels.ts';

const shape: NetworkShape = {
  windowLength: 4,
  features: 2,
  lstm: [3],
  dropout: 0.5,
  dense: [{ units: 1, activation: 'linear' }],
};
const weights = initialWeights(shape, 9);
const description = describeBareNetwork({ name: 'm', shape, weights });
const x = Float32Array.from({ length: 3 * 4 * 2 }, (_, i) => Math.sin(i));

let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'barcast-import-'));
});
after(() => rmSync(folder, { recursive: true }));

function put(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

const refused = (work: Promise<unknown>, code: ErrorCode, what: RegExp) =>
  assert.rejects(work, (error) => error instanceof BarcastError && error.code === code && what.test(error.line));

describe('the description of a bare network', () => {
  it('has a version that stands for the name, the shape and the weights', () => {
    assert.match(description.version, /^[0-9a-f]{12}$/);
    assert.deepEqual(describeBareNetwork({ name: 'm', shape, weights: weights.slice() }), description);
    const others = [
      describeBareNetwork({ name: 'n', shape, weights }),
      describeBareNetwork({ name: 'm', shape: { ...shape, dropout: 0 }, weights }),
      describeBareNetwork({ name: 'm', shape, weights: initialWeights(shape, 10) }),
    ];
    assert.equal(new Set([description, ...others].map(({ version }) => version)).size, 4);
    assert.throws(() => describeBareNetwork({ name: '../m', shape, weights }), /cannot be a model's name/);
  });
});

describe('a model in one safetensors file', () => {
  it('comes back with its description and the bits of its weights', async () => {
    const kernel = referenceKernel();
    const model = await Model.open(description, weights, kernel);
    const path = put('m.safetensors', await exportSafetensors(model));
    const again = await importSafetensors(path, { kernel });
    assert.deepEqual(again.description, description);
    assert.deepEqual(await again.readWeights(), weights);
    assert.deepEqual(await again.forward(x, 3), await model.forward(x, 3));
    model.close();
    again.close();
  });

  it('is refused when it is not there, cut off, without a description, or with other weights', async () => {
    const bytes = encodeModelFile(description, weights);
    await refused(importSafetensors(join(folder, 'none.safetensors')), 'BARCAST_E_FILE_MISSING', /does not exist/);
    await refused(
      importSafetensors(put('cut.safetensors', bytes.subarray(0, -4))),
      'BARCAST_E_MODEL_FORMAT',
      /cut off/,
    );
    const { tensors, metadata } = decodeSafetensors(bytes, 'm');
    const bare = encodeSafetensors({ tensors, metadata: {} });
    await refused(importSafetensors(put('bare.safetensors', bare)), 'BARCAST_E_MODEL_FORMAT', /without a description/);
    const first = tensors.get('lstm.0.kernel')!;
    const other = new Map(tensors).set('lstm.0.kernel', { ...first, data: first.data.map((w) => w + 1) });
    const changed = encodeSafetensors({ tensors: other, metadata });
    await refused(importSafetensors(put('changed.safetensors', changed)), 'BARCAST_E_MODEL_FORMAT', /not those/);
  });
});

describe('loadModel', () => {
  it('opens a version, a model and a file by its path, on a kernel that it picks', async () => {
    const registry = new Registry(join(folder, 'models'));
    const version = registry.save(description, weights);
    registry.promote('m', description.version);
    const file = put('loaded.safetensors', encodeModelFile(description, weights));
    const reference = referenceKernel();
    const model = await Model.open(description, weights, reference);
    const expected = await model.forward(x, 3);
    for (const path of [version, join(folder, 'models', 'm'), file]) {
      const loaded = await loadModel(path);
      assert.equal(loaded.version, description.version);
      assert.ok(worstDistance(await loaded.forward(x, 3), expected) <= 1e-6);
      loaded.close();
    }
    model.close();
    await refused(loadModel(join(folder, 'nothing')), 'BARCAST_E_MODEL_MISSING', /does not exist/);
    await refused(loadModel(join(folder, 'nothing.h5')), 'BARCAST_E_FILE_MISSING', /does not exist/);
  });

  it('leaves a kernel that it was handed open, and closes one that the model owns', async () => {
    let closed = 0;
    const reference = referenceKernel();
    const kernel: Kernel = {
      name: reference.name,
      threads: reference.threads,
      description: reference.description,
      arithmetic: reference.arithmetic,
      createNetwork: (...args) => reference.createNetwork(...args),
      close: () => closed++,
    };
    const path = put('owned.safetensors', encodeModelFile(description, weights));
    (await loadModel(path, { kernel })).close();
    assert.equal(closed, 0);
    (await loadModel(path, { kernel })).owning(kernel).close();
    assert.equal(closed, 1);
  });
});
