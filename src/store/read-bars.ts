/** The bars of a query as columns: rows of all segments, each put where it belongs, nothing sorted unless it must be. */
import type { DuckDBConnection } from '@duckdb/node-api';
import type { MarketBars } from '../bars/index.ts';
import type { Allocate } from '../base/index.ts';
import { quoted, selectRows } from './database.ts';
import { directChunksOf } from './direct-vectors.ts';
import { type Manifest, relation, segmentsOf } from './manifest.ts';
import type { ReadQuery } from './store.ts';
import { takenChunks } from './vectors.ts';

/** Tells symbols apart, at less cost than their names. */
const MARK = '(hash(symbol) & 1073741823)::INTEGER as mark';

/** Rows of one symbol in one segment: they stand together there, in order of time. */
interface Piece {
  readonly symbol: string;
  readonly mark: number;
  readonly rows: number;
  readonly first: number;
  readonly last: number;
  /** Its rows are passed over. */
  readonly unwanted?: boolean;
}

/**
 * Two passes: the pieces tell where every row goes; then the values come in the order of the segments, which DuckDB
 * keeps, and nothing is sorted.
 */
export async function readBars(
  connection: DuckDBConnection,
  directory: string,
  manifest: Manifest,
  query: ReadQuery,
  allocate: Allocate,
): Promise<MarketBars> {
  const wanted = query.symbols === undefined ? undefined : [...new Set(query.symbols)].sort();
  const span = spanOf(directory, manifest, query, wanted);
  if (span === undefined) return { symbols: [], offsets: Int32Array.of(0), ...columnsIn(allocate, 0) };
  const found = (await selectRows(
    connection,
    `select symbol, ${MARK}, count(*)::INTEGER as rows, min(minute) as first, max(minute) as last
     from ${span} group by file_index, symbol order by file_index, symbol`,
  )) as unknown as Piece[];
  const { condition, pieces } = wanted === undefined ? { condition: 'true', pieces: found } : choose(found, wanted);
  const plan = layOut(pieces);
  const columns = columnsIn(allocate, plan.offsets.at(-1)!);
  const rows = `select ${MARK}, minute, open, high, low, close, volume from ${span} and (${condition})`;
  await fillPieces(connection, rows, pieces, plan.starts, [
    columns.minute,
    columns.open,
    columns.high,
    columns.low,
    columns.close,
    columns.volume,
  ]);
  for (const s of plan.mixed) sortByMinute(columns, plan.offsets[s]!, plan.offsets[s + 1]!);
  return { symbols: plan.symbols, offsets: plan.offsets, ...columns };
}

/**
 * The rows of a query's minutes, and of all symbols from the first wanted one to the last, as SQL to select from. A list
 * of symbols would be turned into a join, and a join does not keep the order of its rows.
 */
function spanOf(
  directory: string,
  manifest: Manifest,
  { from, to }: ReadQuery,
  wanted: readonly string[] | undefined,
): string | undefined {
  if (wanted?.length === 0) return undefined;
  const conditions = ['true'];
  if (wanted !== undefined) conditions.push(`symbol between ${quoted(wanted[0]!)} and ${quoted(wanted.at(-1)!)}`);
  if (from !== undefined) conditions.push(`minute >= ${from}`);
  if (to !== undefined) conditions.push(`minute < ${to}`);
  const segments = segmentsOf(manifest, { symbols: wanted, from, to });
  if (segments.length === 0) return undefined;
  return `${relation(directory, 'bars', segments)} where ${conditions.join(' and ')}`;
}

/** Wanted symbols that lie in more runs than this are picked out of all rows between the first and the last. */
const MOST_RUNS = 4;

/** Which of the rows to ask for, and their pieces, those that nobody wants among them. */
function choose(found: readonly Piece[], wanted: readonly string[]): { condition: string; pieces: readonly Piece[] } {
  const isWanted = new Set(wanted);
  const runs: [first: string, last: string][] = [];
  let inRun = false;
  for (const symbol of [...new Set(found.map((piece) => piece.symbol))].sort()) {
    if (!isWanted.has(symbol)) inRun = false;
    else if (inRun) runs.at(-1)![1] = symbol;
    else {
      runs.push([symbol, symbol]);
      inRun = true;
    }
  }
  if (runs.length > MOST_RUNS)
    return { condition: 'true', pieces: found.map((piece) => ({ ...piece, unwanted: !isWanted.has(piece.symbol) })) };
  const ranges = runs.map(([first, last]) => `symbol between ${quoted(first)} and ${quoted(last)}`);
  return { condition: ['false', ...ranges].join(' or '), pieces: found.filter((piece) => isWanted.has(piece.symbol)) };
}

interface Layout {
  readonly symbols: readonly string[];
  readonly offsets: Int32Array;
  /** By piece: its first row. */
  readonly starts: Int32Array;
  /** Symbols whose pieces overlap in time, which must be sorted once they are filled. */
  readonly mixed: readonly number[];
}

function layOut(pieces: readonly Piece[]): Layout {
  const bySymbol = Map.groupBy(
    [...pieces.keys()].filter((index) => !pieces[index]!.unwanted),
    (index) => pieces[index]!.symbol,
  );
  const symbols = [...bySymbol.keys()].sort();
  const offsets = new Int32Array(symbols.length + 1);
  const starts = new Int32Array(pieces.length);
  const mixed: number[] = [];
  for (const [s, symbol] of symbols.entries()) {
    const own = bySymbol.get(symbol)!.sort((a, b) => pieces[a]!.first - pieces[b]!.first);
    let row = offsets[s]!;
    for (const [i, index] of own.entries()) {
      starts[index] = row;
      row += pieces[index]!.rows;
      if (i > 0 && pieces[index]!.first <= pieces[own[i - 1]!]!.last && mixed.at(-1) !== s) mixed.push(s);
    }
    offsets[s + 1] = row;
  }
  return { symbols, offsets, starts, mixed };
}

type Columns = Pick<MarketBars, 'minute' | 'open' | 'high' | 'low' | 'close' | 'volume'>;

/** Over shared memory, worker threads make windows of them without a copy. */
function columnsIn(allocate: Allocate, rows: number): Columns {
  const numbers = () => new Float64Array(allocate(8 * rows, true), 0, rows);
  return {
    minute: new Int32Array(allocate(4 * rows, true), 0, rows),
    open: numbers(),
    high: numbers(),
    low: numbers(),
    close: numbers(),
    volume: numbers(),
  };
}

/** Puts a stream of rows, piece after piece, where each piece belongs. */
async function fillPieces(
  connection: DuckDBConnection,
  sql: string,
  pieces: readonly Piece[],
  starts: Int32Array,
  columns: readonly (Int32Array | Float64Array)[],
): Promise<void> {
  let piece = 0;
  let done = 0; // rows of that piece
  for await (const chunk of directChunksOf(sql) ?? takenChunks(connection, sql)) {
    const count = chunk.rows;
    for (let row = 0; row < count; ) {
      const { symbol, mark, rows, unwanted } = pieces[piece]!;
      // What all of this rests on is looked at, once a chunk.
      if (row === 0 && chunk.first(0) !== mark)
        throw new Error(`the rows of ${symbol} are not where the segment should have them`);
      const taken = Math.min(rows - done, count - row);
      if (!unwanted) {
        const start = starts[piece]! + done;
        for (let index = 0; index < columns.length; index++)
          chunk.copy(index + 1, row, columns[index]!.subarray(start, start + taken));
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

function sortByMinute(columns: Columns, start: number, end: number): void {
  const { minute } = columns;
  const order = Int32Array.from({ length: end - start }, (_, i) => start + i).sort((a, b) => minute[a]! - minute[b]!);
  for (const column of Object.values(columns) as (Int32Array | Float64Array)[]) {
    const sorted = column.slice(start, end);
    for (let i = 0; i < order.length; i++) sorted[i] = column[order[i]!]!;
    column.set(sorted, start);
  }
}
