/**
 * Training finds what is there to find, and says so when there is nothing: every pattern of the simulated market, whose
 * best reachable score is known, and its random walk. Markets and seeds are fixed, so the shares cannot drift; they are
 * asked for with a margin for other processors. `node bench/planted.ts` makes the whole table on larger markets.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { scorePlanted } from '../../bench/planted-market.ts';
import { chooseKernel, type Kernel } from '../../src/kernel/index.ts';
import type { Pattern } from '../../src/sources/index.ts';

const SIZE = { seed: 1, strength: 0.2, symbols: 31, sessions: 10, testSessions: 3, epochs: 1 };
/** Least share of the best reachable scaled skill. */
const LEAST: Record<Exclude<Pattern, 'none'>, number> = { echo: 0.88, reversal: 0.93, lead: 0.8, clock: 0.9 };

describe('planted patterns', () => {
  let kernel: Kernel;
  before(async () => {
    kernel = await chooseKernel({ kernel: 'auto' });
  });
  after(() => kernel.close());

  for (const [pattern, least] of Object.entries(LEAST)) {
    it(`${pattern}: at least ${100 * least}% of the best reachable skill, ahead of a ridge on own returns`, async (t) => {
      if (kernel.name === 'reference') return t.skip('the plain JavaScript kernel would take minutes');
      const score = await scorePlanted({ ...SIZE, pattern: pattern as Pattern }, kernel);
      const { share, ridgeShare, best, coverage80, coverageOfHours } = score;
      t.diagnostic(
        `${(100 * share!).toFixed(1)}% of ${(100 * best).toFixed(1)}%, the ridge ${(100 * ridgeShare!).toFixed(1)}%; coverage ${(100 * coverage80).toFixed(1)}%, hours ${coverageOfHours.map((x) => (100 * x).toFixed(0)).join(' to ')}%`,
      );
      assert.equal(score.verdict, 'edge over persistence');
      assert.ok(share! >= least && share! < 1.02, `${share}`);
      assert.ok(share! > ridgeShare! - 0.02, `the ridge has ${ridgeShare}`);
      assert.ok(Math.abs(coverage80 - 0.8) < 0.03, `coverage ${coverage80}`);
    });
  }

  it('none: no edge', async (t) => {
    if (kernel.name === 'reference') return t.skip('the plain JavaScript kernel would take minutes');
    const { verdict, skillScaled, coverage80 } = await scorePlanted({ ...SIZE, pattern: 'none', strength: 0 }, kernel);
    t.diagnostic(`scaled skill ${(100 * skillScaled).toFixed(2)}%`);
    assert.equal(verdict, 'no edge over persistence');
    assert.ok(skillScaled < 0.005 && skillScaled > -0.02, `${skillScaled}`);
    assert.ok(Math.abs(coverage80 - 0.8) < 0.03, `coverage ${coverage80}`);
  });
});
