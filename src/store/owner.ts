/** The owner: the one process that brings bars into a store, or one of several that share an ingest. */
import { mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { BarcastError, type DayString, type EpochMs, systemErrorCode } from '../base/index.ts';
import { appendColumns, openDatabase, storeError } from './database.ts';
import { Deliveries } from './deliveries.ts';
import { dropJudgement, judge } from './judge.ts';
import { takeOwnershipSoon, withOwnership } from './lock.ts';
import {
  EMPTY_MANIFEST,
  type Manifest,
  readManifest,
  relation,
  type Segment,
  segmentPath,
  TABLE_NAMES,
  writeManifest,
} from './manifest.ts';
import { StoreReader } from './reader.ts';
import { type Change, planCompaction, planMerge, removeOrphans, SPILL_FOLDER, writeChanges } from './segments.ts';
import { createStaging, dropStaging, stageFiles } from './staging.ts';
import type { BarFile, BarFileLayout, BarStore, IngestCounts, IngestTransaction, RawBars } from './store.ts';

/**
 * Opens a store as its owner, making the folder when there is none. What a killed owner left over is removed.
 *
 * A commit of others is waited for, up to two seconds. With `shared` several processes may bring bars in at once: each gathers rows by itself and waits for its turn to
 * commit them. They should bring different symbols, or the one that commits last corrects the others.
 * @throws BARCAST_E_STORE_LOCKED, BARCAST_E_STORE_CORRUPT, BARCAST_E_PERMISSION, BARCAST_E_DISK_FULL
 */
export async function openStore(
  directory: string,
  { shared = false }: { readonly shared?: boolean } = {},
): Promise<BarStore> {
  const path = resolve(directory);
  makeFolder(path);
  let instance: DuckDBInstance | undefined;
  let release = () => {};
  try {
    // The folder for what has no memory is removed with an owner's leftovers, so whoever shares has one elsewhere.
    instance = await openDatabase(shared ? join(tmpdir(), `barcast-ingest-${process.pid}`) : join(path, SPILL_FOLDER));
    const connection = await instance.connect();
    const open = async () => {
      const manifest = readManifest(path) ?? EMPTY_MANIFEST;
      removeOrphans(path, manifest);
      return manifest;
    };
    if (shared) {
      return new SharedStore(path, instance, await withOwnership(connection, path, open), connection, release);
    }
    release = await takeOwnershipSoon(connection, path);
    return new OwnedStore(path, instance, await open(), connection, release);
  } catch (error) {
    instance?.closeSync();
    release();
    throw storeError(error);
  }
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== 'EEXIST' && code !== 'ENOTDIR') throw storeError(error);
    throw new BarcastError('BARCAST_E_USAGE', `${path} is not a folder`, 'name a folder for the store with --data', {
      cause: error,
    });
  }
}

class OwnedStore extends StoreReader implements BarStore {
  protected readonly connection: DuckDBConnection;
  readonly #release: () => void;
  /** Segments that the commit before replaced; readers of that commit may still be at them. */
  #retired: Segment[] = [];
  #transaction: Transaction | undefined;

  constructor(
    directory: string,
    instance: DuckDBInstance,
    manifest: Manifest,
    connection: DuckDBConnection,
    release: () => void,
  ) {
    super(directory, instance, manifest);
    this.connection = connection;
    this.#release = release;
  }

  async begin(): Promise<IngestTransaction> {
    if (this.#transaction !== undefined) throw new Error('a transaction is under way already');
    const transaction = new Transaction(this.connection, {
      commit: (marks) => this.commit(marks),
      end: () => (this.#transaction = undefined),
    });
    this.#transaction = transaction;
    try {
      await createStaging(this.connection);
    } catch (error) {
      await transaction.abort();
      throw storeError(error);
    }
    return transaction;
  }

  async compact(): Promise<void> {
    try {
      await this.compactNow();
    } catch (error) {
      throw storeError(error);
    }
  }

  override async refresh(): Promise<void> {
    // The owner's manifest is the newest there is.
  }

  override close(): void {
    this.connection.closeSync();
    super.close();
    this.#release();
  }

  protected compactNow(): Promise<void> {
    return this.#publish(planCompaction(this.directory, this.manifest));
  }

  protected async commit(marks: readonly Mark[]): Promise<IngestCounts> {
    const connection = this.connection;
    const verdict = await judge(connection, this.directory, this.manifest);
    const { rowsStored, revisions } = verdict.counts;
    const changes: Change[] = [];
    if (rowsStored > 0) changes.push(await this.#change('bars', verdict.barsToWrite, verdict.revisedKeys, revisions));
    if (verdict.tradesStored > 0) {
      const { tradesToWrite, replacedTradesKeys, tradesReplaced } = verdict;
      changes.push(await this.#change('trades', tradesToWrite, replacedTradesKeys, tradesReplaced));
    }
    changes.push(
      { table: 'ledger', sql: verdict.ledgerToAdd, replaces: [] },
      { table: 'events', sql: verdict.eventsToAdd, replaces: [] },
    );
    if (marks.length > 0) {
      await connection.run('create or replace table mark (source VARCHAR, symbol VARCHAR, day VARCHAR)');
      await appendColumns(
        connection,
        'mark',
        [0, 1, 2].map((column) => marks.map((mark) => mark[column]!)),
      );
      const held = relation(this.directory, 'answered', this.manifest.answered);
      changes.push({ table: 'answered', sql: `select * from mark except select * from ${held}`, replaces: [] });
    }
    await this.#publish(changes);
    for (
      let merge = planMerge(this.directory, this.manifest);
      merge;
      merge = planMerge(this.directory, this.manifest)
    ) {
      await this.#publish([merge]);
    }
    return verdict.counts;
  }

  /** New rows are a segment of their own; a corrected one takes the segments that held it along. */
  async #change(table: 'bars' | 'trades', newRows: string, revisedKeys: string, revisions: number): Promise<Change> {
    if (revisions === 0) return { table, sql: newRows, replaces: [] };
    const replaces: Segment[] = [];
    for (const segment of this.manifest[table]) {
      const result = await this.connection.runAndReadAll(
        `select 1 from ${relation(this.directory, table, [segment])} semi join (${revisedKeys}) using (symbol, minute) limit 1`,
      );
      if (result.currentRowCount > 0) replaces.push(segment);
    }
    const untouched = `select * from ${relation(this.directory, table, replaces)} anti join (${revisedKeys}) using (symbol, minute)`;
    return { table, sql: `${newRows} union all ${untouched}`, replaces };
  }

  async #publish(changes: readonly Change[]): Promise<void> {
    const before = this.manifest;
    const next = await writeChanges(this.connection, this.directory, before, changes);
    const files = (manifest: Manifest) => TABLE_NAMES.flatMap((table) => manifest[table]);
    const held = new Set(files(next));
    const replaced = files(before).filter((segment) => !held.has(segment));
    if (replaced.length === 0 && held.size === files(before).length) return;
    try {
      writeManifest(this.directory, next);
    } catch (error) {
      // The rename may have happened before something failed: the manifest on the disk is the one that counts.
      this.manifest = readManifest(this.directory) ?? EMPTY_MANIFEST;
      throw error;
    }
    this.manifest = next;
    for (const segment of this.#retired) rmSync(segmentPath(this.directory, segment), { force: true });
    this.#retired = replaced;
  }
}

/** One of several writers: it holds the lock only while it commits, on top of whatever the others have committed. */
class SharedStore extends OwnedStore {
  override async refresh(): Promise<void> {
    this.manifest = readManifest(this.directory) ?? EMPTY_MANIFEST;
  }

  protected override commit(marks: readonly Mark[]): Promise<IngestCounts> {
    return this.#inTurn(() => super.commit(marks));
  }

  protected override compactNow(): Promise<void> {
    return this.#inTurn(() => super.compactNow());
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    return withOwnership(this.connection, this.directory, async () => {
      await this.refresh();
      return work();
    });
  }
}

type Mark = readonly [source: string, symbol: string, day: DayString];

interface Owner {
  commit(marks: readonly Mark[]): Promise<IngestCounts>;
  end(): void;
}

class Transaction implements IngestTransaction {
  readonly #connection: DuckDBConnection;
  readonly #owner: Owner;
  readonly #marks: Mark[] = [];
  readonly #deliveries: Deliveries;
  #over = false;

  constructor(connection: DuckDBConnection, owner: Owner) {
    this.#connection = connection;
    this.#owner = owner;
    this.#deliveries = new Deliveries(connection);
  }

  async addBars(raw: RawBars): Promise<void> {
    await this.#step(() => this.#deliveries.add(raw));
  }

  async addFiles(files: readonly BarFile[], layout: BarFileLayout, askedAt: EpochMs): Promise<void> {
    if (files.length > 0) await this.#step(() => stageFiles(this.#connection, files, layout, askedAt));
  }

  markAnswered(source: string, symbols: readonly string[], days: readonly DayString[]): void {
    for (const symbol of symbols) for (const day of days) this.#marks.push([source, symbol, day]);
  }

  async commit(): Promise<IngestCounts> {
    const counts = await this.#step(async () => {
      await this.#deliveries.settle();
      return this.#owner.commit(this.#marks);
    });
    await this.abort();
    return counts;
  }

  async abort(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    try {
      this.#deliveries.close();
      await dropStaging(this.#connection);
      await dropJudgement(this.#connection);
    } finally {
      this.#owner.end();
    }
  }

  async #step<T>(work: () => Promise<T>): Promise<T> {
    if (this.#over) throw new Error('the transaction is over');
    try {
      return await work();
    } catch (error) {
      await this.abort();
      throw storeError(error);
    }
  }
}
