import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { workshop } from './files-support.ts';

const HEADER = 'Datetime,Open,High,Low,Close,Volume\n';
const ROW = '2020-01-02 09:30:00-05:00,1,1,1,1,1\n';
const manyRows = Array.from({ length: 5000 }, (_, i) => `${1_577_975_400 + i * 60},1.${i},2,1,1.5,${i}\n`).join('');

/** A bad file beside two good ones is told by name, and nothing of the three is stored. */
async function refuses(
  t: TestContext,
  name: string,
  content: string | Uint8Array,
  message: RegExp,
  code = 'BARCAST_E_FILE_FORMAT',
) {
  const shop = workshop(t);
  await shop.ingest(shop.write('OLD.csv', HEADER + ROW));
  const manifest = readFileSync(join(shop.data, 'manifest.json'), 'utf8');
  const files = [
    shop.write('GOOD1.csv', HEADER + ROW),
    shop.write(name, content),
    shop.write('GOOD2.csv', HEADER + ROW),
  ];
  await assert.rejects(shop.ingest(...files), (error: Error & { code: string }) => {
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    assert.ok(error.message.includes(files[1]!), error.message);
    assert.ok(!error.message.includes('\n'), error.message);
    return true;
  });
  assert.equal(readFileSync(join(shop.data, 'manifest.json'), 'utf8'), manifest);
}

test('truncated gzip, wherever it is cut', async (t) => {
  const whole = gzipSync(HEADER + manyRows);
  for (const length of [5, Math.floor(whole.length / 2), whole.length - 1]) {
    await refuses(t, 'A.csv.gz', whole.subarray(0, length), /truncated/);
  }
});

test('damaged gzip, and what is no gzip', async (t) => {
  const damaged = gzipSync(HEADER + manyRows);
  damaged[damaged.length - 6]! ^= 1;
  await refuses(t, 'A.csv.gz', damaged, /not a gzip file, or a damaged one/);
  await refuses(t, 'A.csv.gz', Buffer.from(HEADER + ROW), /not a gzip file/);
});

test('binary files by any name', async (t) => {
  const bytes = Uint8Array.from({ length: 5000 }, (_, i) => (i * 7919 + ((i * i) >> 3)) & 255);
  await refuses(t, 'A.csv', bytes, /binary/);
  await refuses(t, 'A.csv.gz', bytes, /not a gzip file/);
  await refuses(t, 'A.csv.gz', gzipSync(bytes), /binary/);
  await refuses(t, 'A.parquet', bytes, /not a Parquet file/);
  await refuses(t, 'A.csv', Buffer.from(HEADER + ROW, 'utf16le'), /binary/);
  await refuses(t, 'A.csv', Buffer.concat([Buffer.from(HEADER + ROW), bytes]), /line 3/);
});

test('empty files, and files without the columns of a bar', async (t) => {
  await refuses(t, 'A.csv', '', /is empty/);
  await refuses(t, 'A.csv.gz', '', /is empty/);
  await refuses(t, 'A.csv', 'Datetime,Open,High\n2020-01-02,1,2\n', /no column for low, close, volume/);
  await refuses(t, 'A.csv', 'hello\n', /no column for time, open/);
});

test('cells that are no numbers or times, and rows cut short, with their line', async (t) => {
  await refuses(t, 'A.csv', `${HEADER}${ROW}2020-01-02 09:31:00-05:00,1,x1,1,1,1\n`, /line 3: "x1" is not a number/);
  await refuses(t, 'A.csv', `${HEADER}${ROW}2020-01-02 09:31:00-05:00,1,1\n`, /line 3: 3 columns instead of 6/);
  await refuses(t, 'A.csv', `${HEADER}${ROW}${ROW}yesterday,1,1,1,1,1\n`, /line 4 has the time "yesterday"/);
  await refuses(t, 'A.csv', `${HEADER}${ROW},1,1,1,1,1\n`, /line 3 has no time/);
  await refuses(
    t,
    'A.csv',
    `${HEADER}2020-01-02,1,1,1,1,1\n`,
    /line 2 has the time "2020-01-02", which is no time of a minute/,
  );
});

test('what is no symbol', async (t) => {
  await refuses(t, 'my bars.csv', HEADER + ROW, /neither a symbol column nor a symbol as its name/);
  const header = `Symbol,${HEADER}`;
  await refuses(t, 'A.csv', `${header}AAPL,${ROW}??,${ROW}`, /line 3 has "\?\?", which is no symbol/);
  await refuses(t, 'A.csv', `${header}AAPL,${ROW},${ROW}`, /line 3 has no symbol/);
});

test('a Parquet file that is cut, or holds no numbers', async (t) => {
  const shop = workshop(t);
  const columns = `'2020-01-02 09:30' as time, 1 as open, 1 as high, 1 as low, 1 as volume`;
  const whole = await shop.writeParquet('whole.parquet', `select ${columns}, 1 as close`);
  const bytes = readFileSync(whole);
  await refuses(t, 'A.parquet', bytes.subarray(0, bytes.length - 10), /not a Parquet file, or a truncated one/);
  const words = await shop.writeParquet('words.parquet', `select ${columns}, 'one' as close`);
  await refuses(t, 'A.parquet', readFileSync(words), /"?'?one/);
});

test('a missing file, an empty folder, a file of another kind; a new store is not even begun', async (t) => {
  const shop = workshop(t);
  const good = shop.write('GOOD.csv', HEADER + ROW);
  await assert.rejects(shop.ingest(good, join(shop.folder, 'none.csv')), {
    code: 'BARCAST_E_FILE_MISSING',
    message: /none\.csv does not exist/,
  });
  shop.write('other/readme.txt', '');
  await assert.rejects(shop.ingest(join(shop.folder, 'other')), {
    code: 'BARCAST_E_FILE_MISSING',
    message: /holds no CSV/,
  });
  await assert.rejects(shop.ingest(join(shop.folder, 'other/readme.txt')), { code: 'BARCAST_E_FILE_FORMAT' });
  await assert.rejects(shop.ingest(), { code: 'BARCAST_E_USAGE' });
  assert.ok(!existsSync(shop.data));
});

test('a file with a header alone brings nothing', async (t) => {
  const shop = workshop(t);
  const answer = await shop.ingest(shop.write('A.csv', HEADER), shop.write('B.csv', HEADER + ROW));
  assert.deepEqual([answer.symbols, answer.rowsRead, answer.rowsStored], [1, 1, 1]);
});
