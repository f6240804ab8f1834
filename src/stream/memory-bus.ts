/** The bus inside one process: bounded queues, no copies, nothing kept for subscribers that come later. */
import { BarcastError } from '../base/index.ts';
import type { Batch, Bus, SubscribeOptions, Subscription, Topic, Topics } from './bus.ts';

/** Items held for a subscriber that names no capacity: two minutes of 10,000 symbols. */
const DEFAULT_CAPACITY = 20_000;

/** A promise that many may wait for and that starts afresh after each call of `ring`. */
class Bell {
  #ring: () => void = () => {};
  #rung: Promise<void> | undefined;

  wait(): Promise<void> {
    this.#rung ??= new Promise((resolve) => {
      this.#ring = resolve;
    });
    return this.#rung;
  }

  ring(): void {
    this.#rung = undefined;
    this.#ring();
  }
}

class MemorySubscription<T> implements Subscription<T> {
  readonly #capacity: number;
  readonly #waits: boolean;
  readonly #onClose: (subscription: MemorySubscription<T>) => void;
  readonly #arrival = new Bell();
  readonly #room = new Bell();
  #queue: Batch<T>[] = [];
  #held = 0;
  #dropped = 0;
  #drained = false;
  #closed = false;

  constructor(options: SubscribeOptions, onClose: (subscription: MemorySubscription<T>) => void) {
    this.#capacity = options.capacity ?? DEFAULT_CAPACITY;
    this.#waits = (options.whenFull ?? 'wait') === 'wait';
    this.#onClose = onClose;
  }

  get dropped(): number {
    return this.#dropped;
  }

  #hasRoomFor(items: number): boolean {
    return this.#closed || this.#queue.length === 0 || this.#held + items <= this.#capacity;
  }

  /** Resolves once the batch is queued. */
  async offer(batch: Batch<T>): Promise<void> {
    while (this.#waits && !this.#hasRoomFor(batch.items.length)) await this.#room.wait();
    if (this.#drained) return;
    while (!this.#hasRoomFor(batch.items.length)) {
      const given = this.#queue.shift()!.items.length;
      this.#held -= given;
      this.#dropped += given;
    }
    this.#queue.push(batch);
    this.#held += batch.items.length;
    this.#arrival.ring();
  }

  drain(): void {
    this.#drained = true;
    this.#arrival.ring();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue = [];
    this.#held = 0;
    this.drain();
    this.#room.ring();
    this.#onClose(this);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch<T>, void> {
    try {
      while (true) {
        const batch = this.#queue.shift();
        if (batch !== undefined) {
          this.#held -= batch.items.length;
          this.#room.ring();
          yield batch;
        } else if (this.#drained) return;
        else await this.#arrival.wait();
      }
    } finally {
      this.close();
    }
  }
}

/** One topic: its subscribers and the chain that keeps batches in the order of their publication. */
class Channel<T> {
  readonly subscriptions = new Set<MemorySubscription<T>>();
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
  const channels = { bars: new Channel<Topics['bars']>(), forecasts: new Channel<Topics['forecasts']>() };
  const channelOf = <T extends Topic>(topic: T) => channels[topic] as unknown as Channel<Topics[T]>;
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
      const subscription = new MemorySubscription<Topics[typeof topic]>(options, (it) => subscriptions.delete(it));
      subscriptions.add(subscription);
      return subscription;
    },
    async close() {
      closed = true;
      for (const channel of Object.values(channels)) {
        await channel.settled();
        for (const subscription of channel.subscriptions) subscription.drain();
      }
    },
  };
}
