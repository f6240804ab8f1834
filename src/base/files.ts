/** Files that are either whole or absent: every write goes to a temporary name beside its target and is renamed. */
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** The name a file has while it is written; a leftover of a killed process can be told by it. */
export const temporaryName = (path: string): string => `${path}.${randomBytes(6).toString('hex')}.tmp`;

/** Whether a name is that of a file that was still being written. */
export const isTemporaryName = (name: string): boolean => /\.[0-9a-f]{12}\.tmp$/.test(name);

/** Flushes a folder, so that a rename inside it survives a power cut. */
export function syncDirectory(path: string): void {
  const handle = openSync(path, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** Flushes a finished file and renames it to its target: readers see the old file or the new one, never a part. */
export function commitFile(temporary: string, target: string): void {
  const handle = openSync(temporary, 'r+');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(temporary, target);
  syncDirectory(dirname(target));
}

/** Writes a file whole or not at all. @throws what the file system throws (`ENOSPC`, `EACCES`, …) */
export function writeFileAtomic(path: string, data: string | Uint8Array): void {
  const temporary = temporaryName(path);
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  try {
    const handle = openSync(temporary, 'w');
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(handle, bytes, done);
    } finally {
      closeSync(handle);
    }
    commitFile(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** {@link writeFileAtomic} while other work goes on; `data` must not change until it ends. */
export async function writeFileAtomicAside(path: string, data: Uint8Array): Promise<void> {
  const temporary = temporaryName(path);
  try {
    const file = await open(temporary, 'w');
    try {
      for (let done = 0; done < data.length; ) done += (await file.write(data, done)).bytesWritten;
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    const folder = await open(dirname(path), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
