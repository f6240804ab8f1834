/**
 * One writer at a time: whoever writes holds DuckDB's own lock on the otherwise empty file `owner.duckdb`,
 * an owner for its life and one that shares the store for the length of a commit.
 *
 * The kernel keeps that lock and drops it with the process, however that ends: there is no stale lock to judge and no
 * reused process id to mistake. Limits: it binds processes, so owners within one process are told apart by a list; a
 * process must not open that file by other means, since closing it would drop the lock; a network file system must
 * support POSIX locks.
 */
import { existsSync, linkSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DuckDBConnection } from '@duckdb/node-api';
import { BarcastError, temporaryName } from '../base/index.ts';
import { quoted } from './database.ts';

const ownedHere = new Set<string>();

/** How long a commit waits for those of others, and how often it looks. */
const PATIENCE_MS = 120_000;
const LOOK_AGAIN_MS = 25;
/** How long an owner waits: a commit of a live source is over by then, and another owner is told of soon enough. */
const OWNER_PATIENCE_MS = 2000;

/**
 * Does a piece of work while holding the lock, waiting for whoever holds it.
 * @throws BARCAST_E_STORE_LOCKED after two minutes
 */
export async function withOwnership<T>(
  connection: DuckDBConnection,
  directory: string,
  work: () => Promise<T>,
): Promise<T> {
  const release = await takeOwnershipSoon(connection, directory, PATIENCE_MS);
  try {
    return await work();
  } finally {
    await connection.run('detach owner').finally(release);
  }
}

/** The same as {@link takeOwnership}, but a store that is locked is looked at again for a while. */
export async function takeOwnershipSoon(
  connection: DuckDBConnection,
  directory: string,
  patienceMs = OWNER_PATIENCE_MS,
): Promise<() => void> {
  const givenUpAt = performance.now() + patienceMs;
  for (;;) {
    try {
      return await takeOwnership(connection, directory);
    } catch (error) {
      const locked = error instanceof BarcastError && error.code === 'BARCAST_E_STORE_LOCKED';
      if (!locked || performance.now() > givenUpAt) throw error;
      await sleep(LOOK_AGAIN_MS * (0.5 + Math.random()));
    }
  }
}

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
