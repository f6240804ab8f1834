/**
 * Publishes the forecasts of a batch so that each is stored once, whoever forecast it before.
 *
 * A forecast has the id (symbol, minute, model), and the server leaves out what it has already. It remembers ids for
 * two minutes: of a batch that was handed out before and is older, what is stored is looked up.
 */
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
   * @param tried what is known of earlier tries
   * @param receivedAtMs `performance.now()` then
   * @returns whether all are stored; false when it came to it so late (a suspended machine) that another forecaster has the batch
   * @throws BARCAST_E_BUS and what NATS throws
   */
  async publish({ forecasts, shadow = [] }: ForecasterResult, tried: Tried, receivedAtMs: number): Promise<boolean> {
    const known = await this.#publishedBefore(tried);
    if (performance.now() - receivedAtMs > this.#rememberedMs) return false;
    const made = { forecasts, shadow };
    for (const topic of TOPICS) {
      const fresh = known === undefined ? made[topic] : made[topic].filter((it) => !known.has(messageIdOf(topic, it)));
      await this.#bus.publisher.publish(messagesOf(topic, fresh), this.#rememberedMs);
    }
    return true;
  }

  /** Ids of the forecasts that an earlier try may have left, when the server may have forgotten them. */
  async #publishedBefore({ isFirst, recordedAtMs }: Tried): Promise<Set<string> | undefined> {
    if (isFirst || Date.now() - recordedAtMs < this.#rememberedMs) return undefined;
    const ids = new Set<string>();
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
          if (typeof forecast !== 'string') ids.add(messageIdOf(topic, forecast as Forecast));
        }
        if (messages.at(-1)!.seq >= last) reading.abort();
      }
    }
    return ids;
  }

  async #lastStoredAt(stream: string): Promise<number> {
    const { state } = await this.#bus.nats.manager.streams.info(stream);
    return Date.parse(state.last_ts);
  }
}
