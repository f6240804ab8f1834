/**
 * What a message of a network bus holds, and the refusal of everything else: whoever may publish on a subject may send
 * anything. A refused message is counted and passed over; it never ends a reader.
 *
 * We write the bytes of `nats-record.ts`. JSON is read too, from whoever writes it and as versions before the bytes did:
 * a bar is `{symbol, minute, open, high, low, close, volume}` on `bars.<SYMBOL>`, `minute` the ISO 8601 UTC time of the
 * minute's OPEN, a missing value null; a forecast is what every interface shows.
 */
import { type Bar, parseSymbol } from '../bars/index.ts';
import { type EpochMinute, epochMinute, isoOfMinute, MS_PER_MINUTE } from '../base/index.ts';
import { subjectOf, type Topic, type Topics } from './bus.ts';
import type { Forecast } from './forecast.ts';
import {
  barRecords,
  ForecastReader,
  forecastRecords,
  isFiniteOrMissing,
  isMinute,
  RECORD_VERSION,
  readBar,
} from './nats-record.ts';

/** Bytes of the largest message that is taken; ours have a few hundred. The streams refuse larger ones at the server. */
export const MESSAGE_LIMIT = 4096;

/** Why a message was refused. */
export type Refusal = 'oversized' | 'unknownFormat' | 'notJson' | 'notAnItem' | 'wrongSubject';

/** A first byte up to here, which no JSON has, is the version of a record: ours, or one that a newer barcast writes. */
const LARGEST_VERSION = 8;

const decoder = new TextDecoder('utf-8', { fatal: true });
const MINUTE = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:00(\.000)?Z$/;

/** The items of one topic from the messages of its stream. One for each reader: it remembers what it checked before. */
export class Decoder<T extends Topic> {
  readonly #topic: T;
  readonly #forecasts = new ForecastReader();
  /** By subject. */
  readonly #symbols = new Map<string, string>();
  #minuteText = '';
  #minute = epochMinute(0);

  constructor(topic: T) {
    this.#topic = topic;
  }

  decode(subject: string, data: Uint8Array): Topics[T] | Refusal {
    if (data.length > MESSAGE_LIMIT) return 'oversized';
    const symbol = this.#symbolOf(subject);
    if (symbol === undefined) return 'wrongSubject';
    const isRecord = data[0] > 0 && data[0] <= LARGEST_VERSION;
    const item = isRecord ? this.#record(symbol, data) : this.#json(data);
    if (item === undefined) return 'notAnItem';
    if (typeof item === 'string') return item;
    return item.symbol === symbol ? (item as Topics[T]) : 'wrongSubject';
  }

  #record(symbol: string, data: Uint8Array): Bar | Forecast | Refusal | undefined {
    if (data[0] !== RECORD_VERSION) return 'unknownFormat';
    if (this.#topic !== 'bars') return this.#forecast({ ...this.#forecasts.read(symbol, data) });
    const bar = readBar(symbol, data);
    return bar !== undefined && isBar(bar) ? bar : undefined;
  }

  #json(data: Uint8Array): Bar | Forecast | Refusal | undefined {
    let value: unknown;
    try {
      value = JSON.parse(decoder.decode(data));
    } catch {
      return 'notJson';
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    const fields = value as { [name: string]: unknown };
    return this.#topic === 'bars' ? this.#bar(fields) : this.#forecast(fields);
  }

  #bar({ symbol, minute, open, high, low, close, volume }: { [name: string]: unknown }): Bar | undefined {
    const at = this.#minuteOf(minute);
    if (typeof symbol !== 'string' || at === undefined) return undefined;
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
    if (typeof symbol !== 'string') return undefined;
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
    if (!isMinute(minute)) return undefined;
    this.#minuteText = text;
    return (this.#minute = epochMinute(minute));
  }

  /** The symbol that a subject names in its canonical spelling, or undefined for any other subject. */
  #symbolOf(subject: string): string | undefined {
    const known = this.#symbols.get(subject);
    if (known !== undefined) return known;
    const symbol = subject.slice(this.#topic.length + 1);
    try {
      if (parseSymbol(symbol) !== symbol || subjectOf(this.#topic, { symbol }) !== subject) return undefined;
    } catch {
      return undefined;
    }
    // A flood of made-up symbols must not fill the memory.
    if (this.#symbols.size >= SYMBOLS_REMEMBERED) this.#symbols.clear();
    this.#symbols.set(subject, symbol);
    return symbol;
  }
}

const SYMBOLS_REMEMBERED = 100_000;
const LONGEST_TEXT = 256;

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
const isText = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= LONGEST_TEXT;
const numberOrNaN = (value: unknown): number | undefined =>
  value === null ? Number.NaN : isNumber(value) ? value : undefined;

const isBar = ({ minute, open, high, low, close, volume }: Bar): boolean =>
  isMinute(minute) && [open, high, low, close, volume].every(isFiniteOrMissing);

/** The data of each item's message: its record, or JSON where that does not hold it as it is. */
export function encode<T extends Topic>(topic: T, items: readonly Topics[T][]): (Uint8Array | string)[] {
  const records =
    topic === 'bars'
      ? barRecords(items as readonly Topics['bars'][])
      : forecastRecords(items as readonly Topics['forecasts'][]);
  return records.map((record, i) => record ?? encodeJson(topic, items[i]));
}

/** The JSON of an item. A forecast's is its own. */
export function encodeJson<T extends Topic>(topic: T, item: Topics[T]): string {
  if (topic !== 'bars') return JSON.stringify(item);
  const { symbol, minute, open, high, low, close, volume } = item as Bar;
  return JSON.stringify({ symbol, minute: isoOfMinute(minute), open, high, low, close, volume });
}
