/**
 * What a message of a network bus holds, and the refusal of everything else: whoever may publish on a subject may send
 * anything. A refused message is counted and passed over; it never ends a reader.
 *
 * A bar is JSON `{symbol, minute, open, high, low, close, volume}` on `bars.<SYMBOL>`: `minute` is the ISO 8601 UTC
 * time of the minute's OPEN, a missing value is null. A forecast is what every interface shows.
 */
import { type Bar, parseSymbol } from '../bars/index.ts';
import { type EpochMinute, epochMinute, isoOfMinute, MS_PER_MINUTE } from '../base/index.ts';
import type { Topic, Topics } from './bus.ts';
import type { Forecast } from './forecast.ts';

/** Bytes of the largest message that is taken; ours have a few hundred. The streams refuse larger ones at the server. */
export const MESSAGE_LIMIT = 4096;

/** Why a message was refused. */
export type Refusal = 'oversized' | 'notJson' | 'notAnItem' | 'wrongSubject';

const decoder = new TextDecoder('utf-8', { fatal: true });
const MINUTE = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:00(\.000)?Z$/;
const LAST_MINUTE = 2 ** 31 - 1;

/** The items of one topic from the messages of its stream. One for each reader: it remembers what it checked before. */
export class Decoder<T extends Topic> {
  readonly #topic: T;
  readonly #symbols = new Map<string, string>();
  #minuteText = '';
  #minute = epochMinute(0);

  constructor(topic: T) {
    this.#topic = topic;
  }

  decode(subject: string, data: Uint8Array): Topics[T] | Refusal {
    if (data.length > MESSAGE_LIMIT) return 'oversized';
    let value: unknown;
    try {
      value = JSON.parse(decoder.decode(data));
    } catch {
      return 'notJson';
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'notAnItem';
    const item =
      this.#topic === 'bars'
        ? this.#bar(value as { [name: string]: unknown })
        : this.#forecast(value as { [name: string]: unknown });
    if (item === undefined) return 'notAnItem';
    return this.#subject(item.symbol) === subject ? (item as Topics[T]) : 'wrongSubject';
  }

  #bar({ symbol, minute, open, high, low, close, volume }: { [name: string]: unknown }): Bar | undefined {
    const at = this.#minuteOf(minute);
    if (typeof symbol !== 'string' || at === undefined || this.#subject(symbol) === undefined) return undefined;
    const o = numberOrNaN(open);
    const h = numberOrNaN(high);
    const l = numberOrNaN(low);
    const c = numberOrNaN(close);
    const v = numberOrNaN(volume);
    if (o === undefined || h === undefined || l === undefined || c === undefined || v === undefined) return undefined;
    return { symbol, minute: at, open: o, high: h, low: l, close: c, volume: v };
  }

  #forecast(value: { [name: string]: unknown }): Forecast | undefined {
    const { symbol, asOf, horizonMinutes, lastClose, predictedClose, predictedReturn, model, weightsHash } = value;
    const { latencyMs, interval, volatility } = value;
    if (typeof symbol !== 'string' || this.#subject(symbol) === undefined) return undefined;
    if (typeof asOf !== 'string' || this.#minuteOf(asOf) === undefined) return undefined;
    if (!isText(model) || !isText(weightsHash)) return undefined;
    if (!isNumber(horizonMinutes) || !isNumber(lastClose) || !isNumber(predictedClose)) return undefined;
    if (!isNumber(predictedReturn) || !isNumber(volatility) || !isNumber(latencyMs)) return undefined;
    if (!Number.isInteger(horizonMinutes) || horizonMinutes < 1) return undefined;
    if (typeof interval !== 'object' || interval === null) return undefined;
    const { level, low, high } = interval as { [name: string]: unknown };
    if (!isNumber(level) || !isNumber(low) || !isNumber(high)) return undefined;
    return {
      symbol,
      asOf,
      horizonMinutes,
      lastClose,
      predictedClose,
      predictedReturn,
      volatility,
      interval: { level, low, high },
      model,
      weightsHash,
      latencyMs,
    };
  }

  /** The minute that a text names; thousands of items in a row name the same one. */
  #minuteOf(text: unknown): EpochMinute | undefined {
    if (text === this.#minuteText) return this.#minute;
    if (typeof text !== 'string' || !MINUTE.test(text)) return undefined;
    const minute = Date.parse(text) / MS_PER_MINUTE;
    if (!Number.isInteger(minute) || minute < 0 || minute > LAST_MINUTE) return undefined;
    this.#minuteText = text;
    return (this.#minute = epochMinute(minute));
  }

  /** The subject of a symbol in its canonical spelling, or undefined for anything else. */
  #subject(symbol: string): string | undefined {
    const known = this.#symbols.get(symbol);
    if (known !== undefined) return known;
    try {
      if (parseSymbol(symbol) !== symbol) return undefined;
    } catch {
      return undefined;
    }
    const subject = `${this.#topic}.${symbol}`;
    // A flood of made-up symbols must not fill the memory.
    if (this.#symbols.size >= SYMBOLS_REMEMBERED) this.#symbols.clear();
    this.#symbols.set(symbol, subject);
    return subject;
  }
}

const SYMBOLS_REMEMBERED = 100_000;
const LONGEST_TEXT = 256;

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
const isText = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= LONGEST_TEXT;
const numberOrNaN = (value: unknown): number | undefined =>
  value === null ? Number.NaN : isNumber(value) ? value : undefined;

/** The JSON of an item. A forecast's is its own. */
export function encode<T extends Topic>(topic: T, item: Topics[T]): string {
  if (topic !== 'bars') return JSON.stringify(item);
  const { symbol, minute, open, high, low, close, volume } = item as Bar;
  return JSON.stringify({ symbol, minute: textOf(minute), open, high, low, close, volume });
}

/** Thousands of bars in a row are of the same minute. */
let newest = { minute: epochMinute(0), text: isoOfMinute(epochMinute(0)) };
function textOf(minute: EpochMinute): string {
  if (minute !== newest.minute) newest = { minute, text: isoOfMinute(minute) };
  return newest.text;
}
