/**
 * One owner at a time: the owner holds DuckDB's own lock on the otherwise empty file `owner.duckdb`.
 *
 * The kernel keeps that lock and drops it with the process, however that ends: there is no stale lock to judge and no
 * reused process id to mistake. Limits: it binds processes, so owners within one process are told apart by a list; a
 * process must not open that file by other means, since closing it would drop the lock; a network file system must
 * support POSIX locks.
 */
import { existsSync, linkSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';
import { BarcastError, temporaryName } from '../base/index.ts';
import { quoted } from './database.ts';

const ownedHere = new Set<string>();

/**
 * Takes the lock for as long as the connection's instance lives and returns what to call after it is closed.
 * @throws BARCAST_E_STORE_LOCKED naming the process that holds it
 */
export async function takeOwnership(connection: DuckDBConnection, directory: string): Promise<() => void> {
  const path = join(realpathSync(directory), 'owner.duckdb');
  if (ownedHere.has(path)) throw locked(directory, process.pid);
  ownedHere.add(path);
  try {
    if (!existsSync(path)) await createLockFile(connection, path);
    await connection.run(`attach ${quoted(path)} as owner`);
  } catch (error) {
    ownedHere.delete(path);
    const message = error instanceof Error ? error.message : '';
    if (!/Could not set lock/i.test(message)) throw error;
    const pid = /\(PID (\d+)\)/.exec(message)?.[1];
    throw locked(directory, pid === undefined ? undefined : Number(pid), error);
  }
  return () => ownedHere.delete(path);
}

/** Made under another name and linked: a kill leaves no half-made file, and of two makers both use the first one's. */
async function createLockFile(connection: DuckDBConnection, path: string): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await connection.run(`attach ${quoted(temporary)} as maker`);
    await connection.run('detach maker');
    linkSync(temporary, path);
  } catch (error) {
    // Another maker was first, and may have removed this one's file as a leftover.
    if (!existsSync(path)) throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}

function locked(directory: string, pid: number | undefined, cause?: unknown): BarcastError {
  const who = pid === undefined ? 'another process' : `process ${pid}`;
  return new BarcastError(
    'BARCAST_E_STORE_LOCKED',
    `${who} owns the store ${directory} and may be writing to it`,
    'wait until it ends or stop it; reading needs no ownership',
    { cause },
  );
}
