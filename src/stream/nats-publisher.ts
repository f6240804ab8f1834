/**
 * Messages into JetStream, each stored and acknowledged by the server, hundreds in flight.
 *
 * One inbox takes all acknowledgements: `js.publish` of the client, which waits for each by itself, costs four times
 * as much. What is not acknowledged in time, because the server was away, is sent again under its message id, for as
 * long as it takes; the server leaves out what it has already.
 */
import { createInbox, headers, type NatsConnection, type Subscription } from '@nats-io/transport-node';
import { BarcastError } from '../base/index.ts';

export interface OutgoingMessage {
  readonly subject: string;
  readonly id: string;
  readonly data: string;
}

/** Header of the last message of a batch. */
export const END_OF_BATCH = 'Barcast-End';

/** Messages in flight: bounds what waits in memory on both sides. */
const IN_FLIGHT = 4096;
/** Without an acknowledgement for so long, what is missing is sent again. */
const PATIENCE_MS = 1500;

interface Sending {
  readonly acknowledged: Uint8Array;
  left: number;
  /** When it was sent last, or acknowledged last. */
  sentAtMs: number;
  settle: (error?: Error) => void;
}

export class NatsPublisher {
  readonly #connection: NatsConnection;
  readonly #inbox = createInbox();
  readonly #subscription: Subscription;
  readonly #sendings = new Map<string, Sending>();
  readonly #notice: (line: string) => void;
  #count = 0;
  #closed = false;

  constructor(connection: NatsConnection, notice: (line: string) => void = () => {}) {
    this.#connection = connection;
    this.#notice = notice;
    this.#subscription = connection.subscribe(`${this.#inbox}.>`, {
      callback: (_error, message) => this.#take(message.subject, message.data),
    });
  }

  /**
   * Resolves when every message is stored. The last one is marked as the end of a batch.
   * @param giveUpMs how long to go on without an acknowledgement; for ever unless told
   * @throws BARCAST_E_BUS when the server refuses one for good, the time is up, or the publisher is closed
   */
  async publish(messages: readonly OutgoingMessage[], giveUpMs = Number.POSITIVE_INFINITY): Promise<void> {
    for (let from = 0; from < messages.length; from += IN_FLIGHT) {
      const part = messages.slice(from, from + IN_FLIGHT);
      await this.#publishPart(part, from + part.length === messages.length, giveUpMs);
    }
  }

  /** Gives up what is still waiting. */
  close(): void {
    this.#closed = true;
    this.#subscription.unsubscribe();
    for (const sending of this.#sendings.values()) sending.settle(closedError());
  }

  async #publishPart(messages: readonly OutgoingMessage[], last: boolean, giveUpMs: number): Promise<void> {
    if (this.#closed) throw closedError();
    const key = (++this.#count).toString(36);
    const sending: Sending = {
      acknowledged: new Uint8Array(messages.length),
      left: messages.length,
      sentAtMs: 0,
      settle: () => {},
    };
    const done = new Promise<void>((resolve, reject) => {
      sending.settle = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.#sendings.set(key, sending);
    const send = () => {
      sending.sentAtMs = performance.now();
      for (let i = 0; i < messages.length; i++) {
        if (sending.acknowledged[i] === 1) continue;
        const { subject, id, data } = messages[i];
        const header = headers();
        header.set('Nats-Msg-Id', id);
        if (last && i === messages.length - 1) header.set(END_OF_BATCH, '1');
        this.#connection.publish(subject, data, { headers: header, reply: `${this.#inbox}.${key}.${i}` });
      }
    };
    let told = false;
    const startedAtMs = performance.now();
    const again = setInterval(() => {
      const now = performance.now();
      if (now - sending.sentAtMs < PATIENCE_MS) return;
      if (now - startedAtMs > giveUpMs) return sending.settle(new Error('it did not answer in time'));
      if (!told) this.#notice(`${sending.left} messages wait for the NATS server and are sent again`);
      told = true;
      try {
        send();
      } catch (error) {
        sending.settle(refused(error));
      }
    }, PATIENCE_MS / 3);
    try {
      send();
      await done;
    } catch (error) {
      throw refused(error);
    } finally {
      clearInterval(again);
      this.#sendings.delete(key);
    }
  }

  #take(subject: string, data: Uint8Array): void {
    const [key, index] = subject.slice(this.#inbox.length + 1).split('.');
    const sending = this.#sendings.get(key);
    const i = Number(index);
    if (sending === undefined || sending.acknowledged[i] !== 0) return;
    // `{"stream":…` is stored; nothing at all (no server of the stream is there just now) is tried again.
    if (data.length === 0) return;
    if (data[2] === ERROR_INITIAL) {
      const { error } = JSON.parse(new TextDecoder().decode(data)) as { error: { code: number; description: string } };
      // 503: the server lacks a leader or room just now.
      if (error.code !== 503) sending.settle(refused(new Error(error.description)));
      return;
    }
    sending.acknowledged[i] = 1;
    sending.sentAtMs = performance.now();
    if (--sending.left === 0) sending.settle();
  }
}

const ERROR_INITIAL = 'e'.charCodeAt(0);

const closedError = () => new BarcastError('BARCAST_E_BUS', 'published to a bus that is closed', 'open a new bus');
const refused = (error: unknown): BarcastError =>
  error instanceof BarcastError
    ? error
    : new BarcastError(
        'BARCAST_E_BUS',
        `the NATS server took a message not (${(error as Error).message})`,
        "look at the limits of the stream with 'nats stream info'",
        { cause: error },
      );
