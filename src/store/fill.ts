/**
 * Rows of segments put where they belong: the pieces tell where every row goes, and the values come in the order of the
 * segments, which DuckDB keeps. Whoever is free takes the next part of it, this thread or another.
 */
import type { TakenChunk } from './vectors.ts';

/** Rows of one symbol in one segment: they stand together there, in order of time. */
export interface Piece {
  readonly symbol: string;
  readonly mark: number;
  readonly rows: number;
  /** Its first row in the columns; below 0 when its rows are passed over. */
  readonly start: number;
}

/** What a query gives: a mark of the symbol, then each of the columns; the rows of its pieces, one after another. */
export interface FillQuery {
  readonly sql: string;
  readonly pieces: readonly Piece[];
}

export interface FillJob {
  /** Queries whose rows one thread fills in. */
  readonly parts: readonly (readonly FillQuery[])[];
  readonly columns: readonly (Int32Array | Float64Array)[];
  /** Shared by all threads: {@link NEXT}, {@link WORKERS} and {@link STOP}. */
  readonly state: Int32Array;
}

/** Places of a job's state: the next part to be taken, workers that are at it, and whether all are to stop. */
export const NEXT = 0;
export const WORKERS = 1;
export const STOP = 2;

export type ChunksOf = (sql: string) => AsyncGenerator<TakenChunk>;

/** Takes parts until none is left, or another thread has failed. @returns how many it took */
export async function takeParts({ parts, columns, state }: FillJob, chunksOf: ChunksOf): Promise<number> {
  const stopped = () => Atomics.load(state, STOP) !== 0;
  try {
    for (let taken = 0; ; taken++) {
      const part = Atomics.add(state, NEXT, 1);
      if (part >= parts.length || stopped()) return taken;
      await fill(parts[part]!, columns, chunksOf, stopped);
    }
  } catch (error) {
    Atomics.store(state, STOP, 1);
    throw error;
  }
}

/** Fills in the rows of queries, or of some when it is stopped. */
export async function fill(
  queries: readonly FillQuery[],
  columns: FillJob['columns'],
  chunksOf: ChunksOf,
  stopped = () => false,
): Promise<void> {
  for (const { sql, pieces } of queries) await fillPieces(chunksOf(sql), pieces, columns, stopped);
}

async function fillPieces(
  chunks: AsyncGenerator<TakenChunk>,
  pieces: readonly Piece[],
  columns: FillJob['columns'],
  stopped: () => boolean,
): Promise<void> {
  let piece = 0;
  let done = 0; // rows of that piece
  for await (const chunk of chunks) {
    if (stopped()) return;
    const count = chunk.rows;
    for (let row = 0; row < count; ) {
      const { symbol, mark, rows, start } = pieces[piece]!;
      // What all of this rests on is looked at, once a chunk.
      if (row === 0 && chunk.first(0) !== mark)
        throw new Error(`the rows of ${symbol} are not where the segment should have them`);
      const taken = Math.min(rows - done, count - row);
      if (start >= 0) {
        const from = start + done;
        for (let index = 0; index < columns.length; index++)
          chunk.copy(index + 1, row, columns[index]!.subarray(from, from + taken));
      }
      row += taken;
      done += taken;
      if (done < rows) continue;
      piece++;
      done = 0;
    }
  }
  if (piece < pieces.length) throw new Error(`the rows end before those of ${pieces[piece]!.symbol}`);
}
