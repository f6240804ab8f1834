import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { zipSync } from 'fflate';
import { BarcastError } from '../../src/base/index.ts';
import { readZip } from '../../src/model/zip.ts';

const text = Buffer.from('a line that is long enough to be worth compressing, '.repeat(9));
const content = {
  'a/one.txt': text,
  'two.bin': Uint8Array.from({ length: 300 }, (_, i) => i),
  empty: new Uint8Array(0),
};
const names = Object.keys(content);
const stored = zipSync(content, { level: 0 });
const deflated = zipSync(content, { level: 9 });

const refused = (bytes: Uint8Array, what = /./, limit = 1e6) =>
  assert.throws(
    () => readZip(bytes, names, 'm.keras', limit),
    (error) => error instanceof BarcastError && error.code === 'BARCAST_E_MODEL_FORMAT' && what.test(error.line),
  );

/** The archive with the bytes at a place set. */
const patched = (bytes: Uint8Array, at: number, ...values: number[]) => {
  const copy = bytes.slice();
  copy.set(values, at);
  return copy;
};

describe('readZip', () => {
  it('reads what was stored and what was deflated', () => {
    for (const archive of [stored, deflated]) {
      const found = readZip(archive, names, 'm.keras', 1e6);
      assert.deepEqual([...found.keys()].sort(), names.toSorted());
      for (const [name, bytes] of Object.entries(content)) {
        assert.deepEqual(new Uint8Array(found.get(name)!), new Uint8Array(bytes));
      }
    }
  });

  it('reads an archive with a comment, and members named alone', () => {
    const comment = Buffer.from('hello');
    const end = stored.length - 22;
    const archive = Buffer.concat([patched(stored, end + 20, comment.length, 0), comment]);
    const found = readZip(archive, ['two.bin', 'three'], 'm.keras', 1e6);
    assert.deepEqual([...found.keys()], ['two.bin']);
  });

  it('refuses an archive cut off anywhere', () => {
    for (const archive of [stored, deflated]) {
      for (let length = 0; length < archive.length; length++) refused(archive.subarray(0, length));
    }
  });

  it('refuses a member whose bytes changed', () => {
    const inData = Buffer.from(stored).indexOf('long enough');
    refused(patched(stored, inData, 0x4c), /'a\/one\.txt' is damaged: its checksum differs/);
    const start = 30 + 'a/one.txt'.length;
    for (let i = 0; i < 40; i++) refused(patched(deflated, start + i, deflated[start + i] ^ 0x10), /'a\/one\.txt'/);
  });

  it('never does worse than refuse when any one byte of the directory is another', () => {
    const start = Buffer.from(deflated).indexOf(Buffer.from([0x50, 0x4b, 1, 2]));
    for (let at = start; at < deflated.length; at++) {
      for (const value of [0, 0xff, deflated[at] ^ 1]) {
        try {
          readZip(patched(deflated, at, value), names, 'm.keras', 1e6);
        } catch (error) {
          assert.ok(error instanceof BarcastError && error.code === 'BARCAST_E_MODEL_FORMAT', String(error));
        }
      }
    }
  });

  it('refuses what is encrypted, compressed otherwise, or larger than allowed', () => {
    const entry = Buffer.from(stored).indexOf(Buffer.from([0x50, 0x4b, 1, 2]));
    refused(patched(stored, entry + 8, 1), /encrypted/);
    refused(patched(stored, entry + 10, 93), /method 93/);
    refused(stored, /more than 100/, 100);
  });
});
