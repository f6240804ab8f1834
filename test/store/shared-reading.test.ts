import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { MarketBars } from '../../src/bars/index.ts';
import { epochMinute, freshShared } from '../../src/base/index.ts';
import { openDatabase } from '../../src/store/database.ts';
import { canReadDirectly, directChunksOf } from '../../src/store/direct-vectors.ts';
import { type FillQuery, fill } from '../../src/store/fill.ts';
import { fillOnThreads, startedWorkers } from '../../src/store/fill-threads.ts';
import { fillStore, openReader, type ReadQuery } from '../../src/store/index.ts';
import { readManifest } from '../../src/store/manifest.ts';
import { cutParts, type Placed } from '../../src/store/parts.ts';
import { readBars } from '../../src/store/read-bars.ts';
import { flat, ingest, OPEN, raw, temporaryFolder } from './support.ts';

const skip = canReadDirectly() ? false : `DuckDB's library cannot be called on ${process.platform}`;

const CHILD = fileURLToPath(new URL('./children/read-and-exit.ts', import.meta.url));

/** Reads a store in so many parts. */
async function reading(t: TestContext, data: string) {
  const instance = await openDatabase(tmpdir());
  const connection = await instance.connect();
  t.after(() => {
    connection.closeSync();
    instance.closeSync();
  });
  const manifest = readManifest(data)!;
  return (query: ReadQuery, parts: number) => readBars(connection, data, manifest, query, freshShared, parts);
}

const shown = ({ symbols, offsets, minute, open, high, low, close, volume }: MarketBars) => ({
  symbols,
  columns: [offsets, minute, open, high, low, close, volume].map((column) => Array.from(column)),
});

test('any range and choice, read in parts by threads, is what one thread reads', { skip }, async (t) => {
  const data = temporaryFolder(t);
  const symbols = Array.from({ length: 30 }, (_, i) => `S${String(i).padStart(2, '0')}`);
  // Segments one after another, of all symbols and of some, one that lies between the minutes of others, missing values.
  const rows = (s: number, from: number, count: number) =>
    Array.from({ length: count }, (_, i) => flat(from + i, 1000 * (s + 1) + from + i, i % 9 === 0 ? Number.NaN : i));
  await ingest(data, ...symbols.map((symbol, s) => raw(symbol, rows(s, 0, 250))));
  await ingest(data, ...symbols.slice(10, 13).map((symbol, s) => raw(symbol, rows(s + 10, 400, 700))));
  await ingest(data, ...symbols.filter((_, s) => s % 2 === 0).map((symbol, s) => raw(symbol, rows(2 * s, 2000, 90))));
  await ingest(data, ...symbols.map((symbol, s) => raw(symbol, rows(s, 300, 40))));
  const read = await reading(t, data);
  const choices = [
    undefined,
    symbols.slice(3, 21),
    symbols.filter((_, s) => s % 3 === 1),
    ['S29', 'S11', 'NONE'],
    ['NONE'],
  ];
  for (const chosen of choices) {
    for (const range of [{}, { from: epochMinute(OPEN + 120), to: epochMinute(OPEN + 650) }]) {
      const query = { symbols: chosen, ...range };
      const expected = shown(await read(query, 1));
      for (const parts of [2, 3, 7]) assert.deepEqual(shown(await read(query, parts)), expected);
      const several = await Promise.all([2, 3, 4].map((parts) => read(query, parts)));
      for (const bars of several) assert.deepEqual(shown(bars), expected, 'at once');
    }
  }
});

test('parts hold every piece once, in order, and about as many rows each', () => {
  const rows = [10, 20, 30, 5, 5, 40, 10, 10, 10, 10];
  const segments = [0, 0, 0, 1, 1, 2, 3, 3, 3, 3];
  const pieces: Placed[] = rows.map((count, i) => ({
    segment: segments[i],
    symbol: `S${i}`,
    mark: i,
    rows: count,
    start: i,
  }));
  const span = {
    condition: 'true',
    segments: [0, 1, 2, 3].map((i) => ({ file: `${i}`, rows: 0, bytes: 0, sha256: '' })),
  };
  for (const count of [1, 2, 3, 4, 10, 25]) {
    const parts = cutParts(span, pieces, count);
    assert.equal(parts.length, count);
    assert.deepEqual(
      parts.flatMap((part) => part.flatMap((stretch) => stretch.pieces)),
      pieces,
    );
    for (const part of parts) {
      const held = part.flatMap((stretch) => stretch.pieces).reduce((sum, piece) => sum + piece.rows, 0);
      assert.ok(Math.abs(held - 150 / count) <= 40, `${held} of ${count} parts`);
    }
  }
  assert.deepEqual(
    cutParts(span, pieces, 2).map((part) =>
      part.map(({ span: { segments: own, condition } }) => [own.length, condition]),
    ),
    [[[2, 'true']], [[2, 'true']]],
    'whole segments are read as they are',
  );
  assert.deepEqual(
    cutParts(span, pieces, 4).map((part) => part.map(({ span: { condition } }) => condition)),
    [["true and symbol between 'S0' and 'S1'"], ["true and symbol between 'S2' and 'S2'", 'true'], ['true'], ['true']],
  );
});

/** Queries of `rows` numbers of one symbol each, one after another in the column. */
const numbered = (parts: number, rows: number): FillQuery[][] =>
  Array.from({ length: parts }, (_, part) => [
    {
      sql: `select 5::INTEGER as mark, (${part * rows} + i)::INTEGER from range(${rows}) as numbers(i)`,
      pieces: [{ symbol: 'A', mark: 5, rows, start: part * rows }],
    },
  ]);

test('a part that fails fails the whole, whoever has it, and nothing is written from then on', { skip }, async () => {
  const chunksOf = (sql: string) => directChunksOf(sql)!;
  for (const wrong of [0, 1, 5]) {
    const parts = numbered(6, 50_000);
    const column = new Int32Array(freshShared(4 * 300_000));
    parts[wrong] = [{ ...parts[wrong][0], sql: 'select nothing' }];
    await assert.rejects(fillOnThreads(parts, [column], chunksOf), /nothing/);
    const then = column.slice();
    await fill(numbered(1, 50_000)[0], [new Int32Array(50_000)], chunksOf);
    assert.deepEqual(column, then);
  }
  const misplaced = numbered(2, 5000);
  misplaced[1] = [{ ...misplaced[1][0], pieces: [{ symbol: 'B', mark: 6, rows: 5000, start: 0 }] }];
  await assert.rejects(fillOnThreads(misplaced, [new Int32Array(freshShared(40_000))], chunksOf), /rows of B are not/);
  const column = new Int32Array(freshShared(4 * 300_000));
  await fillOnThreads(numbered(6, 50_000), [column], chunksOf);
  assert.ok(column.every((value, i) => value === i));
});

test('a thread that ends fails the read that it was at, and later ones do without it', { skip }, async (t) => {
  const chunksOf = (sql: string) => directChunksOf(sql)!;
  const workers = [...startedWorkers()];
  if (workers.length === 0) return t.skip('one processor: no other thread reads');
  await fillOnThreads(numbered(2, 5000), [new Int32Array(freshShared(40_000))], chunksOf);
  const reading = fillOnThreads(numbered(20, 200_000), [new Int32Array(freshShared(4 * 4_000_000))], chunksOf);
  const failed = assert.rejects(reading, /a thread that read beside this one ended/);
  // No job: it ends by its own fault, while it reads.
  for (const worker of workers) worker.postMessage({});
  await Promise.all(workers.map((worker) => new Promise((ended) => worker.once('exit', ended))));
  await failed;
  assert.deepEqual(startedWorkers(), []);
  const column = new Int32Array(freshShared(4 * 300_000));
  await fillOnThreads(numbered(6, 50_000), [column], chunksOf);
  assert.ok(column.every((value, i) => value === i));
});

test('a million rows through a reader, readers that exit amid them, and a segment damaged in the middle', {
  skip,
}, async (t) => {
  const data = temporaryFolder(t);
  const [symbols, each] = [Array.from({ length: 50 }, (_, i) => `S${i + 10}`), 21_000];
  const rows = symbols.length * each;
  const numbers = (f: (row: number) => number) => Float64Array.from({ length: rows }, (_, row) => f(row));
  const market = {
    symbols,
    offsets: Int32Array.from({ length: symbols.length + 1 }, (_, s) => s * each),
    minute: Int32Array.from({ length: rows }, (_, row) => OPEN + (row % each)),
    open: numbers((row) => 1 + Math.sin(row)),
    high: numbers((row) => 3 + Math.sin(row)),
    low: numbers((row) => 0.5 + Math.sin(row) / 9),
    close: numbers((row) => (row % 1000 === 7 ? Number.NaN : 1 + Math.cos(row))),
    volume: numbers((row) => row % 977),
  };
  await fillStore(data, [market]);
  const reader = await openReader(data);
  t.after(() => reader.close());
  const { symbols: found, ...columns } = await reader.read();
  assert.deepEqual(found, symbols);
  const bytesOf = ({ buffer }: { readonly buffer: ArrayBufferLike }) => Buffer.from(buffer);
  for (const [name, column] of Object.entries(columns))
    assert.ok(bytesOf(column).equals(bytesOf(market[name as keyof typeof columns])), name);
  for (const milliseconds of [40, 50, 60, 70]) {
    const child = spawn(process.execPath, [CHILD, data, String(milliseconds), '3'], { stdio: 'inherit' });
    assert.deepEqual(await once(child, 'exit'), [3, null], `one that exits after ${milliseconds} ms of reading`);
  }
  const [file] = readdirSync(join(data, 'segments'));
  const path = join(data, 'segments', file!);
  const bytes = readFileSync(path);
  bytes.fill(255, Math.floor(0.7 * bytes.length), Math.floor(0.7 * bytes.length) + 20_000);
  writeFileSync(path, bytes);
  await assert.rejects(reader.read(), { code: 'BARCAST_E_STORE_CORRUPT', message: new RegExp(file!) });
});
