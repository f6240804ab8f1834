/**
 * The owner's writing: new segments first, then the manifest that names them, then the removal of what it no longer
 * names. Whatever fails before the manifest is replaced leaves the old commit; the files left over are removed by the
 * next owner.
 */
import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readdirSync, readSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';
import { commitFile, temporaryName } from '../base/index.ts';
import { pathList, quoted, selectRows } from './database.ts';
import { type Manifest, relation, type Segment, segmentPath, TABLE_NAMES, TABLES, type TableName } from './manifest.ts';

/** A table's part of a commit: the rows of a new segment, as SQL, and the segments that it makes superfluous. */
export interface Change {
  readonly table: TableName;
  readonly sql: string;
  readonly replaces: readonly Segment[];
}

/** Segments are merged when as many of about the same size have gathered, so that each row is rewritten rarely. */
const MERGE_COUNT = 8;
const SMALLEST_TIER_ROWS = 4096;
/** Compaction takes segments below this along: a session of 500 symbols has 195,000 rows. */
const COMPACTED_ROWS = SMALLEST_TIER_ROWS * MERGE_COUNT ** 2;
/** Segments beyond this are left alone: a merge must stay a matter of seconds. */
const LARGEST_MERGED_ROWS = 16_000_000;

/** Folder, inside the store, of what DuckDB has no memory for. */
export const SPILL_FOLDER = '.spill';

/** A segment's name, finished or being written. The folder may be one that a user had before: nothing else is touched. */
const SEGMENT_FILE = new RegExp(`^(?:${TABLE_NAMES.join('|')})-\\d{8,}\\.parquet(?:\\.[0-9a-f]{12}\\.tmp)?$`);

/** Removes what no manifest names: leftovers of a killed owner, and segments that an earlier commit replaced. */
export function removeOrphans(directory: string, manifest: Manifest): void {
  const named = new Set(TABLE_NAMES.flatMap((table) => manifest[table].map((segment) => segment.file)));
  mkdirSync(join(directory, 'segments'), { recursive: true });
  for (const file of readdirSync(join(directory, 'segments'))) {
    if (SEGMENT_FILE.test(file) && !named.has(file)) rmSync(join(directory, 'segments', file), { force: true });
  }
  rmSync(join(directory, SPILL_FOLDER), { recursive: true, force: true });
  for (const file of readdirSync(directory)) {
    if (/^(?:manifest\.json|owner\.duckdb)\.[0-9a-f]{12}\.tmp$/.test(file)) rmSync(join(directory, file));
  }
}

/** Writes the segments of the next commit and returns its manifest, which the caller then publishes. */
export async function writeChanges(
  connection: DuckDBConnection,
  directory: string,
  manifest: Manifest,
  changes: readonly Change[],
): Promise<Manifest> {
  const generation = manifest.generation + 1;
  const next: Record<TableName, readonly Segment[]> & { format: 1; generation: number } = { ...manifest, generation };
  const written: Segment[] = [];
  try {
    for (const { table, sql, replaces } of changes) {
      const segment = await writeSegment(connection, directory, table, generation, sql);
      if (segment !== undefined) written.push(segment);
      const kept = next[table].filter((old) => !replaces.includes(old));
      next[table] = segment === undefined ? kept : [...kept, segment];
    }
  } catch (error) {
    for (const segment of written) rmSync(segmentPath(directory, segment), { force: true });
    throw error;
  }
  return next;
}

/** Undefined when there are no rows. */
const writeSegment = (
  connection: DuckDBConnection,
  directory: string,
  table: TableName,
  generation: number,
  sql: string,
): Promise<Segment | undefined> =>
  writeRows(connection, directory, table, generation, `select * from (${sql}) order by ${TABLES[table].order}`);

/** A segment of rows, at least one, that come in the table's order by themselves. */
export async function writeSortedSegment(
  connection: DuckDBConnection,
  directory: string,
  table: TableName,
  generation: number,
  sql: string,
): Promise<Segment> {
  return (await writeRows(connection, directory, table, generation, sql))!;
}

async function writeRows(
  connection: DuckDBConnection,
  directory: string,
  table: TableName,
  generation: number,
  sql: string,
): Promise<Segment | undefined> {
  const file = `${table}-${String(generation).padStart(8, '0')}.parquet`;
  const path = join(directory, 'segments', file);
  const temporary = temporaryName(path);
  try {
    await connection.run(
      `copy (${sql}) to ${quoted(temporary)} (format parquet, compression lz4_raw, parquet_version v2)`,
    );
    const described = await describe(connection, temporary, table === 'bars' || table === 'trades');
    if (described.rows === 0) return undefined;
    const segment = { file, ...described, bytes: statSync(temporary).size, sha256: digestOf(temporary) };
    commitFile(temporary, path);
    return segment;
  } finally {
    rmSync(temporary, { force: true });
  }
}

async function describe(
  connection: DuckDBConnection,
  path: string,
  byMinute: boolean,
): Promise<Pick<Segment, 'rows' | 'symbols' | 'minutes'>> {
  const range = byMinute
    ? ', min(symbol) as firstSymbol, max(symbol) as lastSymbol, min(minute) as first, max(minute) as last'
    : '';
  const [row] = await selectRows(
    connection,
    `select count(*)::INTEGER as rows${range} from read_parquet(${pathList([path])})`,
  );
  const rows = row!.rows as number;
  if (!byMinute || rows === 0) return { rows };
  return {
    rows,
    symbols: [row!.firstSymbol as string, row!.lastSymbol as string],
    minutes: [row!.first as number, row!.last as number],
  };
}

/** SHA-256 of a file in hexadecimal. @throws what the file system throws */
export function digestOf(path: string): string {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(1 << 20);
  const handle = openSync(path, 'r');
  try {
    for (let read = 0; (read = readSync(handle, buffer)) > 0; ) hash.update(buffer.subarray(0, read));
  } finally {
    closeSync(handle);
  }
  return hash.digest('hex');
}

/** What to merge next, if anything. */
export function planMerge(directory: string, manifest: Manifest): Change | undefined {
  for (const table of TABLE_NAMES) {
    const tiers = Map.groupBy(
      manifest[table].filter((segment) => segment.rows < LARGEST_MERGED_ROWS / MERGE_COUNT),
      ({ rows }) => Math.floor(Math.log(Math.max(1, rows / SMALLEST_TIER_ROWS)) / Math.log(MERGE_COUNT)),
    );
    for (const replaces of tiers.values()) {
      if (replaces.length < MERGE_COUNT) continue;
      return { table, replaces, sql: `select * from ${relation(directory, table, replaces)}` };
    }
  }
  return undefined;
}

/** A merge of each table's small segments, however few there are; nothing for a table that has one or none. */
export function planCompaction(directory: string, manifest: Manifest): Change[] {
  return TABLE_NAMES.flatMap((table) => {
    const replaces = manifest[table].filter(({ rows }) => rows < COMPACTED_ROWS);
    if (replaces.length < 2) return [];
    return [{ table, replaces, sql: `select * from ${relation(directory, table, replaces)}` }];
  });
}
