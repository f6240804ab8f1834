/** The bus over NATS JetStream: what is published is stored, so that everyone may come, go and come back. */
import { BarcastError } from '../base/index.ts';
import { BatchQueue } from './batch-queue.ts';
import { type Bus, messageIdOf, type SubscribeOptions, subjectOf, type Topic, type Topics } from './bus.ts';
import { connectNats, disconnectNats, type Nats, type NatsOptions, streamOf } from './nats-connection.ts';
import { END_OF_BATCH, NatsPublisher } from './nats-publisher.ts';
import { endsOf, hasHeader, readStream } from './nats-reader.ts';
import { Decoder, encode, type Refusal } from './nats-wire.ts';
import { Silence } from './silence.ts';

export interface NatsBus extends Bus {
  readonly nats: Nats;
  readonly publisher: NatsPublisher;
  /** Messages passed over because they hold no item of their topic, by reason. */
  readonly refused: Readonly<Partial<Record<Refusal, number>>>;
}

/** A batch whose end does not come (its publisher died, or is not ours) is whole after so long without a message. */
export const IDLE_MS = 50;
/** A batch without an end is cut here: bounds what a stranger can make us hold. */
export const LARGEST_BATCH = 65_536;

/** @throws BARCAST_E_NETWORK, BARCAST_E_BUS, BARCAST_E_USAGE */
export async function natsBus(options: NatsOptions): Promise<NatsBus> {
  const nats = await connectNats(options);
  const publisher = new NatsPublisher(nats.connection, options.notice);
  const refused: Partial<Record<Refusal, number>> = {};
  const refuse = (reason: Refusal) => {
    refused[reason] = (refused[reason] ?? 0) + 1;
    if (reason === 'unknownFormat' && refused[reason] === 1)
      options.notice?.('messages of a newer barcast are passed over: update this one too');
  };
  const open = new Set<BatchQueue<unknown>>();
  const pumps = new Set<Promise<void>>();
  const stop = new AbortController();
  const refuseWhenClosed = (what: string) => {
    if (stop.signal.aborted) throw new BarcastError('BARCAST_E_BUS', `${what} a bus that is closed`, 'open a new bus');
  };
  return {
    name: 'nats',
    nats,
    publisher,
    refused,
    async publish(topic, items) {
      refuseWhenClosed('published to');
      await publisher.publish(messagesOf(topic, items));
    },
    async subscribe(topic, subscribing) {
      refuseWhenClosed('subscribed to');
      const stopReading = new AbortController();
      const queue = new BatchQueue<Topics[typeof topic]>(subscribing, (it) => {
        stopReading.abort();
        open.delete(it as BatchQueue<unknown>);
      });
      open.add(queue as BatchQueue<unknown>);
      const signal = AbortSignal.any([stop.signal, stopReading.signal]);
      const place = await placeOf(nats, topic, subscribing);
      const pump = fill(queue, topic, readStream(nats, streamOf(topic), place, signal), refuse);
      pumps.add(pump);
      void pump.finally(() => pumps.delete(pump));
      return queue;
    },
    async close() {
      if (stop.signal.aborted) return;
      stop.abort();
      for (const queue of open) queue.drain();
      await Promise.all(pumps);
      publisher.close();
      await disconnectNats(nats);
    },
  };
}

export function messagesOf<T extends Topic>(topic: T, items: readonly Topics[T][]) {
  const data = encode(topic, items);
  return items.map((item, i) => ({ subject: subjectOf(topic, item), id: messageIdOf(topic, item), data: data[i] }));
}

async function placeOf(nats: Nats, topic: Topic, { since }: SubscribeOptions) {
  if (since !== undefined) return { since };
  return { sequence: (await endsOf(nats, streamOf(topic))).last + 1 };
}

/** Messages into batches: up to a mark, or until none comes for a while. Ends when the reading ends. */
async function fill<T extends Topic>(
  queue: BatchQueue<Topics[T]>,
  topic: T,
  messages: ReturnType<typeof readStream>,
  refuse: (reason: Refusal) => void,
): Promise<void> {
  const decoder = new Decoder(topic);
  let items: Topics[T][] = [];
  let sequence = 0;
  let offered: Promise<void> = Promise.resolve();
  const flush = () => {
    silence.stop();
    if (items.length === 0) return offered;
    const batch = { sequence: ++sequence, items, arrivedAtMs: performance.now() };
    items = [];
    offered = offered.then(() => queue.offer(batch));
    return offered;
  };
  const silence = new Silence(IDLE_MS, () => void flush());
  for await (const some of messages) {
    for (const message of some) {
      const { data } = message;
      const item = decoder.decode(message.subject, data);
      if (typeof item === 'string') refuse(item);
      else items.push(item);
      if (hasHeader(message, data, END_OF_BATCH) || items.length >= LARGEST_BATCH) await flush();
    }
    if (items.length > 0) silence.listen();
  }
  await flush();
  queue.drain();
}
