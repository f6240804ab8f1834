import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import * as onnxruntime from 'onnxruntime-web';
import { Random } from '../../src/base/index.ts';
import { initialWeights, type NetworkShape, outputsOf, parametersOf, referenceKernel } from '../../src/kernel/index.ts';
import {
  encodeOnnx,
  exportOnnx,
  importKeras,
  Model,
  type ModelDescription,
  weightsHash,
} from '../../src/model/index.ts';
import { worstDistance } from './kernels.ts';

const REAL = new URL('../../../shared/data/keras/trained_lstm_mod_1_32.h5', import.meta.url);

onnxruntime.env.wasm.numThreads = 1;
const kernel = referenceKernel();

/** Weights of which no bias is zero. */
function weightsOf(shape: NetworkShape, random: Random): Float32Array {
  const weights = initialWeights(shape, 1 + random.below(1000));
  for (const { name, offset, length } of parametersOf(shape)) {
    if (name.endsWith('.bias')) for (let i = 0; i < length; i++) weights[offset + i] += 0.3 * random.normal();
  }
  return weights;
}

const describeModel = (shape: NetworkShape, weights: Float32Array): ModelDescription => ({
  format: 1,
  name: 'm',
  version: 'v1',
  shape,
  weightsHash: weightsHash(weights),
});

/** What onnxruntime answers for `x [batch, T, F]`. */
async function runOnnx(bytes: Uint8Array, x: Float32Array, batch: number, { windowLength, features }: NetworkShape) {
  const session = await onnxruntime.InferenceSession.create(bytes);
  try {
    assert.deepEqual([session.inputNames, session.outputNames], [['x'], ['y']]);
    const input = new onnxruntime.Tensor('float32', x, [batch, windowLength, features]);
    const { y } = await session.run({ x: input });
    return { dimensions: y.dims, data: y.data as Float32Array };
  } finally {
    await session.release();
  }
}

const inputFor = ({ windowLength, features }: NetworkShape, batch: number, random: Random) =>
  Float32Array.from({ length: batch * windowLength * features }, () => random.normal());

describe('an exported ONNX model', () => {
  const random = new Random(5, 0);
  const dense = (...units: number[]) =>
    units.map((count, i) => ({
      units: count,
      activation: i % 2 === units.length % 2 ? ('relu' as const) : ('linear' as const),
    }));
  const shapes: NetworkShape[] = [
    { windowLength: 60, features: 2, lstm: [50], dropout: 0.2, dense: [...dense(32, 1)] },
    { windowLength: 1, features: 1, lstm: [1], dropout: 0, dense: [{ units: 1, activation: 'relu' }] },
    { windowLength: 512, features: 1, lstm: [3], dropout: 0, dense: dense(1) },
    ...Array.from({ length: 6 }, (_, i) => ({
      windowLength: 1 + random.below(30),
      features: 1 + random.below(32),
      lstm: Array.from({ length: 1 + (i % 3) }, () => 1 + random.below(40)),
      dropout: 0.1 * i,
      dense: dense(...Array.from({ length: 1 + random.below(4) }, () => 1 + random.below(12))),
    })),
  ];
  for (const shape of shapes) {
    const words = `[${shape.windowLength}, ${shape.features}], LSTM ${shape.lstm.join('-')}, Dense ${shape.dense.map(({ units, activation }) => `${units} ${activation}`).join(' - ')}`;
    it(`answers in onnxruntime as our own forward: ${words}`, async () => {
      const weights = weightsOf(shape, random);
      const bytes = encodeOnnx({ shape, weights });
      const model = await Model.open(describeModel(shape, weights), weights, kernel);
      for (const batch of [1, 7]) {
        const x = inputFor(shape, batch, random);
        const answer = await runOnnx(bytes, x, batch, shape);
        assert.deepEqual(answer.dimensions, [batch, outputsOf(shape)]);
        const worst = worstDistance(answer.data, await model.forward(x, batch));
        assert.ok(worst <= 1e-5, `batch ${batch}: ${worst}`);
      }
      model.close();
    });
  }

  it('answers as the model imported from Keras', async (t) => {
    if (!existsSync(REAL)) return t.skip('../shared/data/keras is not there');
    const model = await importKeras(REAL.pathname, { kernel });
    const { shape } = model.description;
    const x = Float32Array.from(inputFor(shape, 16, random), (value) => 0.3 * Math.abs(value));
    const answer = await runOnnx(await exportOnnx(model), x, 16, shape);
    const worst = worstDistance(answer.data, await model.forward(x, 16));
    t.diagnostic(`within ${worst}`);
    assert.ok(worst <= 1e-5, String(worst));
    assert.ok(answer.data.some((value) => value > 0));
    model.close();
  });

  it('carries the format, the operator set, and what makes forecasts of its outputs', async () => {
    const shape = shapes[1];
    const weights = weightsOf(shape, random);
    const bare = fieldsOf(encodeOnnx({ shape, weights }));
    assert.deepEqual(metadataOf(bare), { weightsHash: weightsHash(weights) });

    const calibration = {
      gains: [0.5, 0.5],
      level: 0.8,
      below: Array(7).fill(1),
      above: Array(7).fill(1.2),
      strain: { usual: 0.2, slope: 1 },
    };
    const description: ModelDescription = {
      ...describeModel(shape, weights),
      recipe: { name: 'returns', version: 3 },
      scaler: { shift: [0.5] },
      calibration,
    };
    const model = await Model.open(description, weights, kernel);
    const fields = fieldsOf(await exportOnnx(model));
    model.close();
    assert.equal(fields.find(({ field }) => field === 1)?.value, 7);
    const operators = fieldsOf(fields.find(({ field }) => field === 8)!.value as Uint8Array);
    assert.deepEqual(
      operators.map(({ value }) => (typeof value === 'number' ? value : text(value))),
      ['', 14],
    );
    assert.deepEqual(metadataOf(fields), {
      weightsHash: weightsHash(weights),
      model: 'm',
      version: 'v1',
      recipe: 'returns 3',
      scaler: '{"shift":[0.5]}',
      calibration: JSON.stringify(calibration),
    });
  });
});

interface Field {
  readonly field: number;
  readonly value: number | Uint8Array;
}

/** The fields of a protocol buffers message, of the two wire types that an ONNX model of ours has. */
function fieldsOf(bytes: Uint8Array): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++];
      value += (byte & 0x7f) * shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const number = varint();
    const field = Math.floor(key / 8);
    if (key % 8 === 0) fields.push({ field, value: number });
    else {
      assert.equal(key % 8, 2);
      fields.push({ field, value: bytes.subarray(at, at + number) });
      at += number;
    }
  }
  return fields;
}

const text = (value: number | Uint8Array) => Buffer.from(value as Uint8Array).toString();

const metadataOf = (fields: Field[]) =>
  Object.fromEntries(
    fields
      .filter(({ field }) => field === 14)
      .map(({ value }) => fieldsOf(value as Uint8Array).map((part) => text(part.value))),
  );
