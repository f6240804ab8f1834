/** Training on a GPU through the command line: lost in the middle, resumed elsewhere; two ranks; what doctor tells. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { EpochMs } from '../../src/base/index.ts';
import { startExchange } from '../../src/sources/index.ts';
import { MPIRUN } from '../collective/support.ts';
import { lavapipe, swiftShader } from '../kernel/webgpu-support.ts';
import { answer, start, temporaryFolder } from './support.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const SYMBOLS = ['SPY', 'KO'];
const TRAIN = ['train', '--epochs', '5', '--batch', '128', '--seed', '3', '--name', 'm', '--checkpoint-every', '0.001'];
const MODEST = ['train', '--epochs', '1', '--batch', '256', '--seed', '3', '--kernel', 'webgpu', '--name', 'r'];
const missing = Object.values(swiftShader).find((path) => !existsSync(path));
const noLavapipe = !lavapipe.VK_ICD_FILENAMES
  ? "this machine's own GPU is tested"
  : existsSync(lavapipe.VK_ICD_FILENAMES)
    ? undefined
    : `${lavapipe.VK_ICD_FILENAMES} is missing: run 'node scripts/lavapipe.mjs'`;

interface Trained {
  readonly kernel: string;
  readonly ranks: number;
  readonly trainLoss: number;
  readonly sequences: number;
  readonly weightsHash: string;
}

describe('training on a GPU', { skip: missing && `${missing} is missing: install Debian's package chromium` }, () => {
  const folder = temporaryFolder();
  before(async () => {
    Object.assign(process.env, swiftShader);
    const now = Date.parse('2025-03-12T20:30:00Z') as EpochMs;
    const exchange = await startExchange({ port: 0, seed: 2, symbols: SYMBOLS, now });
    const from = ['--symbols', SYMBOLS.join(','), '--from', '2025-03-11'];
    await answer(['ingest', '--source', 'yahoo', '--yahoo-url', exchange.url, ...from], folder.path);
    await exchange.close();
  });
  after(() => folder.remove());

  it('goes on with another kernel from the checkpoint of one whose GPU is gone', async () => {
    const whole = await answer<Trained>([...TRAIN, '--models', 'whole', '--kernel', 'reference'], folder.path);
    const run = start([...TRAIN, '--models', 'lost', '--kernel', 'webgpu'], folder.path);
    await run.printed(/^epoch 1: /m, 'stderr');
    run.child.kill('SIGKILL');
    const { status } = await run.ended;
    assert.notEqual(status, 0, 'it was killed before its end');
    const resumed = start([...TRAIN, '--models', 'lost', '--kernel', 'reference', '--resume', '--json'], folder.path);
    const { stdout, stderr, status: ended } = await resumed.ended;
    assert.equal(ended, 0, stderr);
    assert.match(stderr, /goes on from what webgpu \(WGSL, .*\) had trained/);
    const rest = JSON.parse(stdout) as Trained;
    assert.equal(rest.kernel, 'reference');
    assert.ok(rest.sequences < whole.sequences, 'it went on, it did not start again');
    assert.ok(Math.abs(rest.trainLoss - whole.trainLoss) <= 1e-3 * whole.trainLoss);
  });

  it('two devices as two ranks give the weights of one, as threads and under Open MPI', async () => {
    const one = await answer<Trained>([...MODEST, '--models', 'one'], folder.path);
    const threads = ['--models', 'threads', '--collective', 'threads', '--workers', '2'];
    const two = await answer<Trained>([...MODEST, ...threads], folder.path);
    assert.deepEqual([two.ranks, two.weightsHash], [2, one.weightsHash]);
    const ranks = await new Promise<string>((resolve, reject) => {
      const words = [...MPIRUN, '-n', '2', process.execPath, MAIN, ...MODEST, '--json', '--models', 'mpi'];
      execFile('mpirun', words, { cwd: folder.path }, (error, stdout) => (error ? reject(error) : resolve(stdout)));
    });
    const mpi = JSON.parse(ranks) as Trained;
    assert.deepEqual([mpi.ranks, mpi.weightsHash], [2, one.weightsHash]);
  });

  it('two GPUs that differ refuse to train together', async (t) => {
    if (noLavapipe) return t.skip(noLavapipe);
    const train = [...MODEST, '--models', 'mixed', '--rank-timeout', '120'];
    const rank = [process.execPath, MAIN, ...train];
    const otherEnv = Object.entries(lavapipe).map(([name, value]) => `${name}=${value}`);
    const words = [...MPIRUN, '-n', '1', ...rank, ':', '-n', '1', 'env', ...otherEnv, ...rank];
    const told = await new Promise<string>((resolve, reject) => {
      execFile('mpirun', words, { cwd: folder.path }, (error, _, stderr) =>
        error ? resolve(stderr) : reject(new Error('they trained')),
      );
    });
    assert.match(told, /^BARCAST_E_\w+: .*swiftshader.*llvmpipe|^BARCAST_E_\w+: .*llvmpipe.*swiftshader/im);
  });

  it('trains in half precision, to the same weights on two ranks', async (t) => {
    if (noLavapipe) return t.skip(noLavapipe);
    const before = { ...process.env };
    Object.assign(process.env, lavapipe);
    try {
      const half = MODEST.map((word) => (word === 'webgpu' ? 'webgpu-f16' : word));
      const one = await answer<Trained>([...half, '--models', 'half'], folder.path);
      assert.equal(one.kernel, 'webgpu-f16');
      const threads = ['--models', 'halves', '--collective', 'threads', '--workers', '2'];
      const two = await answer<Trained>([...half, ...threads], folder.path);
      assert.deepEqual([two.ranks, two.weightsHash], [2, one.weightsHash]);
    } finally {
      Object.assign(process.env, before);
    }
  });

  it('refuses half precision in one line where the GPU has none', async (t) => {
    const { gpu } = await answer<{ gpu: { features: string[] } }>(['doctor'], folder.path);
    if (gpu.features.includes('shader-f16')) return t.skip('this adapter has it');
    const { status, stderr } = await start([...TRAIN, '--models', 'half', '--kernel', 'webgpu-f16'], folder.path).ended;
    assert.equal(status, 1);
    assert.match(stderr, /^BARCAST_E_KERNEL_UNAVAILABLE: .*no half precision.*$/m);
  });

  it('doctor tells the GPU', async () => {
    const { gpu } = await answer<{ gpu: { name: string; limits: object } }>(['doctor'], folder.path);
    assert.match(gpu.name, /./);
    assert.ok('maxComputeWorkgroupStorageSize' in gpu.limits);
  });
});
