/** Training on a GPU through the command line: lost in the middle, resumed elsewhere; two ranks; what doctor tells. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import type { EpochMs } from '../../src/base/index.ts';
import { startExchange } from '../../src/sources/index.ts';
import { swiftShader } from '../kernel/webgpu-support.ts';
import { answer, start, temporaryFolder } from './support.ts';

const SYMBOLS = ['SPY', 'AAPL', 'KO', 'XOM'];
const TRAIN = ['train', '--epochs', '2', '--batch', '256', '--seed', '3', '--name', 'm', '--checkpoint-every', '0.001'];
const missing = Object.values(swiftShader).find((path) => !existsSync(path));

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

  it('doctor tells the GPU', async () => {
    const { gpu } = await answer<{ gpu: { name: string; limits: object } }>(['doctor'], folder.path);
    assert.match(gpu.name, /./);
    assert.ok('maxComputeWorkgroupStorageSize' in gpu.limits);
  });
});
