/**
 * A stream from a place on, every message once and in order, for as long as it takes: over a server that goes away and
 * comes back, and over messages that have been removed meanwhile. It takes no more than its reader does.
 */
import {
  type ConsumerMessages,
  DeliverPolicy,
  type JsMsg,
  jetstream,
  type OrderedConsumerOptions,
} from '@nats-io/jetstream';
import { type EpochMs, isoOf } from '../base/index.ts';
import type { Nats } from './nats-connection.ts';

/** Where to begin. */
export type StreamPlace = { readonly sequence: number } | { readonly since: EpochMs };

const IN_FLIGHT = 4096;
/** The server says at least twice in that time that it is there. */
const SILENCE_MS = 2000;
const PAUSE_MS = 200;

/** Ends when the signal aborts or the connection is closed for good. */
export async function* readStream(
  nats: Nats,
  stream: string,
  place: StreamPlace,
  signal: AbortSignal,
): AsyncGenerator<JsMsg, void> {
  const { connection } = nats;
  let next: StreamPlace = place;
  let messages: ConsumerMessages | undefined;
  const stop = () => messages?.stop();
  signal.addEventListener('abort', stop);
  try {
    while (!signal.aborted && !connection.isClosed()) {
      try {
        const consumer = await jetstream(connection).consumers.get(stream, optionsOf(next));
        messages = await consumer.consume({ max_messages: IN_FLIGHT, expires: SILENCE_MS });
        if (signal.aborted) return;
        for await (const message of messages) {
          if (signal.aborted) return;
          yield message;
          next = { sequence: message.seq + 1 };
        }
      } catch {
        // The server is away, or forgot the consumer: a new one goes on behind the last message.
      } finally {
        messages?.stop();
      }
      if (!signal.aborted && !connection.isClosed()) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function optionsOf(place: StreamPlace): Partial<OrderedConsumerOptions> {
  return 'sequence' in place
    ? { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: Math.max(1, place.sequence) }
    : { deliver_policy: DeliverPolicy.StartTime, opt_start_time: isoOf(place.since) };
}

/** When the server stored a message, milliseconds since the epoch. */
export const storedAtMs = ({ info }: JsMsg): number => info.timestampNanos / 1e6;

/** First and last sequence that the stream holds; `last + 1` comes next. */
export async function endsOf({ manager }: Nats, stream: string): Promise<{ first: number; last: number }> {
  const { state } = await manager.streams.info(stream);
  return { first: state.first_seq, last: state.last_seq };
}
