/** The scaling benchmark: its model of an all-reduce against planted numbers, its answer's keys, its drawing. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fitAlphaBeta, predict, reduceSeconds, speedupPlot } from '../../bench/alpha-beta.ts';
import { answer, temporaryFolder } from '../cli/support.ts';

const near = (found: number, wanted: number) =>
  assert.ok(Math.abs(found / wanted - 1) < 1e-9, `${found}, not ${wanted}`);

describe('the model of an all-reduce', () => {
  it('finds the latency and the bandwidth that it is given', () => {
    const planted = { alpha: 3e-5, beta: 2e-9 };
    const samples = [2, 3, 4].flatMap((ranks) =>
      [64, 4096, 95_000, 1e6].map((bytes) => ({ ranks, bytes, seconds: reduceSeconds(planted, ranks, bytes) })),
    );
    const { alpha, beta, error } = fitAlphaBeta(samples);
    near(alpha, planted.alpha);
    near(beta, planted.beta);
    assert.ok(error < 1e-9);
  });

  it('never finds a negative one', () => {
    const falling = [64, 1e6].map((bytes, i) => ({ ranks: 2, bytes, seconds: 1e-3 / (1 + i) }));
    assert.ok(fitAlphaBeta(falling).beta >= 0);
    const steep = [64, 1e6].map((bytes) => ({ ranks: 2, bytes, seconds: bytes ** 1.2 * 1e-9 }));
    assert.ok(fitAlphaBeta(steep).alpha >= 0);
  });

  it('predicts by hand', () => {
    // 8 nodes: 6 messages of 1 ms and 7/4 of a million bytes at 1 ns.
    const network = { name: 'n', alpha: 1e-3, beta: 1e-9 };
    const { collectiveMs, speedup, efficiency } = predict(network, 10, () => 1e6, 8);
    near(collectiveMs, 7.75);
    near(efficiency, 10 / 17.75);
    near(speedup, 80 / 17.75);
    const plot = speedupPlot(
      [8, 16].map((nodes) => predict(network, 10, () => 1e6, nodes)),
      'title',
    );
    assert.match(plot, /^<svg [\s\S]*<\/svg>\n$/);
    assert.equal(plot.match(/<polyline/g)?.length, 2);
  });
});

describe('bench scaling', () => {
  it('answers a speedup for each way and number of ranks, of runs that ended in the same weights', async () => {
    const folder = temporaryFolder();
    try {
      const words = [
        '--ranks',
        '2',
        '--units',
        '8',
        '--batch',
        '96',
        '--batch-per-rank',
        '64',
        '--seconds',
        '0.02',
        '--rounds',
        '2',
      ];
      const found = (await answer(['bench', 'scaling', ...words, '--svg', 'p.svg'], folder.path)) as {
        ranks: { way: string; ranks: number; scaling: string; sequencesPerSecond: number; speedup: number }[];
        fitted: Record<string, { alpha: number; beta: number }>;
        predictions: object[];
      };
      const kinds = found.ranks.map(({ way, ranks, scaling }) => `${way} ${ranks} ${scaling}`).sort();
      const two = ['kernel', 'mpi', 'threads'].flatMap((way) => [`${way} 2 strong`, `${way} 2 weak`]);
      assert.deepEqual(kinds, ['kernel 1 strong', 'kernel 1 weak', ...two].sort());
      for (const { sequencesPerSecond, speedup } of found.ranks) assert.ok(sequencesPerSecond > 0 && speedup > 0);
      assert.deepEqual(Object.keys(found.fitted), ['threads', 'mpi']);
      assert.equal(found.predictions.length, 12);
      assert.match(readFileSync(join(folder.path, 'p.svg'), 'utf8'), /^<svg /);
    } finally {
      folder.remove();
    }
  });
});
