/**
 * The stream BARS in the batches of the log: reads both, and writes the records that are missing. Whoever reads so gets
 * the same bars in the same batches, today and a day later.
 *
 * Back-pressure: it reads ahead by at most {@link MOST_BUFFERED} bars. What is more waits in the stream.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { jetstream } from '@nats-io/jetstream';
import type { Bar } from '../bars/index.ts';
import { epochMinute } from '../base/index.ts';
import { decodeRecord, encodeRecord, type LoggedBatch, medianOf } from './batch-log.ts';
import type { Bell } from './batch-queue.ts';
import { IDLE_MS, LARGEST_BATCH } from './nats-bus.ts';
import { BATCHES, BATCHES_SUBJECT, type Nats, streamOf } from './nats-connection.ts';
import { END_OF_BATCH } from './nats-publisher.ts';
import { hasHeader, readStream, storedAtMs } from './nats-reader.ts';
import { Decoder } from './nats-wire.ts';
import type { Place } from './shared-recovery.ts';
import { Silence } from './silence.ts';

/** Bars read ahead of what has been taken. */
export const MOST_BUFFERED = 2 * LARGEST_BATCH;
/** How long a record may take to be stored. */
const WRITE_MS = 500;
/** After a record that was not taken, unless the log has news before. */
const AGAIN_MS = 50;

interface ReadBar {
  readonly sequence: number;
  /** undefined: the message held no bar, or none that is wanted. */
  readonly bar: Bar | undefined;
  /** Of any bar, wanted or not: the record of a batch is everybody's. */
  readonly minute: number | undefined;
  readonly arrivedAtMs: number;
}

/** The bars of a record of the log. */
export interface ReadBatch {
  /** Of the record, in BATCHES. */
  readonly sequence: number;
  /** When its record was stored, milliseconds since the epoch. */
  readonly recordedAtMs: number;
  readonly bars: readonly Bar[];
  /** `performance.now()` when the last one arrived. */
  readonly arrivedAtMs: number;
}

export interface BatchReaderOptions {
  readonly nats: Nats;
  readonly place: Place;
  /** Bars of other symbols are left out; every symbol's are read unless told. */
  readonly symbols?: readonly string[];
  /** Rung by every change here; rung from outside, it makes this look again. */
  readonly news: Bell;
  readonly signal: AbortSignal;
  /** Told of each message that held no bar. */
  readonly onRefused: () => void;
  /** Bars read ahead; room for two of the largest batches unless told. */
  readonly mostBuffered?: number;
}

export class BatchReader {
  readonly #options: BatchReaderOptions;
  /** Bars read and not yet taken, oldest first. */
  #bars: ReadBar[] = [];
  #readTo: number;
  /** Ends of batches among them that are not in the log. */
  readonly #ends: number[] = [];
  /** Records of the log that are not taken yet. */
  readonly #log: LoggedBatch[];
  /** Where the log has come to: a sequence of BATCHES, and the last bar it covers. */
  #logTo: number;
  #cutTo: number;

  constructor(options: BatchReaderOptions) {
    this.#options = options;
    const { log, logTo, cutTo } = options.place;
    this.#log = [...log];
    this.#logTo = logTo;
    this.#cutTo = cutTo;
    this.#readTo = (log[0]?.from ?? 1) - 1;
  }

  /** Resolves when the signal has aborted; rejects with what ended it. */
  async run(): Promise<void> {
    await Promise.all([this.#readBars(), this.#readLog(), this.#writeLog()]);
  }

  /** Batches that were seen to end and are not in the log. */
  get unwritten(): number {
    return this.#ends.length;
  }

  /** Bars that were read and are not taken. */
  get buffered(): number {
    return this.#bars.length;
  }

  /** Whether a message of the log was read and is no record that is still to be taken. */
  hasPassed(sequence: number): boolean {
    return this.#logTo >= sequence && !this.#log.some((it) => it.sequence === sequence);
  }

  /** The oldest batch that is not taken, once all of its bars are here. */
  get next(): ReadBatch | undefined {
    const record = this.#log[0];
    if (record === undefined || this.#readTo < record.to) return undefined;
    const end = this.#indexAfter(record.to);
    const bars: Bar[] = [];
    for (let i = 0; i < end; i++) {
      const { bar } = this.#bars[i];
      if (bar !== undefined) bars.push(bar);
    }
    return {
      sequence: record.sequence,
      recordedAtMs: record.recordedAtMs,
      bars,
      arrivedAtMs: end === 0 ? performance.now() : this.#bars[end - 1].arrivedAtMs,
    };
  }

  /** Lets go of {@link next}. */
  drop(): void {
    const record = this.#log.shift()!;
    this.#bars.splice(0, this.#indexAfter(record.to));
    this.#options.news.ring();
  }

  /** Index of the first bar after a sequence. */
  #indexAfter(sequence: number): number {
    let [from, to] = [0, this.#bars.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (this.#bars[middle].sequence > sequence) to = middle;
      else from = middle + 1;
    }
    return from;
  }

  get #stopped(): boolean {
    return this.#options.signal.aborted;
  }

  async #change(): Promise<void> {
    if (!this.#stopped) await this.#options.news.wait();
  }

  async #readBars(): Promise<void> {
    const { nats, symbols, signal, news, onRefused, mostBuffered = MOST_BUFFERED } = this.#options;
    const decoder = new Decoder('bars');
    const wanted = symbols === undefined ? undefined : new Set(symbols);
    let sinceEnd = 0;
    const end = () => {
      silence.stop();
      sinceEnd = 0;
      if (this.#readTo > this.#cutTo) this.#ends.push(this.#readTo);
      news.ring();
    };
    const silence = new Silence(IDLE_MS, end);
    for await (const messages of readStream(nats, streamOf('bars'), { sequence: this.#readTo + 1 }, signal)) {
      const arrivedAtMs = performance.now();
      // It is no silence when there is no room.
      silence.stop();
      for (const message of messages) {
        const { seq: sequence, data } = message;
        const item = decoder.decode(message.subject, data);
        if (typeof item === 'string') onRefused();
        const found = typeof item === 'string' ? undefined : item;
        const bar = found !== undefined && wanted?.has(found.symbol) === false ? undefined : found;
        this.#bars.push({ sequence, bar, minute: found?.minute, arrivedAtMs });
        this.#readTo = sequence;
        sinceEnd++;
        if (hasHeader(message, data, END_OF_BATCH) || sinceEnd >= LARGEST_BATCH) end();
        while (this.#bars.length >= mostBuffered && !this.#stopped) await this.#change();
      }
      if (sinceEnd > 0) silence.listen();
    }
    silence.stop();
  }

  async #readLog(): Promise<void> {
    const { nats, signal, news } = this.#options;
    for await (const messages of readStream(nats, BATCHES, { sequence: this.#logTo + 1 }, signal)) {
      for (const message of messages) {
        const record = decodeRecord(message.data, this.#cutTo);
        this.#logTo = message.seq;
        if (record === undefined) continue;
        this.#cutTo = record.to;
        this.#log.push({ ...record, sequence: message.seq, recordedAtMs: storedAtMs(message) });
      }
      news.ring();
    }
  }

  /** Writes the next record, as often as an end of a batch is there that nobody else has written. */
  async #writeLog(): Promise<void> {
    const js = jetstream(this.#options.nats.connection);
    while (!this.#stopped) {
      while (this.#ends.length > 0 && this.#ends[0] <= this.#cutTo) this.#ends.shift();
      if (this.#ends.length === 0) {
        await this.#change();
        continue;
      }
      const before = this.#logTo;
      const [from, to] = [this.#cutTo + 1, this.#ends[0]];
      const minutes: number[] = [];
      for (const { sequence, minute } of this.#bars) {
        if (sequence > to) break;
        if (sequence >= from && minute !== undefined) minutes.push(minute);
      }
      const data = encodeRecord({ from, to, minute: epochMinute(medianOf(minutes)) });
      try {
        await js.publish(BATCHES_SUBJECT, data, { expect: { lastSequence: before }, timeout: WRITE_MS });
      } catch {
        // Somebody was faster, or the server is away: what the log holds decides.
        const pause = sleep(AGAIN_MS, undefined, { signal: this.#options.signal }).catch(() => {});
        if (this.#logTo === before) await Promise.race([this.#change(), pause]);
        continue;
      }
      while (this.#logTo === before && !this.#stopped) await this.#change();
    }
  }
}
