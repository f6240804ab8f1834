/** Answers of DuckDB as typed arrays: its vectors as they are, chunk after chunk. */
import type { DuckDBConnection, DuckDBDataChunk } from '@duckdb/node-api';

/** Rows of a query's answer, to be taken over while they are there. */
export interface TakenChunk {
  readonly rows: number;
  /** A column's first number. */
  first(column: number): number;
  /** Copies a column's numbers from a row on, null as NaN. */
  copy(column: number, row: number, into: Int32Array | Float64Array): void;
}

/** A query's chunks, as they come: the next one is on its way while one is used. */
export async function* chunksOf(connection: DuckDBConnection, sql: string): AsyncGenerator<DuckDBDataChunk> {
  const result = await connection.stream(sql);
  let next = result.fetchChunk();
  try {
    for (let chunk = await next; chunk !== null && chunk.rowCount > 0; chunk = await next) {
      next = result.fetchChunk();
      yield chunk;
    }
  } finally {
    // Whoever stops early may close the connection.
    await next.catch(() => {});
  }
}

/** {@link chunksOf} to be taken over: the way of DuckDB's own package, where its library cannot be called past it. */
export async function* takenChunks(connection: DuckDBConnection, sql: string): AsyncGenerator<TakenChunk> {
  for await (const chunk of chunksOf(connection, sql)) {
    yield {
      rows: chunk.rowCount,
      first: (column) => numbersOf(chunk, column)[0]!,
      copy: (column, row, into) => into.set(numbersOf(chunk, column).subarray(row, row + into.length)),
    };
  }
}

/** A column of a chunk as DuckDB holds it, null as NaN: no object is made for a value. */
export function numbersOf(chunk: DuckDBDataChunk, index: number): Int32Array | Float64Array {
  const { items, validity } = chunk.getColumnVector(index) as unknown as {
    items: Int32Array | Float64Array;
    validity: { data: BigUint64Array | null; itemValid(row: number): boolean };
  };
  if (validity.data === null || allValid(validity.data)) return items;
  for (let row = 0; row < items.length; row++) if (!validity.itemValid(row)) items[row] = Number.NaN;
  return items;
}

/** In words of 32 bits: those of 64 would each be made an object. */
function allValid({ buffer, byteOffset, length }: BigUint64Array): boolean {
  const words = new Int32Array(buffer, byteOffset, 2 * length);
  for (let i = 0; i < words.length; i++) if (words[i] !== -1) return false;
  return true;
}

/** Streams a query's columns into arrays of its length, null as NaN. */
export async function fillColumns(
  connection: DuckDBConnection,
  sql: string,
  columns: readonly (Int32Array | Float64Array)[],
): Promise<void> {
  let start = 0;
  for await (const chunk of chunksOf(connection, sql)) {
    for (const [index, column] of columns.entries()) column.set(numbersOf(chunk, index), start);
    start += chunk.rowCount;
  }
}
