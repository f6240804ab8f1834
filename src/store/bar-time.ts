/**
 * Reads the time of a bar as files write it: with an offset or `Z`, as seconds or milliseconds since 1970, or without
 * either, which Yahoo tools mean as New York time.
 */

import { newYorkOffsetMinutes } from '../bars/index.ts';
import { epochMinute, MS_PER_MINUTE } from '../base/index.ts';

const NUMBER = /^-?\d+(?:\.\d+)?$/;
const TIMESTAMP = /^(\d{4}-\d\d-\d\d)[T ](\d\d?):(\d\d)(?::(\d\d(?:\.\d+)?))?\s*(Z|UTC|[+-]\d\d(?::?\d\d)?)?$/i;
/** As seconds this is the year 5138, as milliseconds 1973. */
const LARGEST_SECONDS = 1e11;
/** Larger ones are micro- or nanoseconds, which no Yahoo tool writes. */
const LARGEST_MILLISECONDS = 1e14;

/** Milliseconds since 1970 UTC, rounded down to whole ones; NaN for text that is no time of day on a date. */
export function parseBarTime(text: string): number {
  const trimmed = text.trim();
  if (NUMBER.test(trimmed)) {
    const value = Number(trimmed);
    if (Math.abs(value) >= LARGEST_MILLISECONDS) return Number.NaN;
    return Math.floor(Math.abs(value) < LARGEST_SECONDS ? value * 1000 : value);
  }
  const match = TIMESTAMP.exec(trimmed);
  if (match === null) return Number.NaN;
  const [, day, hours, minutes, seconds = '0', zone] = match;
  const midnight = Date.parse(`${day}T00:00:00Z`);
  const valid = new Date(midnight || 0).toISOString().startsWith(day!) && Number(hours) < 24 && Number(minutes) < 60;
  if (!valid || Number(seconds) >= 60) return Number.NaN;
  const wall = midnight + (Number(hours) * 60 + Number(minutes)) * MS_PER_MINUTE + Math.floor(Number(seconds) * 1000);
  return wall - (zone === undefined ? newYorkOffset(wall) : offsetOf(zone)) * MS_PER_MINUTE;
}

function offsetOf(zone: string): number {
  if (/^(?:Z|UTC)$/i.test(zone)) return 0;
  const digits = zone.slice(1).replace(':', '');
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2) || 0);
  return zone.startsWith('-') ? -minutes : minutes;
}

/** New York's offset at a wall-clock time; of an hour that comes twice, the first. */
function newYorkOffset(wallMs: number): number {
  const wallMinute = Math.floor(wallMs / MS_PER_MINUTE);
  const summer = -240;
  return newYorkOffsetMinutes(epochMinute(wallMinute - summer)) === summer ? summer : -300;
}
