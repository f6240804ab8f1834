import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Random } from '../../src/base/index.ts';
import { conformalEnds } from '../../src/train/index.ts';

describe('the conformal interval', () => {
  it('takes the order statistics that the formula names', () => {
    // n = 19: the upper end is the ceil(0.9 * 20) = 18th smallest, the lower one its mirror.
    const residuals = Float64Array.from({ length: 19 }, (_, i) => ((i * 7) % 19) + 1);
    assert.deepEqual(conformalEnds(residuals, 0.8), { low: 2, high: 18 });
  });

  it('covers at least its level of fresh residuals, and not much more', () => {
    const random = new Random(3);
    let covered = 0;
    const trials = 4000;
    for (let trial = 0; trial < trials; trial++) {
      const { low, high } = conformalEnds(
        Float64Array.from({ length: 99 }, () => random.normal()),
        0.8,
      );
      const fresh = random.normal();
      if (fresh >= low && fresh <= high) covered++;
    }
    // 4 standard errors of a binomial share around the exact 80 of 100.
    const slack = 4 * Math.sqrt((0.8 * 0.2) / trials);
    assert.ok(Math.abs(covered / trials - 0.8) < slack, `covered ${covered / trials}`);
  });
});
