/** Where a forecaster or a server that starts begins to read the streams, so that it knows what one that never stopped does. */
import { type EpochMs, epochMs } from '../base/index.ts';
import { decodeRecord, type LoggedBatch, restartAt } from './batch-log.ts';
import { BATCHES, type Nats, streamOf } from './nats-connection.ts';
import { endsOf, readStream, storedAtMs } from './nats-reader.ts';

/** Records of the log that are read at the start: more than any session has. */
const RECORDS_READ = 50_000;

/** A place in the log of batches. */
export interface Place {
  /** Records that are to be taken first. */
  readonly log: readonly LoggedBatch[];
  /** The newest message of BATCHES that was read, and the last bar that the log covers. */
  readonly logTo: number;
  readonly cutTo: number;
  /** First minute of the session that the work has come to; older bars are of no use. */
  readonly open: number;
}

/**
 * Where a forecaster begins: at the first batch of the session that the work has come to.
 * @param doneTo every record up to there has been forecast
 */
export async function findPlace(nats: Nats, doneTo: number): Promise<Place> {
  const { records, last } = await readLogTail(nats, doneTo);
  const { index, open } = restartAt(records.filter(({ sequence }) => sequence <= doneTo));
  return { log: records.slice(index), logTo: last, cutTo: records.at(-1)?.to ?? 0, open };
}

/** When the first bar of the session that is being forecast was stored; undefined when nothing has been recorded. */
export async function presentSessionSince(nats: Nats): Promise<EpochMs | undefined> {
  const { last } = await endsOf(nats, BATCHES);
  const { records } = await readLogTail(nats, last);
  const { index } = restartAt(records);
  if (records.length === 0) return undefined;
  const { first, last: lastBar } = await endsOf(nats, streamOf('bars'));
  const sequence = Math.min(Math.max(records[index].from, first), lastBar);
  const message = await nats.manager.streams.getMessage(streamOf('bars'), { seq: sequence }).catch(() => null);
  return message === null ? undefined : epochMs(message.time.getTime());
}

/** The records of the log from well before a sequence on to its present end. */
async function readLogTail(nats: Nats, doneTo: number): Promise<{ records: LoggedBatch[]; last: number }> {
  const { first, last } = await endsOf(nats, BATCHES);
  const records: LoggedBatch[] = [];
  const from = Math.max(first, doneTo - RECORDS_READ);
  if (last === 0 || last < from) return { records, last };
  const reading = new AbortController();
  for await (const messages of readStream(nats, BATCHES, { sequence: from }, reading.signal)) {
    for (const message of messages) {
      if (message.seq > last) break;
      const record = decodeRecord(message.data, records.at(-1)?.to ?? firstFrom(message.data) - 1);
      if (record !== undefined) records.push({ ...record, sequence: message.seq, recordedAtMs: storedAtMs(message) });
    }
    if (messages.at(-1)!.seq >= last) reading.abort();
  }
  return { records, last };
}

const firstFrom = (data: Uint8Array): number => {
  try {
    return Number((JSON.parse(new TextDecoder().decode(data)) as { from: unknown }).from) || 1;
  } catch {
    return 1;
  }
};
