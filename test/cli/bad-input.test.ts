import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { openStore } from '../../src/store/index.ts';
import { answer, refused, temporaryFolder } from './support.ts';

const HEADER = 'Datetime,Open,High,Low,Close,Volume\n';
const ROW = '2019-12-16 09:30:00-05:00,10,11,9,10.5,100\n';

describe('bad input: one line with a code, its status, and the store as it was', { concurrency: 2 }, () => {
  const folder = temporaryFolder();
  const file = (name: string, content: string | Uint8Array) => {
    const path = join(folder.path, name);
    writeFileSync(path, content);
    return path;
  };
  const refuses = (...[args, code, what]: [string[], Parameters<typeof refused>[2], RegExp?]) =>
    refused(args, folder.path, code, what);
  let before_: unknown;
  before(async () => {
    file('GOOD.csv', HEADER + ROW);
    await answer(['ingest', 'GOOD.csv'], folder.path);
    before_ = await answer(['doctor'], folder.path);
  });
  after(async () => {
    assert.deepEqual(await answer(['doctor'], folder.path), before_, 'the store is as it was');
    folder.remove();
  });

  it('unknown words', async () => {
    await refuses(['fly'], 'BARCAST_E_USAGE', /unknown command 'fly'/);
    await refuses(['train', '--fly'], 'BARCAST_E_USAGE', /unknown option '--fly'/);
    await refuses(['train', '--epochs', 'many'], 'BARCAST_E_USAGE', /whole number/);
    await refuses(['ingest', '--source', 'bloomberg'], 'BARCAST_E_USAGE', /bloomberg/);
    await refuses(['evaluate'], 'BARCAST_E_USAGE', /missing required argument 'model'/);
    await refuses(['ingest', 'GOOD.csv', '--from', '2020-01-01'], 'BARCAST_E_USAGE', /does not go with files/);
  });

  it('dates and symbols', async () => {
    await refuses(['train', '--to', '2019-02-30'], 'BARCAST_E_DATE', /2019-02-30/);
    await refuses(['train', '--from', '2020-01-02', '--to', '2020-01-01'], 'BARCAST_E_DATE', /empty/);
    await refuses(['train', '--symbols', 'NOPE'], 'BARCAST_E_SYMBOL', /NOPE/);
    await refuses(['doctor', '--symbols', 'NOPE'], 'BARCAST_E_SYMBOL', /NOPE/);
    await refuses(['ingest', '--source', 'simulated', '--from', '2999-01-04'], 'BARCAST_E_DATE', /has not come yet/);
    await refuses(['train', '--symbols', 'A B?C'], 'BARCAST_E_SYMBOL');
    await refuses(['train', '--symbols', '@missing.txt'], 'BARCAST_E_FILE_MISSING', /missing\.txt/);
  });

  it('files: missing, truncated, binary, of another kind, with a cell that is no number', async () => {
    const whole = gzipSync(HEADER + ROW.repeat(500));
    await refuses(['ingest', 'nowhere.csv'], 'BARCAST_E_FILE_MISSING', /nowhere\.csv/);
    await refuses(
      ['ingest', file('CUT.csv.gz', whole.subarray(0, whole.length - 9))],
      'BARCAST_E_FILE_FORMAT',
      /CUT\.csv\.gz/,
    );
    await refuses(['ingest', file('NOISE.csv', randomBytes(5000))], 'BARCAST_E_FILE_FORMAT', /NOISE\.csv/);
    await refuses(['ingest', file('NOISE.parquet', randomBytes(5000))], 'BARCAST_E_FILE_FORMAT', /NOISE\.parquet/);
    await refuses(['ingest', file('EMPTY.csv', '')], 'BARCAST_E_FILE_FORMAT', /EMPTY\.csv/);
    await refuses(['ingest', file('OTHER.csv', 'name,age\nAda,36\n')], 'BARCAST_E_FILE_FORMAT', /OTHER\.csv/);
    await refuses(
      ['ingest', 'GOOD.csv', file('WORD.csv', `${HEADER}${ROW}2019-12-16 09:31:00-05:00,ten,11,9,10,1\n`)],
      'BARCAST_E_FILE_FORMAT',
      /WORD\.csv/,
    );
  });

  it('a store that another process owns', async () => {
    const store = await openStore(join(folder.path, 'data'));
    try {
      await refuses(['ingest', 'GOOD.csv'], 'BARCAST_E_STORE_LOCKED', new RegExp(`${process.pid}`));
      assert.equal((await answer<{ bars: number }>(['doctor'], folder.path)).bars, 1, 'a reader beside it');
    } finally {
      store.close();
    }
  });

  it('no store, no bars, no model, no network', async () => {
    await refuses(['doctor', '--data', 'nothing'], 'BARCAST_E_STORE_EMPTY', /nothing/);
    await refuses(['train', '--from', '2030-01-01'], 'BARCAST_E_STORE_EMPTY', /range/);
    await refuses(['train'], 'BARCAST_E_TOO_FEW_WINDOWS');
    await refuses(['evaluate', 'ghost'], 'BARCAST_E_MODEL_MISSING', /ghost/);
    await refuses(['serve', '--model', 'ghost'], 'BARCAST_E_MODEL_MISSING', /ghost/);
    await refuses(
      ['ingest', '--source', 'yahoo', '--yahoo-url', 'http://127.0.0.1:1', '--symbols', 'AAPL', '--data', 'other'],
      'BARCAST_E_NETWORK',
    );
    await refuses(['train', '--kernel', 'webgpu', '--data', 'data'], 'BARCAST_E_KERNEL_UNAVAILABLE');
  });

  it('a port that is taken, and an address beyond this machine without a token', async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = holder.address() as AddressInfo;
      for (const command of ['simulate', 'demo']) {
        await refuses([command, '--port', String(port)], 'BARCAST_E_PORT_IN_USE', new RegExp(`${port}`));
      }
    } finally {
      await new Promise((resolve) => holder.close(resolve));
    }
    await refuses(['simulate', '--port', '0', '--faults', 'gremlins:1'], 'BARCAST_E_USAGE', /gremlins/);
  });
});
