/** Reading: a view of the store as of one commit, through a DuckDB of its own that never writes to the store. */
import { existsSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
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
import {
  corrupt,
  type Manifest,
  readManifest,
  relation,
  type Segment,
  segmentPath,
  segmentsOf,
  TABLE_NAMES,
} from './manifest.ts';
import { readBars } from './read-bars.ts';
import { digestOf } from './segments.ts';
import type { BarReader, LedgerEntry, MarketTrades, ReadQuery, StoreSummary } from './store.ts';
import { readTrades } from './trades.ts';

/** The owner may publish a few commits while one read is under way. */
const READ_ATTEMPTS = 4;

/** @throws BARCAST_E_STORE_EMPTY when the folder holds no store, or one without bars, BARCAST_E_USAGE for a file */
export const openReader = (directory: string): Promise<BarReader> => openStoreReader(directory);

/** The same with the class's own door for the doctor. */
export async function openStoreReader(directory: string): Promise<StoreReader> {
  const manifest = readManifest(directory);
  if (statSync(directory, { throwIfNoEntry: false })?.isFile()) {
    throw new BarcastError(
      'BARCAST_E_USAGE',
      `${directory} is a file, and a store is a folder`,
      `bring its bars into one with 'barcast ingest --source files ${directory}', or name another with --data`,
    );
  }
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
  const segments = segmentsOf(manifest, { symbols, from, to });
  if (segments.length === 0) return undefined;
  return `${relation(directory, 'bars', segments)} where ${conditions.join(' and ')}`;
}
