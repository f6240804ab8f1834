/** What Ctrl-C and kill -9 leave behind: the same command goes on, to the same store and to the same bits. */
import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { EpochMs } from '../../src/base/index.ts';
import { type Exchange, startExchange } from '../../src/sources/index.ts';
import { answer, refused, start, temporaryFolder } from './support.ts';

const SYMBOLS = ['SPY', 'AAPL', 'KO', 'XOM'];
const TRAIN = ['train', '--epochs', '6', '--batch', '64', '--seed', '3', '--name', 'm'];

const holdsCheckpoint = (folder: string) =>
  readdirSync(folder).some((name) => /^checkpoint-.*\.safetensors$/.test(name));

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
      assert.ok(holdsCheckpoint(join(folder.path, models, 'm')), 'a checkpoint is there');
      const rest = await answer<Trained>([...TRAIN, '--models', models, '--resume'], folder.path);
      assert.deepEqual([rest.weightsHash, rest.version], [whole.weightsHash, whole.version]);
      assert.ok(rest.sequences < whole.sequences, 'it went on, it did not start again');
      assert.ok(!holdsCheckpoint(join(folder.path, models, 'm')), 'the checkpoint has done its work');
    });
  }

  it('that never was cannot be resumed', () =>
    refused([...TRAIN, '--models', 'none', '--resume'], folder.path, 'BARCAST_E_CHECKPOINT', /no checkpoint/));
});

describe('an ingest stopped by Ctrl-C', () => {
  const folder = temporaryFolder();
  after(() => folder.remove());

  for (const moment of [/checking files/, /reading files/, /judging and storing/]) {
    it(`while ${moment.source}`, async () => {
      const data = `data-${moment.source.replace(/ /g, '-')}`;
      const names = ['A', 'B', 'C'].map((symbol) => `${symbol}.csv`);
      const row = (i: number) =>
        `2019-12-16T${String(15 + Math.floor(i / 60)).padStart(2, '0')}:${String(i % 60).padStart(2, '0')}:00Z,1,1,1,1,${i}`;
      const rows = Array.from({ length: 300 }, (_, i) => row(i));
      for (const name of names)
        writeFileSync(join(folder.path, name), `Datetime,Open,High,Low,Close,Volume\n${rows.join('\n')}\n`);
      const run = start(['ingest', ...names, '--data', data], folder.path);
      await run.printed(moment, 'stderr');
      run.child.kill('SIGINT');
      const { status, stderr } = await run.ended;
      if (status !== 0) assert.match(stderr, /^BARCAST_E_INTERRUPTED: .*; run the same command again\n$/m);
      const { rowsStored, alreadyStored } = await answer<{ rowsStored: number; alreadyStored: number }>(
        ['ingest', ...names, '--data', data],
        folder.path,
      );
      // All or nothing: the signal may come just after the commit.
      assert.ok(rowsStored === 0 || (status !== 0 && rowsStored === 900), `${rowsStored} stored the second time`);
      assert.equal(rowsStored + alreadyStored, 900);
    });
  }
});
