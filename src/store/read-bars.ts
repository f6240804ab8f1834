/** The bars of a query as columns: rows of all segments, each put where it belongs, nothing sorted unless it must be. */
import type { DuckDBConnection } from '@duckdb/node-api';
import type { MarketBars } from '../bars/index.ts';
import type { Allocate } from '../base/index.ts';
import { quoted, selectRows } from './database.ts';
import { canReadDirectly, directChunksOf } from './direct-vectors.ts';
import { fill } from './fill.ts';
import { fillingThreads, fillOnThreads } from './fill-threads.ts';
import { type Manifest, relation, segmentsOf } from './manifest.ts';
import { cutParts, type Placed, type Span } from './parts.ts';
import type { ReadQuery } from './store.ts';
import { takenChunks } from './vectors.ts';

/** Tells symbols apart, at less cost than their names. */
const MARK = '(hash(symbol) & 1073741823)::INTEGER as mark';

/** Fewer rows than this are there before another thread has begun. */
const LEAST_SHARED_ROWS = 1_000_000;

/** Rows of one symbol in one segment: they stand together there, in order of time. */
interface Found {
  /** Its place among the segments that are read. */
  readonly segment: number;
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
 * @param shares into how many parts the second pass is cut, for threads; by the rows when left out
 */
export async function readBars(
  connection: DuckDBConnection,
  directory: string,
  manifest: Manifest,
  query: ReadQuery,
  allocate: Allocate,
  shares?: number,
): Promise<MarketBars> {
  const wanted = query.symbols === undefined ? undefined : [...new Set(query.symbols)].sort();
  const span = spanOf(manifest, query, wanted);
  if (span === undefined) return { symbols: [], offsets: Int32Array.of(0), ...columnsIn(allocate, 0) };
  const rowsOf = ({ segments, condition }: Span) => `${relation(directory, 'bars', segments)} where ${condition}`;
  const found = (await selectRows(
    connection,
    `select file_index::INTEGER as segment, symbol, ${MARK}, count(*)::INTEGER as rows, min(minute) as first,
       max(minute) as last
     from ${rowsOf(span)} group by file_index, symbol order by file_index, symbol`,
  )) as unknown as Found[];
  const { condition, pieces } = wanted === undefined ? { condition: 'true', pieces: found } : choose(found, wanted);
  const plan = layOut(pieces);
  const rows = plan.offsets.at(-1)!;
  const columns = columnsIn(allocate, rows);
  const canShare = columns.minute.buffer instanceof SharedArrayBuffer && canReadDirectly();
  const count = canShare ? (shares ?? (rows < LEAST_SHARED_ROWS ? 1 : fillingThreads())) : 1;
  const asked = { segments: span.segments, condition: `${span.condition} and (${condition})` };
  const parts = cutParts(asked, plan.placed, count).map((stretches) =>
    stretches.map(({ span: own, pieces: ofIt }) => ({
      sql: `select ${MARK}, minute, open, high, low, close, volume from ${rowsOf(own)}`,
      pieces: ofIt,
    })),
  );
  const { minute, open, high, low, close, volume } = columns;
  const numbers = [minute, open, high, low, close, volume];
  const chunksOf = (sql: string) => directChunksOf(sql) ?? takenChunks(connection, sql);
  await (count > 1 ? fillOnThreads(parts, numbers, chunksOf) : fill(parts.flat(), numbers, chunksOf));
  for (const s of plan.mixed) sortByMinute(columns, plan.offsets[s]!, plan.offsets[s + 1]!);
  return { symbols: plan.symbols, offsets: plan.offsets, ...columns };
}

/**
 * The rows of a query's minutes, and of all symbols from the first wanted one to the last. A list of symbols would be
 * turned into a join, and a join does not keep the order of its rows.
 */
function spanOf(manifest: Manifest, { from, to }: ReadQuery, wanted: readonly string[] | undefined): Span | undefined {
  if (wanted?.length === 0) return undefined;
  const conditions = ['true'];
  if (wanted !== undefined) conditions.push(`symbol between ${quoted(wanted[0]!)} and ${quoted(wanted.at(-1)!)}`);
  if (from !== undefined) conditions.push(`minute >= ${from}`);
  if (to !== undefined) conditions.push(`minute < ${to}`);
  const segments = segmentsOf(manifest, { symbols: wanted, from, to });
  return segments.length === 0 ? undefined : { segments, condition: conditions.join(' and ') };
}

/** Wanted symbols that lie in more runs than this are picked out of all rows between the first and the last. */
const MOST_RUNS = 4;

/** Which of the rows to ask for, and their pieces, those that nobody wants among them. */
function choose(found: readonly Found[], wanted: readonly string[]): { condition: string; pieces: readonly Found[] } {
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
  /** The pieces, each with its place. */
  readonly placed: readonly Placed[];
  /** Symbols whose pieces overlap in time, which must be sorted once they are filled. */
  readonly mixed: readonly number[];
}

function layOut(pieces: readonly Found[]): Layout {
  const bySymbol = Map.groupBy(
    [...pieces.keys()].filter((index) => !pieces[index]!.unwanted),
    (index) => pieces[index]!.symbol,
  );
  const symbols = [...bySymbol.keys()].sort();
  const offsets = new Int32Array(symbols.length + 1);
  const starts = new Int32Array(pieces.length).fill(-1);
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
  const placed = pieces.map(({ segment, symbol, mark, rows }, index) => ({
    segment,
    symbol,
    mark,
    rows,
    start: starts[index]!,
  }));
  return { symbols, offsets, placed, mixed };
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

function sortByMinute(columns: Columns, start: number, end: number): void {
  const { minute } = columns;
  const order = Int32Array.from({ length: end - start }, (_, i) => start + i).sort((a, b) => minute[a]! - minute[b]!);
  for (const column of Object.values(columns) as (Int32Array | Float64Array)[]) {
    const sorted = column.slice(start, end);
    for (let i = 0; i < order.length; i++) sorted[i] = column[order[i]!]!;
    column.set(sorted, start);
  }
}
