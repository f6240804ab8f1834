/**
 * Staging: rows of every source, as they came, in one table that is then judged by one code path (`judge.ts`).
 *
 * `staged` has a row's place in the input (a later place wins), its symbol in canonical form, its time in milliseconds
 * and its values with null for every kind of absence. `stagedTrades` has what is known of the trades in a row, by the
 * row's place, and `stagedEvent` the dividends and splits. What sources deliver waits in `delivered` and `deliveredTrades`, numbers only (`deliveries.ts`).
 */
import { basename } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';
import { parseSymbol } from '../bars/index.ts';
import { BarcastError, type EpochMs } from '../base/index.ts';
import { parseBarTime } from './bar-time.ts';
import { appendColumns, identifier, pathList, quoted, selectRows, storeError } from './database.ts';
import type { BarFile, BarFileLayout } from './store.ts';

/** Places within one file or one delivery; the file's own place counts in multiples of it. */
export const ROWS_PER_POSITION = 2 ** 32;
export const VALUE_COLUMNS = ['open', 'high', 'low', 'close', 'volume'] as const;
/** A value as SQL: a NaN is an absence. */
export const valueOrNull = (name: string): string => `case when isnan(${name}) then null else ${name} end`;
const NULL_TEXTS = ['', 'nan', 'NaN', 'NAN', 'null', 'NULL', 'None'];

export async function createStaging(connection: DuckDBConnection): Promise<void> {
  // An instant in Parquet becomes text in the session's time zone.
  await connection.run(`
    set TimeZone = 'UTC';
    create table staged (ordinal BIGINT, symbol VARCHAR, timeMs BIGINT,
      open DOUBLE, high DOUBLE, low DOUBLE, close DOUBLE, volume DOUBLE, askedAt BIGINT, provisional BOOLEAN);
    create table stagedTrades (ordinal BIGINT, tradeCount DOUBLE, vwap DOUBLE);
    create table stagedEvent (symbol VARCHAR, timeMs BIGINT, kind VARCHAR, value DOUBLE);
    create table delivery (position DOUBLE, symbol VARCHAR, askedAt DOUBLE, provisional DOUBLE);
    create table delivered (position DOUBLE, place DOUBLE, timeMs DOUBLE,
      open DOUBLE, high DOUBLE, low DOUBLE, close DOUBLE, volume DOUBLE);
    create table deliveredTrades (position DOUBLE, place DOUBLE, tradeCount DOUBLE, vwap DOUBLE)`);
}

export async function dropStaging(connection: DuckDBConnection): Promise<void> {
  await connection.run(`
    drop table if exists staged; drop table if exists stagedTrades; drop table if exists stagedEvent; drop table if exists fileRow;
    drop table if exists instant; drop table if exists origin;
    drop table if exists delivery; drop table if exists delivered; drop table if exists deliveredTrades`);
}

/** Stages files of one layout. @throws BARCAST_E_FILE_FORMAT naming the file, and the line where it is known */
export async function stageFiles(
  connection: DuckDBConnection,
  files: readonly BarFile[],
  layout: BarFileLayout,
  askedAt: EpochMs,
): Promise<void> {
  await readFileRows(connection, files, layout);
  await convertTimes(connection, files, layout);
  await convertSymbols(connection, files, layout);
  const rows = `fileRow join instant using (time) join origin on origin.file = fileRow.file and origin.name is not distinct from fileRow.symbol`;
  await connection.run(`
    insert into staged
    select origin.position * ${ROWS_PER_POSITION} + fileRow.rowid, origin.symbol, timeMs,
      ${VALUE_COLUMNS.map(valueOrNull).join(', ')}, ${askedAt}, false
    from ${rows}
    ${layout.skipEmpty ? `where coalesce(${VALUE_COLUMNS.map(valueOrNull).join(', ')}) is not null` : ''}`);
  for (const [column, kind] of [
    ['dividends', 'dividend'],
    ['splits', 'split'],
  ] as const) {
    if (layout[column] === undefined) continue;
    await connection.run(`
      insert into stagedEvent select origin.symbol, timeMs, '${kind}', ${column} from ${rows}
      where ${column} <> 0 and not isnan(${column})`);
  }
  await connection.run('drop table fileRow; drop table instant; drop table origin');
}

/** `fileRow`: the files' rows in their order, time and symbol as text. Its rowid is that order. */
async function readFileRows(
  connection: DuckDBConnection,
  files: readonly BarFile[],
  layout: BarFileLayout,
): Promise<void> {
  const read = (paths: readonly string[]) =>
    layout.format === 'csv' ? selectFromCsv(paths, layout) : selectFromParquet(paths, layout);
  try {
    await connection.run(`create table fileRow as ${read(files.map((file) => file.path))}`);
  } catch (error) {
    const failure = storeError(error);
    if (failure.code !== 'BARCAST_E_INTERNAL') throw failure;
    const named = files.find((file) => failure.message.includes(file.path));
    throw formatError(named ?? (await firstUnreadable(connection, files, read)), explainRead(failure.message), error);
  }
}

function selectFromCsv(paths: readonly string[], layout: BarFileLayout): string {
  const numbers = new Set([...VALUE_COLUMNS, 'dividends' as const, 'splits' as const].map((name) => layout[name]));
  const types = layout.columns.map((_, column) => `'c${column}': '${numbers.has(column) ? 'DOUBLE' : 'VARCHAR'}'`);
  return `select ${selectColumns(layout, (column) => `c${column}`)} from read_csv(${pathList(paths)},
    auto_detect = false, header = false, skip = ${layout.headerLines}, delim = '${layout.separator}', quote = '"',
    escape = '"', compression = '${layout.gzip ? 'gzip' : 'none'}', nullstr = [${NULL_TEXTS.map(quoted).join(', ')}],
    columns = {${types.join(', ')}})`;
}

function selectFromParquet(paths: readonly string[], layout: BarFileLayout): string {
  return `select ${selectColumns(layout, (column) => identifier(layout.columns[column]!))} from read_parquet(${pathList(paths)})`;
}

function selectColumns(layout: BarFileLayout, nameOf: (column: number) => string): string {
  const number = (name: 'dividends' | 'splits' | (typeof VALUE_COLUMNS)[number]) => {
    const column = layout[name];
    return `${column === undefined ? 'null' : nameOf(column)}::DOUBLE as ${name}`;
  };
  return [
    'file_index::INTEGER as file',
    `${nameOf(layout.time)}::VARCHAR as time`,
    `${layout.symbol === undefined ? 'null' : nameOf(layout.symbol)}::VARCHAR as symbol`,
    ...[...VALUE_COLUMNS, 'dividends' as const, 'splits' as const].map(number),
  ].join(', ');
}

async function firstUnreadable(
  connection: DuckDBConnection,
  files: readonly BarFile[],
  read: (paths: readonly string[]) => string,
): Promise<BarFile | undefined> {
  for (const file of files) {
    try {
      await connection.run(`create or replace table fileRow as ${read([file.path])}`);
    } catch {
      return file;
    }
  }
  return undefined;
}

/** `instant`: what every distinct text of a time means. */
async function convertTimes(
  connection: DuckDBConnection,
  files: readonly BarFile[],
  layout: BarFileLayout,
): Promise<void> {
  const texts = (await selectRows(connection, 'select distinct time from fileRow')).map(
    (row) => row.time as string | null,
  );
  const times = texts.map((text) => (text === null ? Number.NaN : parseBarTime(text)));
  const bad = times.findIndex((time) => Number.isNaN(time));
  if (bad >= 0) {
    const text = texts[bad] ?? null;
    const what = text === null ? 'has no time' : `has the time ${JSON.stringify(text)}, which is no time of a minute`;
    throw await rowError(
      connection,
      files,
      layout,
      `time is not distinct from ${text === null ? 'null' : quoted(text)}`,
      what,
    );
  }
  await connection.run('create table instant (time VARCHAR, timeMs BIGINT)');
  await appendColumns(connection, 'instant', [texts, times]);
}

/** `origin`: the canonical symbol of every file, or of every name that a file's symbol column holds. */
async function convertSymbols(
  connection: DuckDBConnection,
  files: readonly BarFile[],
  layout: BarFileLayout,
): Promise<void> {
  await connection.run('create table origin (file INTEGER, name VARCHAR, symbol VARCHAR, position BIGINT)');
  if (layout.symbol === undefined) {
    await appendColumns(connection, 'origin', [
      files.map((_, file) => file),
      files.map(() => null),
      files.map((file) => file.symbol),
      files.map((file) => file.position),
    ]);
    return;
  }
  const pairs = await selectRows(connection, 'select distinct file, symbol from fileRow');
  const names = pairs.map((pair) => pair.symbol as string | null);
  const symbols: string[] = [];
  for (const name of names) {
    try {
      symbols.push(parseSymbol(name ?? ''));
    } catch (error) {
      const where = `symbol is not distinct from ${name === null ? 'null' : quoted(name)}`;
      const what = name === null ? 'has no symbol' : `has ${JSON.stringify(name)}, which is no symbol`;
      throw await rowError(connection, files, layout, where, what, error);
    }
  }
  await appendColumns(connection, 'origin', [
    pairs.map((pair) => Number(pair.file)),
    names,
    symbols,
    pairs.map((pair) => files[Number(pair.file)]!.position),
  ]);
}

/** The error of the first row that a condition finds. Its line is right as long as no cell holds a line break. */
async function rowError(
  connection: DuckDBConnection,
  files: readonly BarFile[],
  layout: BarFileLayout,
  condition: string,
  what: string,
  cause?: unknown,
): Promise<BarcastError> {
  const [row] = await selectRows(
    connection,
    `select file, rowid - (select min(rowid) from fileRow f where f.file = fileRow.file) as place
     from fileRow where ${condition} order by rowid limit 1`,
  );
  const line =
    layout.headerLines === undefined
      ? `row ${Number(row!.place) + 1}`
      : `line ${Number(row!.place) + layout.headerLines + 1}`;
  return formatError(files[Number(row!.file)], `${line} ${what}`, cause);
}

/** DuckDB's many lines about a file as one. */
function explainRead(message: string): string {
  const line = /CSV Error on Line: (\d+)/.exec(message)?.[1];
  const text = /Could not convert string "(.*?)" to/.exec(message)?.[1];
  const columns = /Expected Number of Columns: (\d+) Found: (\d+)/.exec(message);
  let what = message.split('\n')[0]!;
  if (text !== undefined) what = `${JSON.stringify(text)} is not a number`;
  else if (columns !== null) what = `${columns[2]} columns instead of ${columns[1]}`;
  else if (/unicode|utf-?8/i.test(message)) what = 'not UTF-8 text';
  return line === undefined ? what : `line ${line}: ${what}`;
}

function formatError(file: BarFile | undefined, what: string, cause?: unknown): BarcastError {
  return new BarcastError(
    'BARCAST_E_FILE_FORMAT',
    `${file === undefined ? 'an input file' : file.path}: ${what}`,
    `repair or leave out ${file === undefined ? 'the file' : basename(file.path)} and run the same command again; nothing was stored`,
    { cause },
  );
}
