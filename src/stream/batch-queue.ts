/** A bounded queue of batches between one producer and one subscriber: the subscription that every bus hands out. */
import type { Batch, SubscribeOptions, Subscription } from './bus.ts';

/** Items held for a subscriber that names no capacity: two minutes of 10,000 symbols. */
const DEFAULT_CAPACITY = 20_000;

/** A promise that many may wait for and that starts afresh after each call of `ring`. */
export class Bell {
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

export class BatchQueue<T> implements Subscription<T> {
  readonly #capacity: number;
  readonly #waits: boolean;
  readonly #onClose: (queue: BatchQueue<T>) => void;
  readonly #arrival = new Bell();
  readonly #room = new Bell();
  #queue: Batch<T>[] = [];
  #held = 0;
  #dropped = 0;
  #drained = false;
  #closed = false;

  constructor(options: SubscribeOptions, onClose: (queue: BatchQueue<T>) => void) {
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

  /** Resolves once the batch is queued, or given up because the subscriber takes no more. */
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
