/**
 * The scores on disk, so that no stop loses one, a `kill -9` included.
 *
 *     scores.json                {"generation": n, "scores": …}, whole or absent at any moment
 *     scores.json.journal-n      what was taken since, one JSON array a line
 *
 * What was taken is appended before the next thing is; a start takes up the snapshot and takes the journal again. When
 * the journal has grown, and at the end, a new snapshot is written and the journal begun anew: whoever dies between the
 * two leaves a journal of an older generation, which is swept. A last line that was cut off is what was not taken. After
 * a power cut, lines may be missing that the operating system had not written yet.
 */
import { closeSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { BarcastError, isTemporaryName, systemErrorCode, toBarcastError, writeFileAtomic } from '../base/index.ts';
import { type Scoreboards, SNAPSHOT_VERSION, type Taken } from './scoreboards.ts';

const MOST_JOURNAL_BYTES = 16 * 1024 * 1024;
/** Pause between tries while the scores cannot be written. */
const TRY_AGAIN_MS = 30_000;

export interface KeepOptions {
  /** Every bar since the stop comes again, as from a stream; otherwise nothing is scored across the time that was missed. */
  readonly everyBarComes?: boolean;
  /** Journal size at which a new snapshot is written. */
  readonly mostJournalBytes?: number;
}

/**
 * Takes up the scores that a file holds and keeps the file up to date until `close`. A write that fails is told, not
 * thrown: serving goes on.
 *
 * @param notice gets one line about whatever does not end the serving
 * @throws BARCAST_E_CHECKPOINT when the file is there and holds no scores, BARCAST_E_PERMISSION when it cannot be read
 */
export function keepScoreboard(
  { scores }: { readonly scores: Scoreboards },
  path: string,
  notice: (line: string) => void = () => {},
  options: KeepOptions = {},
): { close(): void } {
  let generation = takeUp(scores, path, notice);
  if (options.everyBarComes !== true) scores.break();
  let journal: Journal | undefined;
  let triedAt = 0;

  const renew = () => {
    triedAt = performance.now();
    journal?.close();
    journal = undefined;
    try {
      generation++;
      const snapshot = { generation, scores: scores.snapshot() };
      writeFileAtomic(path, JSON.stringify(snapshot));
      sweep(path, generation);
      journal = new Journal(journalPath(path, generation));
    } catch (error) {
      notice(`the scores could not be saved: ${toBarcastError(error).line}`);
    }
  };
  renew();
  const take = (taken: Taken) => {
    try {
      journal?.append(taken);
    } catch {
      // Lines behind a torn one could not be read; a new snapshot holds everything.
      renew();
    }
    const grown = journal !== undefined && journal.bytes > (options.mostJournalBytes ?? MOST_JOURNAL_BYTES);
    const lacking = journal === undefined && performance.now() - triedAt > TRY_AGAIN_MS;
    if (grown || lacking) renew();
  };
  scores.onTaken = take;
  return {
    close() {
      if (scores.onTaken !== take) return;
      scores.onTaken = undefined;
      renew();
      journal?.close();
    },
  };
}

class Journal {
  bytes = 0;
  readonly #handle: number;

  constructor(path: string) {
    this.#handle = openSync(path, 'a');
  }

  append(taken: Taken): void {
    const line = Buffer.from(`${JSON.stringify(taken)}\n`);
    for (let done = 0; done < line.length; ) done += writeSync(this.#handle, line, done);
    this.bytes += line.length;
  }

  close(): void {
    closeSync(this.#handle);
  }
}

const journalPath = (path: string, generation: number) => `${path}.journal-${generation}`;

/** Reads the snapshot and its journal. @returns the generation they are of */
function takeUp(scores: Scoreboards, path: string, notice: (line: string) => void): number {
  const text = readIfThere(path);
  if (text === undefined) return 0;
  let stored: { generation?: unknown; scores?: { version?: unknown }; version?: unknown } | null;
  try {
    stored = JSON.parse(text);
  } catch (error) {
    throw unreadable(path, error);
  }
  if (stored?.version === 1 || stored?.scores?.version === 2) {
    notice(`the scores in ${path} are of an earlier version of barcast; counting starts anew`);
    return 0;
  }
  const { generation } = stored ?? {};
  if (!Number.isSafeInteger(generation) || stored?.scores?.version !== SNAPSHOT_VERSION) throw unreadable(path);
  try {
    scores.restore(stored.scores);
  } catch (error) {
    throw unreadable(path, error);
  }
  takeJournal(scores, journalPath(path, generation as number), notice);
  return generation as number;
}

function takeJournal(scores: Scoreboards, path: string, notice: (line: string) => void): void {
  // What follows the last line break was cut off.
  const lines = (readIfThere(path) ?? '').split('\n').slice(0, -1);
  for (const [i, line] of lines.entries()) {
    try {
      scores.takeAgain(JSON.parse(line));
    } catch {
      notice(`${path} is damaged from line ${i + 1} of ${lines.length} on; the scores of what stood there are lost`);
      return;
    }
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw toBarcastError(error);
  }
}

/** Removes journals of other generations and what killed processes left half-written. */
function sweep(path: string, generation: number): void {
  const [folder, name] = [dirname(path), basename(path)];
  for (const entry of readdirSync(folder)) {
    if (!entry.startsWith(`${name}.`) || entry === `${name}.journal-${generation}`) continue;
    if (entry.startsWith(`${name}.journal-`) || isTemporaryName(entry)) rmSync(join(folder, entry), { force: true });
  }
}

const unreadable = (path: string, cause?: unknown) =>
  new BarcastError(
    'BARCAST_E_CHECKPOINT',
    `${path} holds no scores that can be read`,
    'delete the file to start counting anew',
    { cause },
  );
