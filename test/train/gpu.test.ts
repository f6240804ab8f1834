/** A GPU that is lost in the middle of a training, and what goes on from its checkpoint. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { referenceKernel } from '../../src/kernel/index.ts';
import { CheckpointFile, COMPUTED_ON, type RunIdentity } from '../../src/train/checkpoint.ts';
import { runTraining } from '../../src/train/index.ts';
import { offerTested } from '../kernel/webgpu-support.ts';
import { baseRun } from './support.ts';

it('a GPU lost in a training is an error with its code, and another kernel goes on from there', async (t) => {
  const offered = await offerTested();
  if ('unavailable' in offered) return t.skip(`no kernel: ${offered.unavailable}`);
  const folder = mkdtempSync(join(tmpdir(), 'barcast-gpu-'));
  try {
    const on = (kernel: string): RunIdentity => ({ seed: '5', [COMPUTED_ON]: kernel });
    const whole = await runTraining({ ...baseRun(offered.kernel), identity: on('gpu') });
    const onGpu = CheckpointFile.of(folder, on('gpu'));
    const lost = runTraining({
      ...baseRun(offered.kernel),
      identity: on('gpu'),
      checkpoint: onGpu,
      checkpointEveryMs: 0,
      onStep: ({ step }) => {
        if (step === 7) offered.kernel.loseDevice();
      },
    });
    await assert.rejects(lost, { code: 'BARCAST_E_DEVICE' });
    const elsewhere = CheckpointFile.of(folder, on('cpu'));
    assert.equal(CheckpointFile.of(folder, { ...on('cpu'), seed: '6' }).adopt({ ...on('cpu'), seed: '6' }), undefined);
    assert.equal(elsewhere.adopt(on('cpu')), 'gpu');
    assert.equal(elsewhere.adopt(on('cpu')), undefined);
    assert.equal(readdirSync(folder).length, 1);
    const rest = await runTraining({ ...baseRun(referenceKernel()), identity: on('cpu'), checkpoint: elsewhere });
    assert.equal(rest.steps, whole.steps);
    assert.ok(rest.sequences < whole.sequences, 'it went on, it did not start again');
    const end = (result: typeof whole) => result.history[result.history.length - 1].trainLoss;
    assert.ok(Math.abs(end(rest) - end(whole)) <= 1e-4 * end(whole), `${end(rest)} instead of ${end(whole)}`);
  } finally {
    offered.kernel.close();
    rmSync(folder, { recursive: true });
  }
});
