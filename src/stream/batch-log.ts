/**
 * The log of batches: which bars of the stream BARS belong together. Each record is a range of sequences, beginning
 * where the one before ended, so that every bar is in one batch, and everyone who reads the log sees the same batches.
 *
 * Any forecaster writes the next record when it sees the end of a batch: a message marked by its publisher, or a pause.
 * The server takes it only as the successor of the newest record (`expect.lastSequence`): of several that write at
 * once, one wins, and the others read what it wrote.
 */
import { sessionAt } from '../bars/index.ts';
import { type EpochMinute, epochMinute } from '../base/index.ts';

export interface BatchRecord {
  /** First and last sequence in BARS. */
  readonly from: number;
  readonly to: number;
  /** The minute of the bar in the middle: what the batch is about, whatever single bars claim. */
  readonly minute: EpochMinute;
}

export interface LoggedBatch extends BatchRecord {
  /** Its own sequence, in BATCHES. */
  readonly sequence: number;
  /** When the server stored it, milliseconds since the epoch. */
  readonly recordedAtMs: number;
}

export const encodeRecord = ({ from, to, minute }: BatchRecord): string => JSON.stringify({ from, to, minute });

/** The record of a message that begins where the log has come to, or undefined for anything else. */
export function decodeRecord(data: Uint8Array, cutTo: number): BatchRecord | undefined {
  try {
    const { from, to, minute } = JSON.parse(new TextDecoder().decode(data)) as { [name: string]: number };
    if (![from, to, minute].every(Number.isSafeInteger) || to < from) return undefined;
    return from === cutTo + 1 ? { from, to, minute: epochMinute(minute) } : undefined;
  } catch {
    return undefined;
  }
}

/** The middle of some numbers; 0 of none. */
export function medianOf(values: readonly number[]): number {
  const [first = 0] = values;
  // As nearly always: the bars of one minute.
  if (values.every((it) => it === first)) return first;
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

/** Records that say which session is being forecast: a few strange ones among them change nothing. */
const WITNESSES = 21;

/**
 * Where a forecaster must begin to read, so that its windows are what they would be had it never stopped: at the first
 * batch of the session that the work has come to, since a window holds bars of one session only.
 *
 * @param log oldest first, up to the newest that is done
 * @returns an index into the log, and the first minute of that session
 */
export function restartAt(log: readonly LoggedBatch[]): { readonly index: number; readonly open: number } {
  if (log.length === 0) return { index: 0, open: Number.NEGATIVE_INFINITY };
  const minute = medianOf(log.slice(-WITNESSES).map((it) => it.minute));
  const open = sessionAt(epochMinute(minute))?.open ?? minute;
  const index = log.findIndex((it) => it.minute >= open);
  return { index: index === -1 ? log.length - 1 : index, open };
}
