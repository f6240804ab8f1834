/**
 * The manifest: the one file that says what the store holds. Segments are immutable Parquet files that count only when
 * it names them, and it is replaced whole, so that a reader, or whoever comes after a kill or a full disk, sees the old
 * commit or the new one and never a part of either.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BarcastError, systemErrorCode, writeFileAtomic } from '../base/index.ts';
import { pathList } from './database.ts';

/** The tables of a store: their columns, and the order in which a segment holds its rows. */
export const TABLES = {
  /** (symbol, minute) is unique over all segments. */
  bars: {
    columns: 'symbol VARCHAR, minute INTEGER, open DOUBLE, high DOUBLE, low DOUBLE, close DOUBLE, volume DOUBLE',
    order: 'symbol, minute',
  },
  /** Rows refused or replaced, as a set. */
  ledger: {
    columns:
      'kind VARCHAR, symbol VARCHAR, timeMs BIGINT, open DOUBLE, high DOUBLE, low DOUBLE, close DOUBLE, volume DOUBLE, occurrence INTEGER',
    order: 'symbol, timeMs, kind, occurrence',
  },
  /** Dividends and splits, as a set. */
  events: {
    columns: 'symbol VARCHAR, timeMs BIGINT, kind VARCHAR, value DOUBLE',
    order: 'symbol, timeMs, kind, value',
  },
  /** Days a source has answered in full, as a set. */
  answered: { columns: 'source VARCHAR, symbol VARCHAR, day VARCHAR', order: 'source, symbol, day' },
  /** What is known of the trades in a bar, of bars that were built of trades. (symbol, minute) is unique over all segments. */
  trades: { columns: 'symbol VARCHAR, minute INTEGER, tradeCount DOUBLE, vwap DOUBLE', order: 'symbol, minute' },
} as const;
export type TableName = keyof typeof TABLES;
export const TABLE_NAMES = Object.keys(TABLES) as TableName[];

export interface Segment {
  /** File name inside `segments/`. */
  readonly file: string;
  readonly rows: number;
  readonly bytes: number;
  readonly sha256: string;
  /** First and last symbol and minute, to pass over segments; only for bars and trades. */
  readonly symbols?: readonly [first: string, last: string];
  readonly minutes?: readonly [first: number, last: number];
}

export type Manifest = { readonly format: 1; readonly generation: number } & Readonly<
  Record<TableName, readonly Segment[]>
>;

export const EMPTY_MANIFEST: Manifest = {
  format: 1,
  generation: 0,
  bars: [],
  ledger: [],
  events: [],
  answered: [],
  trades: [],
};

export const segmentPath = (directory: string, segment: Segment): string => join(directory, 'segments', segment.file);

const manifestPath = (directory: string) => join(directory, 'manifest.json');

export const writeManifest = (directory: string, manifest: Manifest): void =>
  writeFileAtomic(manifestPath(directory), `${JSON.stringify(manifest, undefined, 1)}\n`);

/** Undefined when the folder holds no store. @throws BARCAST_E_STORE_CORRUPT */
export function readManifest(directory: string): Manifest | undefined {
  let text: string;
  try {
    text = readFileSync(manifestPath(directory), 'utf8');
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
  let manifest: Partial<Manifest> | undefined;
  let cause: unknown;
  try {
    // A store of a version that kept nothing of trades has no such table.
    const { trades = [], ...rest } = JSON.parse(text) as Partial<Manifest>;
    manifest = { ...rest, trades };
  } catch (error) {
    cause = error;
  }
  if (manifest?.format !== 1 || TABLE_NAMES.some((table) => !Array.isArray(manifest[table]))) {
    throw corrupt(`${manifestPath(directory)} is not a manifest of this version`, cause);
  }
  return manifest as Manifest;
}

export const corrupt = (what: string, cause?: unknown): BarcastError =>
  new BarcastError('BARCAST_E_STORE_CORRUPT', what, 'restore the folder from a copy, or ingest into a new one', {
    cause,
  });

/** Segments of bars that may hold a symbol of some, or any, in a span of minutes. */
export const segmentsOf = (
  { bars }: Manifest,
  { symbols, from, to }: { readonly symbols?: readonly string[]; readonly from?: number; readonly to?: number },
): readonly Segment[] =>
  bars.filter(
    ({ symbols: own, minutes }) =>
      (from === undefined || minutes![1] >= from) &&
      (to === undefined || minutes![0] < to) &&
      (symbols === undefined || symbols.some((s) => s >= own![0] && s <= own![1])),
  );

/** A table's rows as SQL to select from, over the segments given. */
export function relation(directory: string, table: TableName, segments: readonly Segment[]): string {
  if (segments.length > 0) return `read_parquet(${pathList(segments.map((s) => segmentPath(directory, s)))})`;
  const nulls = TABLES[table].columns.split(', ').map((column) => {
    const [name, type] = column.split(' ');
    return `null::${type} as ${name}`;
  });
  return `(select ${nulls.join(', ')} where false)`;
}
