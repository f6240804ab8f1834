/** The columns of Parquet files that did not come from the store. */
import { tmpdir } from 'node:os';
import { BarcastError } from '../base/index.ts';
import { openDatabase, pathList, selectRows } from './database.ts';

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
