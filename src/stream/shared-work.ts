/**
 * The queue of batches to forecast, one for each group of forecasters: a durable pull consumer of the log of batches.
 * The server hands a batch to one of them, and to another one when no answer comes in time.
 */
import { AckPolicy, DeliverPolicy, type JsMsg, jetstream } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import { BATCHES, type Nats } from './nats-connection.ts';
import { endWhenLost, LASTING_REQUEST } from './nats-pull.ts';
import { endsOf } from './nats-reader.ts';

export interface WorkState {
  /** Every record up to this sequence of BATCHES has been forecast. */
  readonly doneTo: number;
  /** Batches handed out or waiting. */
  readonly waiting: number;
}

const PAUSE_MS = 200;
const MOST_HANDED_OUT = 1000;

export class SharedWork {
  readonly #nats: Nats;
  readonly #name: string;

  private constructor(nats: Nats, name: string) {
    this.#nats = nats;
    this.#name = name;
  }

  /**
   * Joins a group, or begins one: a new group forecasts what is recorded from now on.
   * @param answerMs a batch that is not answered in that time goes to another forecaster
   */
  static async join(nats: Nats, group: string, answerMs: number): Promise<SharedWork> {
    const name = `forecasters-${group.replace(/[^A-Za-z0-9_-]/g, '_')}`;
    const { last } = await endsOf(nats, BATCHES);
    const config = {
      durable_name: name,
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: last + 1,
      ack_wait: nanos(answerMs),
      max_deliver: -1,
      max_ack_pending: MOST_HANDED_OUT,
    };
    const isThere = () => nats.manager.consumers.info(BATCHES, name).catch(() => undefined);
    if ((await isThere()) === undefined) {
      try {
        await nats.manager.consumers.add(BATCHES, config);
      } catch (error) {
        // Another one may have made it just now, from another record on.
        if ((await isThere()) === undefined) throw error;
      }
    }
    return new SharedWork(nats, name);
  }

  async state(): Promise<WorkState> {
    const info = await this.#nats.manager.consumers.info(BATCHES, this.#name);
    // Until something is answered, the floor is 0 wherever the group began.
    const began = (info.config.opt_start_seq ?? 1) - 1;
    return { doneTo: Math.max(info.ack_floor.stream_seq, began), waiting: info.num_pending + info.num_ack_pending };
  }

  /**
   * Answers a batch as forecast and stored, and tells the others of the group. That may get lost; what the server says
   * is certain, and late: its floor stands still while younger batches are handed out again and again.
   */
  done(message: JsMsg): void {
    message.ack();
    this.#nats.connection.publish(this.#doneSubject, String(message.seq));
  }

  /** Tells of batches that anybody of the group has answered, until the signal aborts. */
  watchDone(tell: (sequence: number) => void, signal: AbortSignal): void {
    const subscription = this.#nats.connection.subscribe(this.#doneSubject, {
      callback: (_error, message) => {
        const sequence = Number(message.string());
        if (Number.isSafeInteger(sequence)) tell(sequence);
      },
    });
    signal.addEventListener('abort', () => subscription.unsubscribe(), { once: true });
  }

  get #doneSubject(): string {
    return `barcast.done.${this.#name}`;
  }

  /** One batch after another, as long as it takes, until the signal aborts. Each must be answered: ack, nak or term. */
  async *batches(signal: AbortSignal): AsyncGenerator<JsMsg, void> {
    const { connection } = this.#nats;
    while (!signal.aborted && !connection.isClosed()) {
      try {
        const consumer = await jetstream(connection).consumers.get(BATCHES, this.#name);
        while (!signal.aborted) {
          const messages = await consumer.fetch({ ...LASTING_REQUEST, max_messages: 1 });
          endWhenLost(this.#nats, messages);
          const stop = () => messages.stop();
          signal.addEventListener('abort', stop);
          try {
            for await (const message of messages) yield message;
          } finally {
            signal.removeEventListener('abort', stop);
          }
        }
      } catch {
        if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
  }
}
