/**
 * The numbers of a query straight out of DuckDB's memory: its C library (https://duckdb.org/docs/stable/clients/c/api),
 * the one that `@duckdb/node-api` brings, called through koffi. That package makes four objects and a copy of every
 * vector of 2,048 numbers, which for millions of rows costs more than to decode them.
 *
 * The database is one of its own, in memory and for reading files alone; it is opened at a thread's first query and kept.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import koffi from 'koffi';
import { MEMORY_LIMIT } from './memory.ts';
import type { TakenChunk } from './vectors.ts';

const LIBRARIES: Partial<Record<NodeJS.Platform, string>> = { linux: 'libduckdb.so', darwin: 'libduckdb.dylib' };

/** A pointer that C gave. */
type Pointer = bigint | { readonly pointer: unique symbol };

function bind() {
  // As the package finds it: from its own place on.
  const api = createRequire(import.meta.url).resolve('@duckdb/node-api');
  const bindings = createRequire(api).resolve('@duckdb/node-bindings');
  const platform = `@duckdb/node-bindings-${process.platform}-${process.arch}/package.json`;
  const folder = dirname(createRequire(bindings).resolve(platform));
  const library = koffi.load(join(folder, LIBRARIES[process.platform]!));
  koffi.struct('duckdb_result', {
    columns: 'uint64',
    rows: 'uint64',
    changed: 'uint64',
    data: 'void *',
    error: 'void *',
    internal: 'void *',
  });
  const call = (signature: string) => library.func(signature);
  return {
    open: call('int duckdb_open(const char *path, _Out_ void **database)'),
    connect: call('int duckdb_connect(void *database, _Out_ void **connection)'),
    disconnect: call('void duckdb_disconnect(_Inout_ void **connection)'),
    query: call('int duckdb_query(void *connection, const char *sql, _Out_ duckdb_result *result)'),
    prepare: call('int duckdb_prepare(void *connection, const char *sql, _Out_ void **statement)'),
    prepareError: call('const char *duckdb_prepare_error(void *statement)'),
    destroyPrepare: call('void duckdb_destroy_prepare(_Inout_ void **statement)'),
    pending: call('int duckdb_pending_prepared_streaming(void *statement, _Out_ void **pending)'),
    destroyPending: call('void duckdb_destroy_pending(_Inout_ void **pending)'),
    execute: call('int duckdb_execute_pending(void *pending, _Out_ duckdb_result *result)'),
    error: call('const char *duckdb_result_error(duckdb_result *result)'),
    destroyResult: call('void duckdb_destroy_result(_Inout_ duckdb_result *result)'),
    fetch: call('void *duckdb_fetch_chunk(duckdb_result result)'),
    destroyChunk: call('void duckdb_destroy_data_chunk(_Inout_ void **chunk)'),
    size: call('uint64 duckdb_data_chunk_get_size(void *chunk)'),
    vector: call('void *duckdb_data_chunk_get_vector(void *chunk, uint64 column)'),
    data: call('void *duckdb_vector_get_data(void *vector)'),
    validity: call('void *duckdb_vector_get_validity(void *vector)'),
    copy: koffi.load(null).func('void *memcpy(void *into, void *from, size_t bytes)'),
  };
}

type Library = ReturnType<typeof bind>;
interface Database {
  readonly library: Library;
  readonly database: Pointer;
}

let opened: Database | undefined | null;

/** Null where the library is not to be had. */
function open(): Database | null {
  try {
    const library = bind();
    const database: [Pointer | null] = [null];
    if (library.open(':memory:', database) !== 0) return null;
    const connection: [Pointer | null] = [null];
    if (library.connect(database[0], connection) !== 0) return null;
    // The thread that fetches decodes: handing chunks over costs more than a second thread brings.
    const settings = ['threads = 1', `memory_limit = '${MEMORY_LIMIT}'`, 'autoinstall_known_extensions = false'];
    const failed = settings.some((setting) => library.query(connection[0], `set ${setting}`, {}) !== 0);
    library.disconnect(connection);
    return failed ? null : { library, database: database[0]! };
  } catch {
    return null;
  }
}

/** The event loop has its turn after so many chunks: a few milliseconds. */
const CHUNKS_AT_ONCE = 64;

/** Whether the library is to be had. */
export function canReadDirectly(): boolean {
  opened ??= LIBRARIES[process.platform] === undefined ? null : open();
  return opened !== null;
}

/** A query's chunks, each until the next one is asked for; undefined where the library is not to be had. */
export function directChunksOf(sql: string): AsyncGenerator<TakenChunk> | undefined {
  return canReadDirectly() ? chunks(opened!, sql) : undefined;
}

async function* chunks({ library, database }: Database, sql: string): AsyncGenerator<TakenChunk> {
  const connection: [Pointer | null] = [null];
  const statement: [Pointer | null] = [null];
  const pending: [Pointer | null] = [null];
  const result = {};
  try {
    if (library.connect(database, connection) !== 0) throw new Error('DuckDB has no connection left');
    if (library.prepare(connection[0], sql, statement) !== 0) throw new Error(library.prepareError(statement[0]));
    if (library.pending(statement[0], pending) !== 0 || library.execute(pending[0], result) !== 0)
      throw new Error(library.error(result) ?? 'DuckDB refused a query');
    for (let number = 1; ; number++) {
      const chunk: [Pointer | null] = [library.fetch(result)];
      if (chunk[0] === null) break;
      try {
        yield chunkOf(library, chunk[0]);
      } finally {
        library.destroyChunk(chunk);
      }
      if (number % CHUNKS_AT_ONCE === 0) await setImmediate();
    }
    const error = library.error(result);
    if (error) throw new Error(error);
  } finally {
    library.destroyResult(result);
    library.destroyPending(pending);
    library.destroyPrepare(statement);
    library.disconnect(connection);
  }
}

function chunkOf(library: Library, chunk: Pointer): TakenChunk {
  return {
    rows: Number(library.size(chunk)),
    first: (column) => koffi.decode(library.data(library.vector(chunk, column)), 'int32') as number,
    copy(column, row, into) {
      const vector = library.vector(chunk, column);
      const from = BigInt(koffi.address(library.data(vector))) + BigInt(row * into.BYTES_PER_ELEMENT);
      library.copy(into, from, into.byteLength);
      const validity = library.validity(vector);
      if (validity === null) return;
      const words = Math.ceil((row + into.length) / 32);
      const valid = koffi.decode(validity, koffi.array('uint32', words, 'Typed')) as Uint32Array;
      for (let i = 0; i < into.length; i++)
        if (((valid[(row + i) >> 5]! >> ((row + i) & 31)) & 1) === 0) into[i] = Number.NaN;
    },
  };
}
