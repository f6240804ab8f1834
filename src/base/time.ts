/** Units of time, as nominal types so that a minute is never taken for a millisecond. All times are UTC. */
import { BarcastError } from './errors.ts';

declare const unit: unique symbol;

/** Milliseconds since 1970-01-01T00:00:00Z. */
export type EpochMs = number & { readonly [unit]: 'EpochMs' };

/** Whole minutes since 1970-01-01T00:00:00Z: the open of a one-minute bar. Fits an int32 until the year 6053. */
export type EpochMinute = number & { readonly [unit]: 'EpochMinute' };

/** A calendar date in New York, `YYYY-MM-DD`. */
export type DayString = string & { readonly [unit]: 'DayString' };

export const MS_PER_MINUTE = 60_000;

export const epochMs = (value: number): EpochMs => value as EpochMs;
export const epochMinute = (value: number): EpochMinute => value as EpochMinute;
export const minuteToMs = (minute: EpochMinute): EpochMs => (minute * MS_PER_MINUTE) as EpochMs;
/** The minute that holds the instant. */
export const msToMinute = (ms: EpochMs): EpochMinute => Math.floor(ms / MS_PER_MINUTE) as EpochMinute;
export const isoOf = (ms: EpochMs): string => new Date(ms).toISOString();
export const isoOfMinute = (minute: EpochMinute): string => isoOf(minuteToMs(minute));

/** Reads `YYYY-MM-DD`, refusing dates that do not exist. @throws BARCAST_E_DATE */
export function parseDay(text: string): DayString {
  const valid =
    /^\d{4}-\d{2}-\d{2}$/.test(text) &&
    !Number.isNaN(Date.parse(text)) &&
    new Date(text).toISOString().startsWith(text);
  if (!valid)
    throw new BarcastError('BARCAST_E_DATE', `'${text}' is not a date`, 'write it as YYYY-MM-DD, as in 2019-12-24');
  return text as DayString;
}

/** What tells the time. Live code takes one, so that tests and the simulated exchange can set it. */
export interface Clock {
  now(): EpochMs;
}

export const systemClock: Clock = { now: () => Date.now() as EpochMs };
