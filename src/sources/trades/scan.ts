/**
 * Numbers and times straight from bytes: what a line of trades holds, without a string for each. A cursor says where the
 * value ended; what is not plain makes NaN, and the caller falls back to what is slow and knows everything.
 */
import { parseBarTime } from '../../store/index.ts';

export const QUOTE = 0x22;
export const COMMA = 0x2c;
export const NEWLINE = 0x0a;
const DOT = 0x2e;
const MINUS = 0x2d;
const ZERO = 0x30;

/** Exact powers of ten: a whole number below 2^53 divided by one of them is correctly rounded. */
const POWERS = Array.from({ length: 23 }, (_, power) => 10 ** power);

export class Cursor {
  /** Where the value just read ended: the first byte that is not of it. */
  at = 0;
}

/** A decimal number without an exponent. Beyond 15 digits it is read the slow way; NaN for what is none. */
export function readNumber(buffer: Uint8Array, start: number, end: number, cursor: Cursor): number {
  let at = start;
  const negative = buffer[at] === MINUS;
  if (negative) at++;
  let value = 0;
  let digits = 0;
  let decimals = -1;
  for (; at < end; at++) {
    const digit = buffer[at] - ZERO;
    if (digit >= 0 && digit <= 9) {
      value = value * 10 + digit;
      if (value > 0) digits++;
      if (decimals >= 0) decimals++;
    } else if (buffer[at] === DOT && decimals < 0) decimals = 0;
    else break;
  }
  cursor.at = at;
  const exponent = at < end && (buffer[at] | 0x20) === 0x65;
  if (digits > 15 || exponent || decimals > 22) {
    while (at < end && /[0-9eE+.-]/.test(String.fromCharCode(buffer[at]))) at++;
    cursor.at = at;
    return Number(Buffer.from(buffer.buffer, buffer.byteOffset + start, at - start).toString('latin1'));
  }
  if (at - start - (negative ? 1 : 0) - (decimals >= 0 ? 1 : 0) <= 0) return Number.NaN;
  const number = decimals > 0 ? value / POWERS[decimals] : value;
  return negative ? -number : number;
}

/** Seconds, milliseconds, micro- or nanoseconds since 1970 as milliseconds: trades of this century tell by their size. */
export function epochToMs(value: number): number {
  if (value < 1e11) return value * 1000;
  if (value < 1e14) return value;
  return value < 1e17 ? value / 1e3 : value / 1e6;
}

/** The day that a time was read of last: trades come by the thousand on one day. */
let dayBytes = new Uint8Array(0);
let dayMs = Number.NaN;

const two = (buffer: Uint8Array, at: number): number => {
  const tens = buffer[at] - ZERO;
  const ones = buffer[at + 1] - ZERO;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? 10 * tens + ones : Number.NaN;
};

/**
 * Milliseconds since 1970 of a time between two places: a number (see {@link epochToMs}), or ISO 8601 with up to nine
 * decimals. Without an offset it is New York time. NaN for what is none.
 */
export function readTime(buffer: Uint8Array, start: number, end: number, cursor: Cursor): number {
  if (end - start >= 20 && buffer[start + 4] === MINUS && buffer[end - 1] === 0x5a) {
    let same = dayBytes.length === 10;
    for (let i = 0; same && i < 10; i++) same = dayBytes[i] === buffer[start + i];
    if (!same) {
      dayBytes = buffer.slice(start, start + 10);
      const text = Buffer.from(dayBytes).toString('latin1');
      dayMs = Date.parse(`${text}T00:00:00Z`);
      if (!Number.isNaN(dayMs) && new Date(dayMs).toISOString().slice(0, 10) !== text) dayMs = Number.NaN;
    }
    const hours = two(buffer, start + 11);
    const minutes = two(buffer, start + 14);
    const seconds = two(buffer, start + 17);
    let fraction = 0;
    let whole = hours < 24 && minutes < 60 && seconds < 60;
    if (end - start > 20) {
      whole = whole && buffer[start + 19] === DOT;
      fraction = readNumber(buffer, start + 20, end - 1, cursor) / POWERS[Math.min(22, end - 1 - (start + 20))];
      whole = whole && cursor.at === end - 1;
    }
    cursor.at = end;
    return whole ? dayMs + hours * 3_600_000 + minutes * 60_000 + seconds * 1000 + fraction * 1000 : Number.NaN;
  }
  const number = readNumber(buffer, start, end, cursor);
  if (cursor.at === end && !Number.isNaN(number)) return epochToMs(number);
  cursor.at = end;
  return timeOfText(Buffer.from(buffer.buffer, buffer.byteOffset + start, end - start).toString('latin1'));
}

/** The same of a text. */
export function timeOfText(text: string): number {
  const number = Number(text);
  if (text.trim() !== '' && !Number.isNaN(number)) return epochToMs(number);
  // Beyond milliseconds the store's reader of times does not look.
  const fraction = /:\d\d(\.\d+)/.exec(text)?.[1] ?? '';
  const ms = parseBarTime(fraction === '' ? text : text.replace(fraction, ''));
  return ms + (fraction === '' ? 0 : Number(fraction) * 1000);
}

/** A trade's name as a number: itself when it is a whole number, else 53 bits of a hash of the text. */
export function idOf(text: string): number {
  const number = Number(text);
  if (text !== '' && Number.isSafeInteger(number)) return number;
  let high = 0x811c9dc5;
  let low = 0x1b873593;
  for (let i = 0; i < text.length; i++) {
    high = Math.imul(high ^ text.charCodeAt(i), 0x01000193);
    low = Math.imul(low ^ text.charCodeAt(i), 0x85ebca6b) ^ (high >>> 13);
  }
  return (high >>> 0) * 2 ** 21 + (low >>> 11);
}
