import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { zipSync } from 'fflate';
import { BarcastError, type ErrorCode, Random } from '../../src/base/index.ts';
import { type NetworkShape, parametersOf } from '../../src/kernel/index.ts';
import { readHdf5 } from '../../src/model/hdf5.ts';
import { importKeras, readKeras } from '../../src/model/index.ts';
import { archive, fullModel, functional, hdf5, layersOf, sequential, type TestLayer } from './keras-files.ts';
import { kernelsHere, worstDistance } from './kernels.ts';

const REAL = new URL('../../../shared/data/keras/', import.meta.url);
const MADE = new URL('./files/', import.meta.url);

const shape: NetworkShape = {
  windowLength: 5,
  features: 3,
  lstm: [4, 3],
  dropout: 0.25,
  dense: [
    { units: 3, activation: 'relu' },
    { units: 2, activation: 'linear' },
  ],
};

let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'barcast-keras-'));
});
after(() => rmSync(folder, { recursive: true }));

function put(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

const refused = (path: string, code: ErrorCode, what: RegExp) =>
  assert.rejects(
    readKeras(path),
    (error) => error instanceof BarcastError && error.code === code && what.test(error.line),
  );

describe("Keras's own files", () => {
  it("answers as Keras did for the reference project's model, on every kernel", async (t) => {
    if (!existsSync(REAL)) return t.skip('../shared/data/keras is not there');
    const expected = JSON.parse(readFileSync(new URL('expected.json', REAL), 'utf8'));
    const path = new URL(expected.model, REAL).pathname;
    for (const kernel of await kernelsHere((line) => t.diagnostic(line))) {
      const model = await importKeras(path, { kernel });
      const worst = worstDistance(await model.forward(Float32Array.from(expected.x), expected.shape[0]), expected.y);
      t.diagnostic(`${kernel.description}: within ${worst}`);
      assert.ok(worst <= 1e-5, `${kernel.name}: ${worst}`);
      assert.equal(model.description.shape.dropout, 0.2);
      assert.equal(model.name, 'trained_lstm_mod_1_32');
      assert.equal(model.description.recipe, undefined);
      model.close();
      kernel.close();
    }
  });

  it('answers as Keras 3 did, from its archive and from its HDF5 file', async () => {
    const expected = JSON.parse(readFileSync(new URL('keras-3.json', MADE), 'utf8'));
    const versions = new Set<string>();
    for (const name of ['keras-3.keras', 'keras-3.h5']) {
      const model = await importKeras(new URL(name, MADE).pathname);
      const answer = await model.forward(Float32Array.from(expected.x), expected.shape[0]);
      const worst = worstDistance(answer, expected.y);
      assert.ok(worst <= 1e-6, `${name}: ${worst}`);
      versions.add(model.version);
      model.close();
    }
    assert.equal(versions.size, 1, 'the same network has the same version');
  });
});

describe('readKeras', () => {
  const { layers, weights } = layersOf(shape, 3);
  const files: [string, () => Promise<Uint8Array>][] = [
    ['keras-2-sequential.h5', () => fullModel(sequential(layers), layers)],
    ['keras-2-functional.h5', () => fullModel(functional(layers), layers)],
    ['keras-3-stored.keras', () => archive(sequential(layers), layers)],
    ['keras-3-deflated.keras', () => archive(functional(layers), layers, { compression: 6 })],
    ['tf-keras-2-15.keras', () => archive(sequential(layers), layers, { version: 2 })],
  ];
  for (const [name, make] of files) {
    it(`reads ${name}`, async () => {
      const network = await readKeras(put(name, await make()));
      assert.deepEqual(network.shape, shape);
      assert.deepEqual(network.weights, weights);
      assert.equal(network.name, name.replace(/\.(h5|keras)$/, ''));
    });
  }

  it('reads layers without a bias as layers with a bias of zeros', async () => {
    const bare: TestLayer[] = layers.map((layer) => ({
      ...layer,
      config: { ...layer.config, use_bias: false },
      weights: layer.weights?.slice(0, -1),
    }));
    const expected = weights.slice();
    for (const { name, offset, length } of parametersOf(shape)) {
      if (name.endsWith('.bias')) expected.fill(0, offset, offset + length);
    }
    const full = await readKeras(put('no-bias.h5', await fullModel(sequential(bare), bare)));
    assert.deepEqual(full.weights, expected);
    const archived = await readKeras(put('no-bias.keras', await archive(sequential(bare), bare)));
    assert.deepEqual(archived.weights, expected);
  });

  it('reads several files at once, each for itself', async () => {
    const seeds = [21, 22, 23, 24];
    const networks = await Promise.all(
      seeds.map(async (seed) => {
        const { layers } = layersOf(shape, seed);
        return readKeras(put(`at-once-${seed}.h5`, await fullModel(sequential(layers), layers)));
      }),
    );
    assert.deepEqual(
      networks.map(({ weights }) => weights),
      seeds.map((seed) => layersOf(shape, seed).weights),
    );
  });

  it('makes a name that a model may have', async () => {
    const { name } = await readKeras(put('-my model (2).h5', await fullModel(sequential(layers), layers)));
    assert.equal(name, 'my-model-2-');
  });

  it('refuses what is not there, or is no Keras model', async () => {
    await refused(join(folder, 'nothing.h5'), 'BARCAST_E_FILE_MISSING', /does not exist/);
    const saved = join(folder, 'saved-model');
    mkdirSync(saved);
    await refused(saved, 'BARCAST_E_MODEL_FORMAT', /is not a file/);
    await refused(put('empty.h5', ''), 'BARCAST_E_MODEL_FORMAT', /neither/);
    await refused(put('text.h5', 'Date,Close\n'), 'BARCAST_E_MODEL_FORMAT', /neither/);
    const other = zipSync({ 'word/document.xml': Buffer.from('<w/>') });
    await refused(put('other.keras', other), 'BARCAST_E_MODEL_FORMAT', /without 'config\.json'/);
    const foreign = await hdf5((file) => file.create_dataset({ name: 'bars', data: new Float32Array(4) }));
    await refused(put('foreign.h5', foreign), 'BARCAST_E_MODEL_FORMAT', /no 'model_config'/);
  });

  it('refuses weights that are missing, of another shape, or not finite', async () => {
    const change = (data: (dimensions: readonly number[], data: Float32Array) => TestLayer['weights']) =>
      layers.map((layer) =>
        layer.config.name === 'head_0'
          ? { ...layer, weights: data(layer.weights![0].dimensions, layer.weights![0].data) }
          : layer,
      );
    const cases: [string, TestLayer[], RegExp][] = [
      ['missing', change(() => []), /dense\.0\.kernel' is missing/],
      [
        'turned',
        change(([i, u], data) => [{ dimensions: [u + 1, i - 1], data: data.slice(0, (u + 1) * (i - 1)) }]),
        /dense\.0\.kernel' is \[4,2\]/,
      ],
      [
        'nan',
        change((dimensions, data) => [{ dimensions, data: data.map((w, i) => (i === 4 ? NaN : w)) }]),
        /not finite/,
      ],
    ];
    for (const [name, changed, what] of cases) {
      await refused(put(`${name}.h5`, await fullModel(sequential(layers), changed)), 'BARCAST_E_MODEL_FORMAT', what);
    }
  });

  it('gives up on a file that keeps the HDF5 library busy for longer than the limit', async () => {
    // No thread of its own has even started after a millisecond.
    await assert.rejects(
      readHdf5(await fullModel(sequential(layers), layers), ['model_weights'], 'm.h5', 1),
      (error) => error instanceof BarcastError && /BARCAST_E_MODEL_FORMAT: .*does not come to an end/.test(error.line),
    );
  });

  it('meets truncated and damaged files with an error that has a code', async () => {
    const random = new Random(11, 0);
    const original = Buffer.from(await fullModel(sequential(layers), layers));
    const damaged: Buffer[] = [];
    for (let i = 1; i < 7; i++) damaged.push(original.subarray(0, Math.floor((original.length * i) / 7)));
    for (let i = 0; i < 10; i++) {
      const bytes = Buffer.from(original);
      for (let flips = 0; flips < 8; flips++) bytes[random.below(bytes.length)] = random.below(256);
      damaged.push(bytes);
    }
    let refusals = 0;
    for (const [i, bytes] of damaged.entries()) {
      try {
        const { weights } = await readKeras(put(`damaged-${i}.h5`, bytes));
        assert.ok(weights.every(Number.isFinite));
      } catch (error) {
        assert.ok(error instanceof BarcastError && error.code === 'BARCAST_E_MODEL_FORMAT', String(error));
        refusals++;
      }
      if (i < 6) assert.equal(refusals, i + 1, 'no truncated file passes for a model');
    }
  });
});
