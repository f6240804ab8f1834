/** Benchmarks check before they time, count their arithmetic right, and stand beside their peers. No time is asserted. */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { checkAgainstReference } from '../../bench/check.ts';
import { askPeers, peerFigures } from '../../bench/peer.ts';
import { forwardFlops, standardShape } from '../../bench/standard-model.ts';
import { time } from '../../bench/timing.ts';
import { BarcastError, type ErrorCode } from '../../src/base/index.ts';
import { type Kernel, type KernelNetwork, referenceKernel } from '../../src/kernel/index.ts';
import { answer, temporaryFolder } from '../cli/support.ts';

const withCode = (code: ErrorCode, what: RegExp) => (error: unknown) =>
  error instanceof BarcastError && error.code === code && what.test(error.message);

/** The reference kernel with some of its network's answers bent. */
function bentKernel(bend: (network: KernelNetwork) => Partial<KernelNetwork>): Kernel {
  const kernel = referenceKernel();
  return {
    ...kernel,
    name: 'native',
    threads: 1,
    description: 'bent',
    async createNetwork(shape, weights) {
      const network = await kernel.createNetwork(shape, weights);
      const own = {
        forward: network.forward.bind(network),
        gradient: network.gradient.bind(network),
        close: network.close.bind(network),
      };
      return { ...own, ...bend(network) } as KernelNetwork;
    },
    close() {},
  };
}

describe('a benchmark', () => {
  const shape = { ...standardShape(4), windowLength: 8 };

  it('refuses to time wrong outputs or gradients', async () => {
    assert.deepEqual(await checkAgainstReference(referenceKernel(), shape), { outputs: 0, gradients: 0 });
    const outputs = bentKernel((network) => ({
      forward: async (windows) => (await network.forward(windows)).map((y) => y + 1e-3),
    }));
    await assert.rejects(
      checkAgainstReference(outputs, shape),
      withCode('BARCAST_E_KERNEL_UNAVAILABLE', /outputs differ/),
    );
    const gradients = bentKernel((network) => ({
      async gradient(batch) {
        const { sums, sequences } = await network.gradient(batch);
        return { sums: sums.map((sum) => sum + sum / 1000n), sequences };
      },
    }));
    await assert.rejects(
      checkAgainstReference(gradients, shape),
      withCode('BARCAST_E_KERNEL_UNAVAILABLE', /gradients differ/),
    );
  });

  it('counts 1.25 million operations for a window of the standard model', () => {
    // 60 steps x 4 gates x 50 units x (2 inputs + 50 units), then 50 x 32 and 32 x 1, two operations each.
    assert.equal(forwardFlops(standardShape(50)), 2 * (60 * 4 * 50 * 52 + 50 * 32 + 32));
  });

  it('tells quantiles in order, of at least twenty runs after a warm-up', async () => {
    let calls = 0;
    const timing = await time(async () => calls++, 0);
    assert.equal(timing.runs, 20);
    assert.equal(calls, 25);
    assert.ok(timing.p10 <= timing.median && timing.median <= timing.p90 && timing.p90 <= timing.p99);
  });

  it('runs peers before and after and takes the better of their two runs', async () => {
    const folder = temporaryFolder();
    try {
      const script = join(folder.path, 'peer.sh');
      writeFileSync(
        script,
        `#!/bin/sh\necho x >> ${folder.path}/runs\nn=$(wc -l < ${folder.path}/runs)\necho noise\necho "{\\"peer\\": \\"slow 1\\", \\"train_seq_per_s_b32\\": 7, \\"train_seq_per_s_b64\\": $((n * 10)), \\"infer40_ms_p50\\": $((9 - n))}"\n`,
      );
      chmodSync(script, 0o755);
      const [before, after] = [await askPeers([script]), await askPeers([script])];
      assert.deepEqual(
        peerFigures(before, after, (peer) => peer.sequencesPerSecond, Math.max),
        [{ name: 'slow 1', command: script, runs: [10, 20], best: 20 }],
      );
      assert.deepEqual(
        peerFigures(before, after, ({ inferMs }) => inferMs[500] ?? null, Math.min),
        [],
      );
      assert.deepEqual(
        peerFigures(before, after, ({ inferMs }) => inferMs[40] ?? null, Math.min),
        [{ name: 'slow 1', command: script, runs: [8, 7], best: 7 }],
      );
      await assert.rejects(askPeers(['/nonexistent/peer']), withCode('BARCAST_E_USAGE', /gave no figures/));
    } finally {
      folder.remove();
    }
  });

  it('answers the keys that scripts read', async () => {
    const folder = temporaryFolder();
    try {
      const train = await answer(
        ['bench', 'train', '--units', '8', '--batch', '32,64', '--seconds', '0.01'],
        folder.path,
      );
      for (const key of ['kernel', 'threads', 'batch', 'sequencesPerSecond', 'gflops', 'machine', 'date', 'command'])
        assert.ok(key in train, key);
      const infer = await answer(
        ['bench', 'infer', '--units', '8', '--symbols', '40', '--seconds', '0.01'],
        folder.path,
      );
      for (const key of ['symbols', 'p50Ms', 'p99Ms', 'machine', 'date', 'command']) assert.ok(key in infer, key);
      assert.equal(infer.symbols, 40);
    } finally {
      folder.remove();
    }
  });
});
