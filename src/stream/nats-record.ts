/**
 * An item in bytes, as the messages of a network bus hold it: a third of its JSON. nats-server copies a message many
 * times and keeps megabytes of the newest ones in memory; what it takes to grow and to collect them is time that
 * forecasts wait.
 *
 * Numbers are little-endian; the symbol is that of the message's subject.
 *
 * | item | bytes | |
 * | --- | --- | --- |
 * | both | 1 | version of this format, {@link RECORD_VERSION}; JSON begins with `{` |
 * | bar | 4 | minute of its OPEN since the epoch, unsigned |
 * | | 5 x 8 | open, high, low, close, volume; a missing value is NaN |
 * | forecast | 4 | minute of `asOf` since the epoch, unsigned |
 * | | 2 | horizonMinutes, unsigned |
 * | | 8 x 8 | lastClose, predictedClose, predictedReturn, volatility, level, low, high, latencyMs |
 * | | 2 x (1 + n) | model, weightsHash: length in bytes and UTF-8 |
 *
 * Whether what is read makes sense is for the reader to judge (`nats-wire.ts`).
 */
import type { Bar } from '../bars/index.ts';
import { epochMinute, isoOfMinute, MS_PER_MINUTE } from '../base/index.ts';
import type { Forecast } from './forecast.ts';

export const RECORD_VERSION = 1;
/** A minute fits an int32. */
const LAST_MINUTE = 2 ** 31 - 1;

const BAR_BYTES = 45;
const MINUTE_AT = 1;
const BAR_NUMBERS_AT = 5;
const HORIZON_AT = 5;
const FORECAST_NUMBERS_AT = 7;
const NAMES_AT = 71;
const LONGEST_NAME = 255;
const LARGEST_HORIZON = 65_535;

/** Of each bar, all in one buffer; undefined for one that the format cannot hold as it is. */
export function barRecords(bars: readonly Bar[]): (Uint8Array | undefined)[] {
  const all = Buffer.allocUnsafeSlow(BAR_BYTES * bars.length);
  const view = new DataView(all.buffer);
  return bars.map(({ minute, open, high, low, close, volume }, i) => {
    const numbers = [open, high, low, close, volume];
    if (!isMinute(minute) || !numbers.every(isFiniteOrMissing)) return undefined;
    const at = BAR_BYTES * i;
    view.setUint8(at, RECORD_VERSION);
    view.setUint32(at + MINUTE_AT, minute, true);
    setNumbers(view, at + BAR_NUMBERS_AT, numbers);
    return all.subarray(at, at + BAR_BYTES);
  });
}

/** @returns undefined for bytes of another length */
export function readBar(symbol: string, bytes: Uint8Array): Bar | undefined {
  if (bytes.length !== BAR_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const number = (i: number) => view.getFloat64(BAR_NUMBERS_AT + 8 * i, true);
  const minute = epochMinute(view.getUint32(MINUTE_AT, true));
  return { symbol, minute, open: number(0), high: number(1), low: number(2), close: number(3), volume: number(4) };
}

/** Of each forecast, all in one buffer; undefined for one that the format cannot hold as it is. */
export function forecastRecords(forecasts: readonly Forecast[]): (Uint8Array | undefined)[] {
  let minute = { text: '', value: Number.NaN };
  let names = { model: '', weightsHash: '', bytes: undefined as Buffer | undefined };
  const bytesOf = ({ asOf, horizonMinutes, model, weightsHash }: Forecast): number => {
    if (asOf !== minute.text) minute = { text: asOf, value: minuteOf(asOf) };
    if (model !== names.model || weightsHash !== names.weightsHash)
      names = { model, weightsHash, bytes: namesOf(model, weightsHash) };
    const holds =
      isMinute(minute.value) &&
      Number.isInteger(horizonMinutes) &&
      horizonMinutes >= 0 &&
      horizonMinutes <= LARGEST_HORIZON;
    return holds && names.bytes !== undefined ? NAMES_AT + names.bytes.length : 0;
  };
  const all = Buffer.allocUnsafeSlow(forecasts.reduce((sum, forecast) => sum + bytesOf(forecast), 0));
  const view = new DataView(all.buffer);
  let end = 0;
  return forecasts.map((forecast) => {
    const at = end;
    end += bytesOf(forecast);
    if (end === at) return undefined;
    const { lastClose, predictedClose, predictedReturn, volatility, interval, latencyMs } = forecast;
    const { level, low, high } = interval;
    view.setUint8(at, RECORD_VERSION);
    view.setUint32(at + MINUTE_AT, minute.value, true);
    view.setUint16(at + HORIZON_AT, forecast.horizonMinutes, true);
    setNumbers(view, at + FORECAST_NUMBERS_AT, [
      lastClose,
      predictedClose,
      predictedReturn,
      volatility,
      level,
      low,
      high,
      latencyMs,
    ]);
    all.set(names.bytes!, at + NAMES_AT);
    return all.subarray(at, end);
  });
}

/** Reads the forecasts of one reader: those of a minute share their texts. */
export class ForecastReader {
  readonly #text = new TextDecoder('utf-8', { fatal: true });
  #asOf = { minute: Number.NaN, text: '' };
  #names = { bytes: new Uint8Array(), model: '', weightsHash: '' };

  /** @returns undefined for bytes of another form */
  read(symbol: string, bytes: Uint8Array): Forecast | undefined {
    if (bytes.length < NAMES_AT + 2 || !this.#readNames(bytes)) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const number = (i: number) => view.getFloat64(FORECAST_NUMBERS_AT + 8 * i, true);
    const minute = view.getUint32(MINUTE_AT, true);
    if (minute !== this.#asOf.minute) this.#asOf = { minute, text: isoOfMinute(epochMinute(minute)) };
    return {
      symbol,
      asOf: this.#asOf.text,
      horizonMinutes: view.getUint16(HORIZON_AT, true),
      lastClose: number(0),
      predictedClose: number(1),
      predictedReturn: number(2),
      volatility: number(3),
      interval: { level: number(4), low: number(5), high: number(6) },
      model: this.#names.model,
      weightsHash: this.#names.weightsHash,
      latencyMs: number(7),
    };
  }

  #readNames(record: Uint8Array): boolean {
    const { bytes: known } = this.#names;
    if (record.length === NAMES_AT + known.length && known.every((byte, i) => byte === record[NAMES_AT + i]))
      return true;
    const bytes = Uint8Array.from(record.subarray(NAMES_AT));
    const second = 1 + bytes[0];
    if (second >= bytes.length || second + 1 + bytes[second] !== bytes.length) return false;
    try {
      const model = this.#text.decode(bytes.subarray(1, second));
      const weightsHash = this.#text.decode(bytes.subarray(second + 1));
      this.#names = { bytes, model, weightsHash };
      return true;
    } catch {
      return false;
    }
  }
}

export const isFiniteOrMissing = (value: number): boolean => Number.isFinite(value) || Number.isNaN(value);
export const isMinute = (minute: number) => Number.isInteger(minute) && minute >= 0 && minute <= LAST_MINUTE;

function setNumbers(view: DataView, at: number, numbers: readonly number[]): void {
  for (let i = 0; i < numbers.length; i++) view.setFloat64(at + 8 * i, numbers[i], true);
}

/** The minute that a text names; NaN when it is not written as we write it, and would not come back the same. */
function minuteOf(text: string): number {
  const minute = Date.parse(text) / MS_PER_MINUTE;
  return isMinute(minute) && isoOfMinute(epochMinute(minute)) === text ? minute : Number.NaN;
}

/** undefined when they are too long */
function namesOf(model: string, weightsHash: string): Buffer | undefined {
  const names = [model, weightsHash].map((name) => Buffer.from(name));
  if (names.some(({ length }) => length > LONGEST_NAME)) return undefined;
  return Buffer.concat(names.flatMap((name) => [Uint8Array.of(name.length), name]));
}
