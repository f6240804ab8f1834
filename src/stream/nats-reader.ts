/**
 * A stream from a place on, every message once and in order, for as long as it takes: over a server that goes away and
 * comes back, and over messages that have been removed meanwhile. It takes no more than its reader does.
 */
import {
  type Consumer,
  type ConsumerMessages,
  DeliverPolicy,
  type JsMsg,
  jetstream,
  type OrderedConsumerOptions,
} from '@nats-io/jetstream';
import { type EpochMs, isoOf } from '../base/index.ts';
import { Bell } from './batch-queue.ts';
import type { Nats } from './nats-connection.ts';
import { endWhenLost, LASTING_REQUEST } from './nats-pull.ts';

/** Where to begin. */
export type StreamPlace = { readonly sequence: number } | { readonly since: EpochMs };

const IN_FLIGHT = 4096;
/** Messages held for a reader that is busy; it is asked for no more until they are read. */
const MOST_HELD = 4 * IN_FLIGHT;
const PAUSE_MS = 200;

/**
 * What has come since the reader asked last, at once: thousands of messages come in some milliseconds, and a promise
 * for each would cost as much as the rest of the reading. Ends when the signal aborts or the connection is closed for
 * good; a reader that aborts it has still what it holds.
 */
export async function* readStream(
  nats: Nats,
  stream: string,
  place: StreamPlace,
  signal: AbortSignal,
): AsyncGenerator<readonly JsMsg[], void> {
  const { connection } = nats;
  let next: StreamPlace = place;
  while (!signal.aborted && !connection.isClosed()) {
    const reading = new Reading(signal);
    let consumer: Consumer | undefined;
    try {
      consumer = await jetstream(connection).consumers.get(stream, optionsOf(next));
      if (signal.aborted) return;
      await reading.begin(nats, consumer);
      while (true) {
        const messages = await reading.take();
        if (signal.aborted) return;
        if (messages === undefined) break;
        yield messages;
        next = { sequence: messages.at(-1)!.seq + 1 };
      }
    } catch {
      // The server is away, or forgot the consumer: a new one goes on behind the last message.
    } finally {
      reading.stop();
    }
    if (signal.aborted || connection.isClosed()) return;
    // What did not fit is read by a new consumer; the server would keep the old one for minutes.
    if (reading.isFull) await consumer?.delete().catch(() => {});
    else await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

/** What one consumer brings, until it ends or holds too much. */
class Reading {
  readonly #signal: AbortSignal;
  readonly #news = new Bell();
  readonly #stop = () => this.stop();
  #messages: ConsumerMessages | undefined;
  #held: JsMsg[] = [];
  #ended = false;
  /** Whether it ended because its reader was busy. */
  isFull = false;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', this.#stop);
  }

  async begin(nats: Nats, consumer: Consumer): Promise<void> {
    const callback = (message: JsMsg) => {
      if (this.#ended) return;
      this.#held.push(message);
      if (this.#held.length === 1) this.#news.ring();
      if (this.#held.length < MOST_HELD) return;
      this.isFull = true;
      this.stop();
    };
    this.#messages = await consumer.consume({ ...LASTING_REQUEST, max_messages: IN_FLIGHT, callback });
    if (this.#ended) this.#messages.stop();
    endWhenLost(nats, this.#messages);
    void this.#messages.closed().then(this.#stop);
  }

  /** The messages that came since the last call, as soon as there are some; undefined at the end. */
  async take(): Promise<JsMsg[] | undefined> {
    while (this.#held.length === 0) {
      if (this.#ended) return undefined;
      await this.#news.wait();
    }
    const held = this.#held;
    this.#held = [];
    return held;
  }

  stop(): void {
    this.#ended = true;
    this.#signal.removeEventListener('abort', this.#stop);
    this.#messages?.stop();
    this.#news.ring();
  }
}

function optionsOf(place: StreamPlace): Partial<OrderedConsumerOptions> {
  return 'sequence' in place
    ? { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: Math.max(1, place.sequence) }
    : { deliver_policy: DeliverPolicy.StartTime, opt_start_time: isoOf(place.since) };
}

/** A header block ends so, right before the data. */
const BLANK_LINE = [13, 10, 13, 10];
const BLOCK_BEGIN = 'NATS/1.0\r\n';

/**
 * Whether a message has a header. Asking `message.headers` takes all of them apart, two microseconds for each of
 * thousands of messages; so the header block is looked through where it lies, before the data in the bytes that came.
 *
 * @param data of the message; its getter makes a new view each time
 */
export function hasHeader(message: JsMsg, data: Uint8Array, name: string): boolean {
  const from = data.byteOffset - BLANK_LINE.length;
  const bytes = bytesOf(data.buffer);
  for (let i = 0; i < BLANK_LINE.length; i++)
    if (from < 0 || bytes[from + i] !== BLANK_LINE[i]) return message.headers?.has(name) ?? false;
  const begin = bytes.lastIndexOf(BLOCK_BEGIN, from);
  return begin >= 0 && bytes.toString('latin1', begin, from).includes(`\r\n${name}:`);
}

/** Hundreds of messages lie in one buffer. */
let viewed: { readonly buffer: ArrayBufferLike; readonly bytes: Buffer } | undefined;
function bytesOf(buffer: ArrayBufferLike): Buffer {
  if (viewed?.buffer !== buffer) viewed = { buffer, bytes: Buffer.from(buffer) };
  return viewed.bytes;
}

/** When the server stored a message, milliseconds since the epoch. */
export const storedAtMs = ({ info }: JsMsg): number => info.timestampNanos / 1e6;

/** First and last sequence that the stream holds; `last + 1` comes next. */
export async function endsOf({ manager }: Nats, stream: string): Promise<{ first: number; last: number }> {
  const { state } = await manager.streams.info(stream);
  return { first: state.first_seq, last: state.last_seq };
}
