/**
 * Filling an empty store with columns that need no judgement: generated markets, and copies of another store.
 *
 * What is asked of them is checked and not repaired: within a part ascending symbols and within a symbol rising minutes;
 * every part comes after the one before, in its symbols or in its minutes. Bars from the outside go through a transaction, which judges every row.
 */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { DOUBLE, type DuckDBConnection, DuckDBDataChunk, INTEGER } from '@duckdb/node-api';
import type { MarketBars } from '../bars/index.ts';
import { BarcastError } from '../base/index.ts';
import { openDatabase, quoted, storeError } from './database.ts';
import { takeOwnership } from './lock.ts';
import { EMPTY_MANIFEST, readManifest, type Segment, writeManifest } from './manifest.ts';
import { removeOrphans, SPILL_FOLDER, writeSortedSegment } from './segments.ts';

const ROWS_PER_CHUNK = 2048;
const NUMBERS = ['open', 'high', 'low', 'close', 'volume'] as const;

/**
 * Writes each part as one segment and publishes them in one commit. A part of 2 to 16 million rows is never merged
 * later, and costs 44 bytes a row of memory while it is written.
 * @returns rows written
 * @throws BARCAST_E_USAGE when the store holds bars already or the parts are not in order, BARCAST_E_STORE_LOCKED,
 *   BARCAST_E_DISK_FULL; the store is then as it was
 */
export async function fillStore(
  directory: string,
  parts: Iterable<MarketBars> | AsyncIterable<MarketBars>,
): Promise<number> {
  const path = resolve(directory);
  mkdirSync(path, { recursive: true });
  const instance = await openDatabase(join(path, SPILL_FOLDER));
  let release = () => {};
  try {
    const connection = await instance.connect();
    release = await takeOwnership(connection, path);
    const manifest = readManifest(path) ?? EMPTY_MANIFEST;
    if (manifest.bars.length > 0) throw refused(`the store ${directory} holds bars already`);
    removeOrphans(path, manifest);
    const bars: Segment[] = [];
    let before = { symbol: '', minute: Number.NEGATIVE_INFINITY };
    for await (const part of parts) {
      before = checkOrder(part, before);
      if (part.minute.length > 0) bars.push(await writePart(connection, path, part, bars.length + 1));
    }
    writeManifest(path, { ...manifest, generation: Math.max(manifest.generation, bars.length) + 1, bars });
    return bars.reduce((sum, { rows }) => sum + rows, 0);
  } catch (error) {
    throw storeError(error);
  } finally {
    instance.closeSync();
    release();
  }
}

interface End {
  readonly symbol: string;
  readonly minute: number;
}

function checkOrder({ symbols, offsets, minute }: MarketBars, before: End): End {
  if (minute.length === 0) return before;
  let first = minute[0];
  let last = minute[0];
  for (let s = 0; s < symbols.length; s++) {
    if (s > 0 && symbols[s] <= symbols[s - 1]) throw refused(`${symbols[s]} comes after ${symbols[s - 1]}`);
    for (let row = offsets[s]; row < offsets[s + 1]; row++) {
      if (row > offsets[s] && minute[row] <= minute[row - 1]) throw refused(`the minutes of ${symbols[s]} do not rise`);
      if (minute[row] < first) first = minute[row];
      if (minute[row] > last) last = minute[row];
    }
  }
  if (symbols[0] <= before.symbol && first <= before.minute) throw refused('a part overlaps the one before');
  return { symbol: symbols.at(-1)!, minute: last };
}

async function writePart(
  connection: DuckDBConnection,
  directory: string,
  part: MarketBars,
  number: number,
): Promise<Segment> {
  await connection.run(
    `create or replace table part (s INTEGER, minute INTEGER, ${NUMBERS.map((name) => `${name} DOUBLE`).join(', ')})`,
  );
  const rows = part.minute.length;
  const place = new Int32Array(rows);
  for (let s = 0; s < part.symbols.length; s++) place.fill(s + 1, part.offsets[s], part.offsets[s + 1]);
  const columns = [place, part.minute, ...NUMBERS.map((name) => part[name])];
  const appender = await connection.createAppender('part');
  const types = columns.map((column) => (column instanceof Int32Array ? INTEGER : DOUBLE));
  for (let start = 0; start < rows; start += ROWS_PER_CHUNK) {
    const count = Math.min(ROWS_PER_CHUNK, rows - start);
    const chunk = DuckDBDataChunk.create(types, count);
    for (const [c, column] of columns.entries()) fillVector(chunk, c, column.subarray(start, start + count));
    appender.appendDataChunk(chunk);
  }
  appender.closeSync();
  const names = `[${part.symbols.map(quoted).join(', ')}]`;
  const sql = `select (${names})[s] as symbol, minute, ${NUMBERS.join(', ')} from part`;
  const segment = await writeSortedSegment(connection, directory, 'bars', number, sql);
  await connection.run('drop table part');
  return segment;
}

/** NaN becomes null. */
function fillVector(chunk: DuckDBDataChunk, column: number, values: Int32Array | Float64Array): void {
  const vector = chunk.getColumnVector(column) as unknown as { items: Int32Array | Float64Array } & ReturnType<
    DuckDBDataChunk['getColumnVector']
  >;
  vector.items.set(values);
  for (let row = 0; row < values.length; row++) if (Number.isNaN(values[row])) vector.setItem(row, null);
  vector.flush();
}

const refused = (what: string): BarcastError =>
  new BarcastError('BARCAST_E_USAGE', what, 'fill an empty store, with symbols and minutes in ascending order');
