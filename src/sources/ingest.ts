/** Bringing bars into a store from files: all of them in one commit. */
import { basename } from 'node:path';
import { type EpochMs, type Progress, systemClock } from '../base/index.ts';
import { type IngestCounts, openStore } from '../store/index.ts';
import { findBarFiles, groupBarFiles, stageFileGroups } from './files.ts';
import { ownPart, type Share } from './share.ts';

/** What `barcast ingest` answers. */
export interface IngestAnswer extends IngestCounts {
  readonly source: string;
  readonly seconds: number;
  /** Which part of a shared ingest this is. */
  readonly share?: Share;
}

/**
 * Ingests files and folders as one input and one commit: all of them, or nothing. In a shared ingest that holds for each
 * process's own part: files of the same name belong to one.
 * @throws BARCAST_E_FILE_MISSING, BARCAST_E_FILE_FORMAT, BARCAST_E_STORE_LOCKED, BARCAST_E_DISK_FULL
 */
export async function ingestFiles(options: {
  readonly files: readonly string[];
  readonly data: string;
  readonly progress: Progress;
  /** A row whose minute had not ended by then is partial; now, when left out. */
  readonly askedAt?: EpochMs;
  readonly share?: Share;
}): Promise<IngestAnswer> {
  const started = performance.now();
  const { progress, share } = options;
  const files = ownPart(findBarFiles(options.files), share, (path) => basename(path).split('.csv', 1)[0]!);
  const groups = await groupBarFiles(files, progress);
  const store = await openStore(options.data, { shared: share !== undefined });
  try {
    const transaction = await store.begin();
    await stageFileGroups(transaction, groups, options.askedAt ?? systemClock.now(), progress);
    progress.say('judging and storing rows');
    const counts = await transaction.commit();
    return { source: 'files', ...counts, seconds: secondsSince(started), ...(share === undefined ? {} : { share }) };
  } finally {
    progress.finish();
    store.close();
  }
}

export const secondsSince = (started: number): number => Math.round(performance.now() - started) / 1000;
