/** Parquet files that did not come from the store: their columns, and their rows as they stand. */
import { tmpdir } from 'node:os';
import { BarcastError } from '../base/index.ts';
import { identifier, openDatabase, pathList, selectRows } from './database.ts';

/** Column names by path. @throws BARCAST_E_FILE_FORMAT naming a file that is no Parquet */
export async function parquetColumns(paths: readonly string[]): Promise<Map<string, string[]>> {
  const columns = new Map<string, string[]>();
  if (paths.length === 0) return columns;
  const instance = await openDatabase(tmpdir());
  const connection = await instance.connect();
  try {
    for (const path of paths) {
      const described = await selectRows(connection, `describe select * from read_parquet(${pathList([path])})`).catch(
        (cause: unknown) => {
          throw new BarcastError(
            'BARCAST_E_FILE_FORMAT',
            `${path} is not a Parquet file, or a truncated one`,
            'repair or leave it out and run the same command again; nothing was stored',
            { cause },
          );
        },
      );
      columns.set(
        path,
        described.map((column) => column.column_name as string),
      );
    }
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
  return columns;
}

/** Rows that came together. */
export interface ParquetRows {
  readonly count: number;
  /** `values[column][row]`: text, a number, or null. */
  readonly values: readonly (readonly (string | number | null)[])[];
}

/**
 * The rows of a Parquet file in their order, in memory that does not grow with the file.
 * @param columns in the order wanted. A number comes as one; an instant in UTC as milliseconds since 1970; a list as its
 *   elements with a blank between; anything else as text
 * @throws BARCAST_E_FILE_FORMAT naming the file
 */
export async function* parquetRows(path: string, columns: readonly string[]): AsyncGenerator<ParquetRows> {
  const instance = await openDatabase(tmpdir());
  const connection = await instance.connect();
  try {
    await connection.run("set TimeZone = 'UTC'");
    const file = `read_parquet(${pathList([path])})`;
    const described = await selectRows(
      connection,
      `describe select ${columns.map(identifier).join(', ')} from ${file}`,
    );
    const expressions = described.map((column, index) =>
      expressionOf(identifier(columns[index]!), String(column.column_type)),
    );
    const result = await connection.stream(`select ${expressions.join(', ')} from ${file}`);
    for (
      let chunk = await result.fetchChunk();
      chunk !== null && chunk.rowCount > 0;
      chunk = await result.fetchChunk()
    ) {
      const values = columns.map((_, column) => chunk!.getColumnValues(column) as (string | number | null)[]);
      yield { count: chunk.rowCount, values };
    }
  } catch (cause) {
    throw new BarcastError(
      'BARCAST_E_FILE_FORMAT',
      `${path} cannot be read as Parquet (${(cause as Error).message.split('\n')[0]})`,
      'repair or leave it out and run the same command again',
      { cause },
    );
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

function expressionOf(column: string, type: string): string {
  if (/^TIMESTAMP WITH TIME ZONE$/.test(type)) return `epoch_us(${column})::DOUBLE / 1000`;
  if (/\[\]$/.test(type)) return `array_to_string(${column}, ' ')`;
  return /^(?:U?(?:TINY|SMALL|BIG|HUGE)?INT(?:EGER)?|FLOAT|DOUBLE|DECIMAL.*)$/.test(type)
    ? `${column}::DOUBLE`
    : `${column}::VARCHAR`;
}
