/** The bus inside one process: bounded queues, no copies, nothing kept for subscribers that come later. */
import { BarcastError } from '../base/index.ts';
import { BatchQueue } from './batch-queue.ts';
import { type Batch, type Bus, TOPICS, type Topic, type Topics } from './bus.ts';

/** One topic: its subscribers and the chain that keeps batches in the order of their publication. */
class Channel<T> {
  readonly subscriptions = new Set<BatchQueue<T>>();
  #sequence = 0;
  #last: Promise<void> = Promise.resolve();

  publish(items: readonly T[]): Promise<void> {
    const batch: Batch<T> = { sequence: ++this.#sequence, items, arrivedAtMs: performance.now() };
    const offerToAll = () => Promise.all([...this.subscriptions].map((subscription) => subscription.offer(batch)));
    this.#last = this.#last.then(offerToAll).then(() => undefined);
    return this.#last;
  }

  /** Resolves when every batch published so far has been queued for everyone. */
  settled(): Promise<void> {
    return this.#last;
  }
}

/** @returns a bus for one process. Its `close` waits for batches that are still held up by a full subscriber. */
export function memoryBus(): Bus {
  const channels = new Map(TOPICS.map((topic) => [topic, new Channel<Topics[Topic]>()]));
  const channelOf = <T extends Topic>(topic: T) => channels.get(topic) as unknown as Channel<Topics[T]>;
  let closed = false;
  const refuseWhenClosed = (what: string) => {
    if (closed) throw new BarcastError('BARCAST_E_BUS', `${what} a bus that is closed`, 'open a new bus');
  };
  return {
    name: 'memory',
    async publish(topic, items) {
      refuseWhenClosed('published to');
      if (items.length > 0) await channelOf(topic).publish(items);
    },
    async subscribe(topic, options) {
      refuseWhenClosed('subscribed to');
      const { subscriptions } = channelOf(topic);
      const subscription = new BatchQueue<Topics[typeof topic]>(options, (it) => subscriptions.delete(it));
      subscriptions.add(subscription);
      return subscription;
    },
    async close() {
      closed = true;
      for (const channel of channels.values()) {
        await channel.settled();
        for (const subscription of channel.subscriptions) subscription.drain();
      }
    },
  };
}
