/**
 * Publishes the forecasts of a batch so that each is stored once and a batch has one model, whoever forecast it before.
 *
 * A forecast has the id (symbol, minute, model), and the server leaves out what it has already. It remembers ids for
 * {@link DUPLICATE_WINDOW_MS}: of a batch that was handed out before and is older than half of it, what is stored is
 * looked up.
 *
 * A batch belongs to the weights that its first forecast names: the server takes one of several, and says which it was.
 */
import { jetstream } from '@nats-io/jetstream';
import { epochMs } from '../base/index.ts';
import { messageIdOf, type Topic } from './bus.ts';
import type { Forecast } from './forecast.ts';
import type { ForecasterResult } from './forecaster.ts';
import { messagesOf, type NatsBus } from './nats-bus.ts';
import { streamOf } from './nats-connection.ts';
import { endsOf, readStream } from './nats-reader.ts';
import { Decoder } from './nats-wire.ts';

const TOPICS = ['forecasts', 'shadow'] as const satisfies Topic[];

/** What is known of earlier tries to forecast a batch. */
export interface Tried {
  /** Nobody can have tried before. */
  readonly isFirst: boolean;
  /** When the batch was recorded, milliseconds since the epoch. */
  readonly recordedAtMs: number;
}

/** Whose a batch is. */
export interface Begun {
  /** Undefined when no forecast was made of it. */
  readonly weightsHash: string | undefined;
  /** Weights of what is stored already, by message id, when the server may have forgotten the ids. */
  readonly known?: ReadonlyMap<string, string>;
}

export class SharedPublishing {
  readonly #bus: NatsBus;
  readonly #rememberedMs: number;
  readonly #signal: AbortSignal;

  /** @param rememberedMs for so long the server is sure to know the ids of an earlier try */
  constructor(bus: NatsBus, rememberedMs: number, signal: AbortSignal) {
    this.#bus = bus;
    this.#rememberedMs = rememberedMs;
    this.#signal = signal;
  }

  /**
   * Whose the batch is: an earlier try's, if that has published anything of it, and else that of this result.
   * @throws what NATS throws
   */
  async begin({ forecasts }: ForecasterResult, tried: Tried): Promise<Begun> {
    if (tried.isFirst || forecasts.length === 0) return { weightsHash: forecasts[0]?.weightsHash };
    const known = await this.#publishedBefore(tried);
    const before =
      known && forecasts.map((it) => known.get(messageIdOf('forecasts', it))).find((it) => it !== undefined);
    return { weightsHash: before ?? (await this.#claim(forecasts[0])), known };
  }

  /**
   * @param begun what {@link begin} said of it, or of another model's result for the same batch
   * @param receivedAtMs `performance.now()` when the batch was received
   * @returns whether all are stored; false when it came to it so late (a suspended machine) that another forecaster has the batch
   * @throws BARCAST_E_BUS and what NATS throws
   */
  async publish(result: ForecasterResult, { known }: Begun, receivedAtMs: number): Promise<boolean> {
    if (performance.now() - receivedAtMs > this.#rememberedMs) return false;
    const made = { forecasts: result.forecasts, shadow: result.shadow ?? [] };
    for (const topic of TOPICS) {
      const fresh = known === undefined ? made[topic] : made[topic].filter((it) => !known.has(messageIdOf(topic, it)));
      await this.#bus.publisher.publish(messagesOf(topic, fresh), this.#rememberedMs);
    }
    return true;
  }

  /** Publishes the first forecast of a batch. @returns the weights of the one that is stored: ours, or an earlier one's */
  async #claim(first: Forecast): Promise<string> {
    const { nats } = this.#bus;
    const [{ subject, id, data }] = messagesOf('forecasts', [first]);
    const { duplicate, seq } = await jetstream(nats.connection).publish(subject, data, { msgID: id });
    if (!duplicate) return first.weightsHash;
    const stored = await nats.manager.streams.getMessage(streamOf('forecasts'), { seq });
    const forecast = stored === null ? '' : new Decoder('forecasts').decode(stored.subject, stored.data);
    return typeof forecast === 'string' ? first.weightsHash : forecast.weightsHash;
  }

  /** Weights of the forecasts that an earlier try may have left, by id, when the server may have forgotten the ids. */
  async #publishedBefore({ recordedAtMs }: Tried): Promise<Map<string, string> | undefined> {
    if (Date.now() - recordedAtMs < this.#rememberedMs) return undefined;
    const weights = new Map<string, string>();
    const { nats } = this.#bus;
    for (const topic of TOPICS) {
      const stream = streamOf(topic);
      const { last } = await endsOf(nats, stream);
      const since = epochMs(recordedAtMs - this.#rememberedMs);
      // Nothing newer: the reading would wait for the next message.
      if (last === 0 || (await this.#lastStoredAt(stream)) < since) continue;
      const reading = new AbortController();
      const signal = AbortSignal.any([reading.signal, this.#signal]);
      const decoder = new Decoder(topic);
      for await (const messages of readStream(nats, stream, { since }, signal)) {
        for (const { subject, data } of messages) {
          const forecast = decoder.decode(subject, data);
          if (typeof forecast !== 'string') weights.set(messageIdOf(topic, forecast), forecast.weightsHash);
        }
        if (messages.at(-1)!.seq >= last) reading.abort();
      }
    }
    return weights;
  }

  async #lastStoredAt(stream: string): Promise<number> {
    const { state } = await this.#bus.nats.manager.streams.info(stream);
    return Date.parse(state.last_ts);
  }
}
