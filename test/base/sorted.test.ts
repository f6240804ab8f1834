import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lowerBound, Random } from '../../src/base/index.ts';

test('the lower bound is the first place that is not below, as a walk finds it', () => {
  const random = new Random(1);
  for (let round = 0; round < 500; round++) {
    const values = Array.from({ length: Math.floor(12 * random.uniform()) }, () => Math.floor(9 * random.uniform()));
    values.sort((a, b) => a - b);
    const [low, high] = [random.uniform(), random.uniform()]
      .map((x) => Math.floor(x * (values.length + 1)))
      .sort((a, b) => a - b);
    const wanted = Math.floor(11 * random.uniform()) - 1;
    let expected = low;
    while (expected < high && values[expected] < wanted) expected++;
    assert.equal(lowerBound(values, wanted, low, high), expected);
    assert.equal(lowerBound(Int32Array.from(values), wanted, low, high), expected);
  }
  assert.equal(lowerBound([1, 2, 2, 5], 2), 1);
  assert.equal(lowerBound([], Number.NEGATIVE_INFINITY), 0);
});
