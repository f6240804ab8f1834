import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BarcastError } from '../../src/base/index.ts';
import { decodeSafetensors, encodeSafetensors, type Tensor } from '../../src/model/index.ts';

const sample = () => ({
  tensors: new Map<string, Tensor>([
    ['a', { dimensions: [2, 3], data: Float32Array.of(1, -2, 3.5, 0, 1e-30, -1e30) }],
    ['b.c', { dimensions: [1], data: Float32Array.of(Math.fround(0.1)) }],
    ['empty', { dimensions: [0], data: new Float32Array(0) }],
  ]),
  metadata: { text: 'ä"\n' },
});

const refused = (bytes: Uint8Array, what: RegExp) =>
  assert.throws(
    () => decodeSafetensors(bytes, 'file'),
    (error) => error instanceof BarcastError && error.code === 'BARCAST_E_MODEL_FORMAT' && what.test(error.message),
  );

/** A file with a header of our choosing and some bytes behind it. */
function fileOf(header: string, data = 0): Buffer {
  const text = Buffer.from(header);
  const bytes = Buffer.alloc(8 + text.length + data);
  bytes.writeBigUInt64LE(BigInt(text.length));
  text.copy(bytes, 8);
  return bytes;
}

describe('safetensors', () => {
  it('lays bytes out as the format says', () => {
    const bytes = Buffer.from(
      encodeSafetensors({ tensors: new Map([['w', { dimensions: [2], data: Float32Array.of(1, 2) }]]), metadata: {} }),
    );
    const headerLength = Number(bytes.readBigUInt64LE(0));
    assert.equal((8 + headerLength) % 8, 0);
    assert.deepEqual(JSON.parse(bytes.toString('utf8', 8, 8 + headerLength)), {
      w: { dtype: 'F32', shape: [2], data_offsets: [0, 8] },
    });
    assert.equal(bytes.readFloatLE(8 + headerLength), 1);
    assert.equal(bytes.readFloatLE(8 + headerLength + 4), 2);
    assert.equal(bytes.length, 8 + headerLength + 8);
  });

  it('reads back every bit, at any alignment of the bytes', () => {
    const bytes = encodeSafetensors(sample());
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    for (const input of [bytes, shifted.subarray(1)]) assert.deepEqual(decodeSafetensors(input, 'file'), sample());
  });

  it('refuses a file cut at any place', () => {
    const bytes = encodeSafetensors(sample());
    for (let length = 0; length < bytes.length; length++) refused(bytes.subarray(0, length), /./);
  });

  it('names what is wrong with a foreign file', () => {
    refused(Buffer.from('PK\x03\x04 this is a zip file and nothing else'), /header is cut off/);
    refused(fileOf('not json'), /not JSON/);
    refused(fileOf('null'), /not an object/);
    refused(fileOf('{"w":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}', 2), /BF16/);
    refused(fileOf('{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', 4), /no shape/);
    refused(fileOf('{"w":{"dtype":"F32","shape":[1]}}', 4), /no bytes/);
    refused(fileOf('{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', 4), /cut off/);
    refused(fileOf('{"w":null}', 4), /not F32/);
  });
});
