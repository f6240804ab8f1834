/**
 * The bus between those who have bars, those who make forecasts of them, and those who show both.
 *
 * Contract of every implementation:
 * - A batch is published whole and arrives whole: the bars of one minute that came together stay together, because a
 *   forecast looks at the whole market.
 * - Every subscriber sees the batches of a topic in the order of their publication.
 * - `publish` resolves when the batch is handed over: in memory, when every subscriber that waits has room; on a network
 *   bus, when the server has stored every item. A subscriber that asked to drop never holds a publisher up.
 * - A repeat is recognised by its message id ({@link messageIdOf}). It may come, and every consumer must be idempotent.
 *
 * A network bus gives each item a subject of its own ({@link subjectOf}) and keeps what is published: a slow
 * subscriber falls behind and loses nothing.
 */
import type { Bar } from '../bars/index.ts';
import { type EpochMs, MS_PER_MINUTE } from '../base/index.ts';
import type { Forecast } from './forecast.ts';

/** What travels on each topic. `shadow` carries the forecasts of a model that is tried out: scored, never shown. */
export interface Topics {
  readonly bars: Bar;
  readonly forecasts: Forecast;
  readonly shadow: Forecast;
}
export type Topic = keyof Topics;
export const TOPICS: readonly Topic[] = ['bars', 'forecasts', 'shadow'];

export interface Batch<T> {
  /** Counts the batches of a topic that the subscriber was offered, from 1. */
  readonly sequence: number;
  readonly items: readonly T[];
  /** `performance.now()` of this process when the batch was published or, from another machine, arrived. */
  readonly arrivedAtMs: number;
}

export interface SubscribeOptions {
  /** Whose subscription it is, for messages. */
  readonly name: string;
  /** Items held for this subscriber before it is full; a larger batch is taken when nothing else is held. */
  readonly capacity?: number;
  /** When full: hold the publisher up (a network bus: leave the rest in the stream), or give up the oldest batches. */
  readonly whenFull?: 'wait' | 'dropOldest';
  /** Also what was published from then on, if the bus keeps it; otherwise what is published from now on. */
  readonly since?: EpochMs;
}

/** Iterate it once. Leaving the loop closes it. */
export interface Subscription<T> extends AsyncIterable<Batch<T>> {
  /** Items given up because the subscriber was too slow. */
  readonly dropped: number;
  /** Takes no further batch; what is held is still delivered, then the iteration ends. */
  drain(): void;
  /** Ends the iteration, gives up what is held and lets waiting publishers go on. */
  close(): void;
}

export interface Bus {
  readonly name: string;
  /** Resolves when the batch is handed over. An empty batch is nothing. @throws BARCAST_E_BUS when closed or refused */
  publish<T extends Topic>(topic: T, items: readonly Topics[T][]): Promise<void>;
  /** Batches published from now on, or `since`. @throws BARCAST_E_BUS when closed */
  subscribe<T extends Topic>(topic: T, options: SubscribeOptions): Promise<Subscription<Topics[T]>>;
  /** Refuses further batches and drains every subscription. */
  close(): Promise<void>;
}

/** `bars.<SYMBOL>` or `forecasts.<SYMBOL>`. A dot in a symbol (`VOD.L`) makes one token more: subscribe to `bars.>`. */
export const subjectOf = (topic: Topic, item: { readonly symbol: string }): string => `${topic}.${item.symbol}`;

/**
 * The id that makes a repeat harmless: (symbol, minute) of a bar; (symbol, minute, model) of a forecast. The model's
 * name, not its weights: where a model changes over while a forecaster dies, no symbol gets two forecasts of a minute.
 */
export function messageIdOf<T extends Topic>(topic: T, item: Topics[T]): string {
  return topic === 'bars' ? barId(item as Bar) : forecastId(item as Forecast);
}

const barId = (bar: Bar): string => `${bar.symbol}:${bar.minute}`;
const forecastId = ({ symbol, asOf, model }: Forecast): string => `${symbol}:${minuteOf(asOf)}:${model}`;

/** Thousands of forecasts in a row are of one minute. */
let newest = { asOf: '', minute: 0 };
function minuteOf(asOf: string): number {
  if (asOf !== newest.asOf) newest = { asOf, minute: Date.parse(asOf) / MS_PER_MINUTE };
  return newest.minute;
}
