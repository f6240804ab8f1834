/** DuckDB as a calculator: an in-memory instance with bounded memory, and the few helpers to talk SQL to it. */
import { cpus } from 'node:os';
import { type DuckDBConnection, DuckDBDataChunk, DuckDBInstance, DuckDBTypeId, type JS } from '@duckdb/node-api';
import { BarcastError, systemErrorCode, toBarcastError } from '../base/index.ts';
import { MEMORY_LIMIT } from './memory.ts';

/** @param temporaryDirectory made when something is spilled there */
export function openDatabase(temporaryDirectory: string): Promise<DuckDBInstance> {
  return DuckDBInstance.create(':memory:', {
    threads: String(Math.min(2, cpus().length)),
    memory_limit: MEMORY_LIMIT,
    temp_directory: temporaryDirectory,
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  });
}

/** A text literal. */
export const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** A column name. */
export const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** A list of paths for `read_csv` and `read_parquet`, with the characters of their patterns taken literally. */
export const pathList = (paths: readonly string[]): string =>
  `[${paths.map((path) => quoted(path.replace(/[[*?]/g, '[$&]'))).join(', ')}]`;

export async function selectRows(connection: DuckDBConnection, sql: string): Promise<Record<string, JS>[]> {
  return (await connection.runAndReadAll(sql)).getRowObjectsJS();
}

/** The one row of numbers that an aggregate answers; null becomes NaN. */
export async function selectNumbers(connection: DuckDBConnection, sql: string): Promise<Record<string, number>> {
  const [row] = await selectRows(connection, sql);
  return Object.fromEntries(
    Object.entries(row!).map(([name, value]) => [name, value === null ? Number.NaN : Number(value)]),
  );
}

type Cell = string | number | null;
const ROWS_PER_CHUNK = 2048;

/** Appends columns of equal length to a table, in order. NaN becomes null; a BIGINT column takes whole numbers. */
export async function appendColumns(
  connection: DuckDBConnection,
  table: string,
  columns: readonly ArrayLike<Cell>[],
): Promise<void> {
  const appender = await connection.createAppender(table);
  const types = columns.map((_, column) => appender.columnType(column));
  const rows = columns[0]?.length ?? 0;
  for (let start = 0; start < rows; start += ROWS_PER_CHUNK) {
    const count = Math.min(ROWS_PER_CHUNK, rows - start);
    const chunk = DuckDBDataChunk.create(types, count);
    for (const [column, values] of columns.entries()) {
      const whole = types[column]!.typeId === DuckDBTypeId.BIGINT;
      const cells = Array.from({ length: count }, (_, row) => {
        const value = values[start + row]!;
        if (typeof value !== 'number') return value;
        if (Number.isNaN(value)) return null;
        return whole ? BigInt(value) : value;
      });
      chunk.setColumnValues(column, cells);
    }
    appender.appendDataChunk(chunk);
  }
  appender.closeSync();
}

/** A failure of the database or the file system as the user's error. */
export function storeError(error: unknown): BarcastError {
  if (error instanceof BarcastError) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (systemErrorCode(error) === 'EFBIG' || /File too large/i.test(message)) {
    return new BarcastError(
      'BARCAST_E_DISK_FULL',
      `a file may not grow further (${message})`,
      'raise the limit on file sizes or free some space, and run the same command again',
      { cause: error },
    );
  }
  return toBarcastError(error);
}
