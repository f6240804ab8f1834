/** Reading: a view of the store as of one commit, through a DuckDB of its own that never writes to the store. */
import { existsSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DuckDBConnection, DuckDBDataChunk, DuckDBInstance } from '@duckdb/node-api';
import type { FlawKind, MarketBars } from '../bars/index.ts';
import {
  type Allocate,
  BarcastError,
  type DayString,
  type EpochMinute,
  type EpochMs,
  freshShared,
} from '../base/index.ts';
import { openDatabase, quoted, selectNumbers, selectRows, storeError } from './database.ts';
import { corrupt, type Manifest, readManifest, relation, type Segment, segmentPath, TABLE_NAMES } from './manifest.ts';
import { digestOf } from './segments.ts';
import type { BarReader, LedgerEntry, MarketTrades, ReadQuery, StoreSummary } from './store.ts';
import { readTrades } from './trades.ts';

/** The owner may publish a few commits while one read is under way. */
const READ_ATTEMPTS = 4;

/** @throws BARCAST_E_STORE_EMPTY when the folder holds no store, or one without bars */
export const openReader = (directory: string): Promise<BarReader> => openStoreReader(directory);

/** The same with the class's own door for the doctor. */
export async function openStoreReader(directory: string): Promise<StoreReader> {
  const manifest = readManifest(directory);
  if (manifest === undefined || manifest.bars.length === 0) {
    throw new BarcastError(
      'BARCAST_E_STORE_EMPTY',
      `there are no bars in ${directory}`,
      'bring some in with barcast ingest',
    );
  }
  const instance = await openDatabase(join(tmpdir(), `barcast-reader-${process.pid}`));
  return new StoreReader(directory, instance, manifest);
}

export class StoreReader implements BarReader {
  readonly directory: string;
  protected readonly instance: DuckDBInstance;
  protected manifest: Manifest;

  constructor(directory: string, instance: DuckDBInstance, manifest: Manifest) {
    this.directory = directory;
    this.instance = instance;
    this.manifest = manifest;
  }

  read(query: ReadQuery = {}, allocate: Allocate = freshShared): Promise<MarketBars> {
    return this.attempt((connection) => readBars(connection, this.directory, this.manifest, query, allocate));
  }

  trades(query: ReadQuery = {}): Promise<MarketTrades> {
    return this.attempt((connection) => readTrades(connection, this.directory, this.manifest, query));
  }

  symbols(): Promise<string[]> {
    return this.attempt(async (connection) => {
      const bars = relation(this.directory, 'bars', this.manifest.bars);
      const rows = await selectRows(connection, `select distinct symbol from ${bars} order by symbol`);
      return rows.map((row) => row.symbol as string);
    });
  }

  rowsByDay(query: ReadQuery = {}): Promise<{ utcDay: number; rows: number }[]> {
    return this.attempt(async (connection) => {
      const bars = selectionOf(this.directory, this.manifest, query);
      if (bars === undefined) return [];
      const rows = await selectRows(
        connection,
        `select minute // 1440 as utcDay, count(*)::INTEGER as rows from ${bars} group by utcDay order by utcDay`,
      );
      return rows as unknown as { utcDay: number; rows: number }[];
    });
  }

  fingerprint(): string {
    return this.manifest.bars
      .map(({ sha256 }) => sha256)
      .sort()
      .join(' ');
  }

  summary(): Promise<StoreSummary> {
    return this.attempt(async (connection) => {
      const { bars, ledger, events, generation } = this.manifest;
      const { symbols } = await selectNumbers(
        connection,
        `select count(distinct symbol) as symbols from ${relation(this.directory, 'bars', bars)}`,
      );
      const all = TABLE_NAMES.flatMap((table) => this.manifest[table]);
      const rows = (segments: readonly Segment[]) => segments.reduce((sum, segment) => sum + segment.rows, 0);
      const minutes = bars.map((segment) => segment.minutes!);
      return {
        symbols: symbols!,
        bars: rows(bars),
        firstMinute: bars.length === 0 ? undefined : (Math.min(...minutes.map(([first]) => first)) as EpochMinute),
        lastMinute: bars.length === 0 ? undefined : (Math.max(...minutes.map(([, last]) => last)) as EpochMinute),
        ledgerEntries: rows(ledger),
        events: rows(events),
        segments: all.length,
        bytes: all.reduce((sum, segment) => sum + segment.bytes, 0),
        generation,
      };
    });
  }

  ledger(): Promise<LedgerEntry[]> {
    return this.attempt(async (connection) => {
      const rows = await selectRows(
        connection,
        `select kind, symbol, timeMs::DOUBLE as timeMs, open, high, low, close, volume, occurrence
         from ${relation(this.directory, 'ledger', this.manifest.ledger)}
         order by symbol, timeMs, kind, occurrence, open, high, low, close, volume`,
      );
      const number = (value: unknown) => (value === null ? Number.NaN : Number(value));
      return rows.map((row) => ({
        kind: row.kind as FlawKind,
        symbol: row.symbol as string,
        timeMs: Number(row.timeMs) as EpochMs,
        open: number(row.open),
        high: number(row.high),
        low: number(row.low),
        close: number(row.close),
        volume: number(row.volume),
        occurrence: Number(row.occurrence),
      }));
    });
  }

  answeredDays(source: string): Promise<Map<string, Set<DayString>>> {
    return this.attempt(async (connection) => {
      const answered = relation(this.directory, 'answered', this.manifest.answered);
      const rows = await selectRows(connection, `select symbol, day from ${answered} where source = ${quoted(source)}`);
      const days = new Map<string, Set<DayString>>();
      for (const row of rows) {
        const symbol = row.symbol as string;
        if (!days.has(symbol)) days.set(symbol, new Set());
        days.get(symbol)!.add(row.day as DayString);
      }
      return days;
    });
  }

  async refresh(): Promise<void> {
    this.manifest = readManifest(this.directory) ?? missingManifest(this.directory);
  }

  close(): void {
    this.instance.closeSync();
  }

  /** The manifest's state and a connection, for what reads beside this class (the doctor). */
  withConnection<T>(work: (connection: DuckDBConnection, manifest: Manifest) => Promise<T>): Promise<T> {
    return this.attempt((connection) => work(connection, this.manifest));
  }

  /** Runs a read on a connection of its own, and again on the newest commit when files of this one are gone. */
  protected async attempt<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const { generation } = this.manifest;
      const connection = await this.instance.connect();
      try {
        return await work(connection);
      } catch (error) {
        const damage = findDamage(this.directory, this.manifest);
        if (damage === undefined) throw storeError(error);
        if (this.manifest.generation === generation) await this.refresh();
        if (this.manifest.generation === generation || attempt === READ_ATTEMPTS) throw corrupt(damage, error);
      } finally {
        connection.closeSync();
      }
    }
  }
}

function missingManifest(directory: string): never {
  throw corrupt(`${directory} has lost its manifest`);
}

/** What is wrong with the files that a manifest names, if anything: one is missing, or not what was written. */
export function findDamage(directory: string, manifest: Manifest): string | undefined {
  for (const segment of TABLE_NAMES.flatMap((table) => manifest[table])) {
    const path = segmentPath(directory, segment);
    if (!existsSync(path)) return `${path} is missing`;
    const { size } = statSync(path);
    if (size !== segment.bytes) return `${path} has ${size} bytes instead of ${segment.bytes}`;
    if (digestOf(path) !== segment.sha256) return `${path} is not what was written`;
  }
  return undefined;
}

/** The rows that a query is about, as SQL to select from; undefined where there can be none. */
function selectionOf(directory: string, manifest: Manifest, { symbols, from, to }: ReadQuery): string | undefined {
  const conditions = ['true'];
  if (symbols !== undefined)
    conditions.push(symbols.length === 0 ? 'false' : `symbol in (${symbols.map(quoted).join(', ')})`);
  if (from !== undefined) conditions.push(`minute >= ${from}`);
  if (to !== undefined) conditions.push(`minute < ${to}`);
  const segments = manifest.bars.filter(
    (segment) =>
      (from === undefined || segment.minutes![1] >= from) &&
      (to === undefined || segment.minutes![0] < to) &&
      (symbols === undefined || symbols.some((s) => s >= segment.symbols![0] && s <= segment.symbols![1])),
  );
  if (segments.length === 0) return undefined;
  return `${relation(directory, 'bars', segments)} where ${conditions.join(' and ')}`;
}

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
async function readBars(
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
  const segments = manifest.bars.filter(
    (segment) =>
      (from === undefined || segment.minutes![1] >= from) &&
      (to === undefined || segment.minutes![0] < to) &&
      (wanted === undefined || wanted.some((s) => s >= segment.symbols![0] && s <= segment.symbols![1])),
  );
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
  const numbers = () => new Float64Array(allocate(8 * rows), 0, rows);
  return {
    minute: new Int32Array(allocate(4 * rows), 0, rows),
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
  for await (const chunk of chunksOf(connection, sql)) {
    const vectors = columns.map((_, index) => numbersOf(chunk, index + 1));
    const count = chunk.rowCount;
    for (let row = 0; row < count; ) {
      const { symbol, mark, rows, unwanted } = pieces[piece]!;
      // What all of this rests on is looked at, once a chunk.
      if (row === 0 && chunk.getColumnVector(0).getItem(0) !== mark)
        throw new Error(`the rows of ${symbol} are not where the segment should have them`);
      const taken = Math.min(rows - done, count - row);
      if (!unwanted) {
        for (const [index, column] of columns.entries())
          column.set(vectors[index]!.subarray(row, row + taken), starts[piece]! + done);
      }
      row += taken;
      done += taken;
      if (done < rows) continue;
      piece++;
      done = 0;
    }
  }
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

async function* chunksOf(connection: DuckDBConnection, sql: string): AsyncGenerator<DuckDBDataChunk> {
  const result = await connection.stream(sql);
  for (let chunk = await result.fetchChunk(); chunk !== null && chunk.rowCount > 0; chunk = await result.fetchChunk())
    yield chunk;
}

/** A column of a chunk as DuckDB holds it, null as NaN: no object is made for a value. */
function numbersOf(chunk: DuckDBDataChunk, index: number): Int32Array | Float64Array {
  const { items, validity } = chunk.getColumnVector(index) as unknown as {
    items: Int32Array | Float64Array;
    validity: { data: BigUint64Array | null; itemValid(row: number): boolean };
  };
  if (validity.data === null || validity.data.every((word) => word === ALL_VALID)) return items;
  for (let row = 0; row < items.length; row++) if (!validity.itemValid(row)) items[row] = Number.NaN;
  return items;
}

const ALL_VALID = 2n ** 64n - 1n;

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
