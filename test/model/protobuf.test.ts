import assert from 'node:assert/strict';
import { it } from 'node:test';
import { bytesField, message, textField, wholeField } from '../../src/model/protobuf.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

it("writes the encoding guide's own examples", () => {
  assert.equal(hex(wholeField(1, 150)), '089601');
  assert.equal(hex(textField(2, 'testing')), '120774657374696e67');
  assert.equal(hex(bytesField(3, wholeField(1, 150))), '1a03089601');
});

it('writes numbers of any size, and field numbers beyond 15', () => {
  assert.equal(hex(wholeField(20, 7)), 'a00107');
  assert.equal(hex(wholeField(1, 0)), '0800');
  assert.equal(hex(wholeField(1, 2 ** 35)), '08808080808001');
  assert.equal(hex(message()), '');
  assert.throws(() => wholeField(1, -1), RangeError);
  assert.throws(() => wholeField(1, 0.5), RangeError);
});
