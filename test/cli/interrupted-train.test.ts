/** A training that is killed, or stopped by Ctrl-C, goes on with the same command and ends in the same bits. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { EpochMs } from '../../src/base/index.ts';
import { type Exchange, startExchange } from '../../src/sources/index.ts';
import { answer, refused, start, temporaryFolder } from './support.ts';

const SYMBOLS = ['SPY', 'AAPL', 'KO', 'XOM'];
const TRAIN = ['train', '--epochs', '6', '--batch', '64', '--seed', '3', '--name', 'm'];

interface Trained {
  readonly weightsHash: string;
  readonly version: string;
  readonly sequences: number;
}

describe('an interrupted training', () => {
  const folder = temporaryFolder();
  let exchange: Exchange;
  let whole: Trained;
  before(async () => {
    exchange = await startExchange({
      port: 0,
      seed: 2,
      symbols: SYMBOLS,
      now: Date.parse('2025-03-14T20:30:00Z') as EpochMs,
    });
    await answer(
      [
        'ingest',
        '--source',
        'yahoo',
        '--yahoo-url',
        exchange.url,
        '--symbols',
        SYMBOLS.join(','),
        '--from',
        '2025-03-11',
      ],
      folder.path,
    );
    whole = await answer<Trained>([...TRAIN, '--models', 'whole'], folder.path);
  });
  after(async () => {
    await exchange.close();
    folder.remove();
  });

  for (const [epoch, signal] of [
    [1, 'SIGKILL'],
    [3, 'SIGKILL'],
    [2, 'SIGINT'],
  ] as const) {
    it(`by ${signal} after epoch ${epoch}`, async (t) => {
      const models = `${signal}-${epoch}`;
      const run = start([...TRAIN, '--models', models], folder.path);
      await run.printed(new RegExp(`^epoch ${epoch}: `, 'm'), 'stderr');
      run.child.kill(signal);
      const { status, stderr } = await run.ended;
      if (status === 0) return t.diagnostic('it had ended before the signal came');
      if (signal === 'SIGINT') {
        assert.equal(status, 1);
        assert.match(stderr, /BARCAST_E_INTERRUPTED: .*; run the same command again to go on\n$/);
      }
      assert.ok(existsSync(join(folder.path, models, 'm', 'checkpoint.safetensors')), 'a checkpoint is there');
      const rest = await answer<Trained>([...TRAIN, '--models', models, '--resume'], folder.path);
      assert.deepEqual([rest.weightsHash, rest.version], [whole.weightsHash, whole.version]);
      assert.ok(rest.sequences < whole.sequences, 'it went on, it did not start again');
      assert.ok(
        !existsSync(join(folder.path, models, 'm', 'checkpoint.safetensors')),
        'the checkpoint has done its work',
      );
    });
  }

  it('that never was cannot be resumed', () =>
    refused([...TRAIN, '--models', 'none', '--resume'], folder.path, 'BARCAST_E_CHECKPOINT', /no checkpoint/));
});
