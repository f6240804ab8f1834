/**
 * Messages into JetStream, each stored and acknowledged by the server, hundreds in flight.
 *
 * One acknowledgement answers for a whole chain: each message but the first asks to be stored only behind the one
 * before it (`Nats-Expected-Last-Msg-Id`), so that the last one's says that all of them are there. Where that is not
 * what comes back (somebody else's messages came between, one was there before, the server went away), all are sent
 * again and each is acknowledged by itself; the server leaves out what it has already by its message id. After that,
 * chains are left alone for a while: where several publish at once they seldom hold.
 *
 * One inbox takes all acknowledgements: `js.publish` of the client, which waits for each by itself, costs four times
 * as much. What is not acknowledged in time, because the server was away, is sent again under its message id, for as
 * long as it takes.
 */
import { createInbox, type MsgHdrs, type NatsConnection, type Subscription } from '@nats-io/transport-node';
import { BarcastError } from '../base/index.ts';

export interface OutgoingMessage {
  readonly subject: string;
  readonly id: string;
  readonly data: Uint8Array | string;
}

/** Header of the last message of a batch. */
export const END_OF_BATCH = 'Barcast-End';

/** Messages in flight: bounds what waits in memory on both sides. */
const IN_FLIGHT = 4096;
/** Messages encoded at once, about what one write to the socket holds. */
const ENCODED_AT_ONCE = 64;
/** Without an acknowledgement for so long, what is missing is sent again. */
const PATIENCE_MS = 1500;

/** Batches that are acknowledged message by message after a chain that broke: twice as many after each in a row. */
const MOST_UNCHAINED = 256;

interface Sending {
  readonly acknowledged: Uint8Array;
  left: number;
  /** Only the last message is acknowledged, for all. */
  chained: boolean;
  send: () => void;
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
  /** Batches still to be sent without a chain, and how many it were the last time. */
  #unchained = 0;
  #lastUnchained = 0;

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
      chained: messages.length > 1 && this.#unchained === 0,
      sentAtMs: 0,
      send: () => {},
      settle: () => {},
    };
    if (this.#unchained > 0) this.#unchained--;
    const done = new Promise<void>((resolve, reject) => {
      sending.settle = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.#sendings.set(key, sending);
    sending.send = () => {
      sending.sentAtMs = performance.now();
      const { chained } = sending;
      for (let i = 0, from = 0, heads: readonly Buffer[] = []; i < messages.length; i++) {
        // Some at a time: the server begins with the first ones while the next are made.
        if (i % ENCODED_AT_ONCE === 0) heads = headsOf(messages, (from = i), chained, last);
        if (sending.acknowledged[i] === 1) continue;
        const isLast = i === messages.length - 1;
        const reply = chained && !isLast ? undefined : `${this.#inbox}.${key}.${i}`;
        this.#connection.publish(messages[i].subject, messages[i].data, { headers: encoded(heads[i - from]), reply });
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
      sending.chained = false;
      try {
        sending.send();
      } catch (error) {
        sending.settle(refused(error));
      }
    }, PATIENCE_MS / 3);
    try {
      sending.send();
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
    if (sending.chained) this.#takeChain(sending, i, data);
    else if (data[2] === ERROR_INITIAL) {
      const { error } = parseAnswer(data);
      // The late answer to a chain that was given up already says nothing about what was sent since.
      const passes = error?.code === TRY_AGAIN || error?.err_code === NOT_BEHIND;
      if (!passes) sending.settle(refused(new Error(error?.description)));
    } else {
      sending.acknowledged[i] = 1;
      sending.sentAtMs = performance.now();
      if (--sending.left === 0) sending.settle();
    }
  }

  #takeChain(sending: Sending, i: number, data: Uint8Array): void {
    if (i !== sending.acknowledged.length - 1) return;
    const { error, duplicate } = parseAnswer(data);
    if (error === undefined && duplicate !== true) {
      this.#lastUnchained = 0;
      sending.settle();
      return;
    }
    sending.chained = false;
    this.#unchained = this.#lastUnchained = Math.min(MOST_UNCHAINED, 2 * this.#lastUnchained || 1);
    if (error?.code === TRY_AGAIN) return;
    try {
      sending.send();
    } catch (failure) {
      sending.settle(refused(failure));
    }
  }
}

interface Answer {
  readonly error?: { readonly code: number; readonly err_code: number; readonly description: string };
  readonly duplicate?: boolean;
}
const parseAnswer = (data: Uint8Array) => JSON.parse(Buffer.from(data).toString()) as Answer;

/**
 * Header blocks of the next messages, in bytes of one buffer: encoding them one by one would leave a buffer a message
 * to the garbage collector.
 *
 * @param chained whether each but the first asks to be stored behind the one before
 * @param last whether the last one is the end of a batch
 */
function headsOf(messages: readonly OutgoingMessage[], from: number, chained: boolean, last: boolean): Buffer[] {
  const texts: string[] = [];
  for (let i = from; i < Math.min(from + ENCODED_AT_ONCE, messages.length); i++) {
    const before = chained && i > 0 ? messages[i - 1].id : undefined;
    texts.push(headersOf(messages[i].id, before, last && i === messages.length - 1));
  }
  const all = texts.join('');
  const bytes = Buffer.from(all);
  let at = 0;
  return texts.map((text) =>
    bytes.subarray(at, (at += bytes.length === all.length ? text.length : Buffer.byteLength(text))),
  );
}

/** The header block that the client would make of its own `headers()`, at a tenth of the cost. */
function headersOf(id: string, before: string | undefined, isEnd: boolean): string {
  if (id.includes('\n') || id.includes('\r')) throw new Error('a message id is one line');
  const chain = before === undefined ? '' : `Nats-Expected-Last-Msg-Id: ${before}\r\n`;
  const end = isEnd ? `${END_OF_BATCH}: 1\r\n` : '';
  return `NATS/1.0\r\nNats-Msg-Id: ${id}\r\n${chain}${end}\r\n`;
}

/** The client asks headers for nothing but their bytes. */
const encoded = (bytes: Buffer): MsgHdrs => ({ encode: () => bytes }) as unknown as MsgHdrs;

/** The server lacks a leader or room just now. */
const TRY_AGAIN = 503;
/** JSStreamWrongLastMsgIDErrF of the server: the message before is not the one that was expected. */
const NOT_BEHIND = 10070;
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
