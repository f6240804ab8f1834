/** Which symbols and which span of time a command is about, read from its options. */
import { existsSync, readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { dayOf, parseSymbols, SP500 } from '../bars/index.ts';
import {
  BarcastError,
  type DayString,
  type EpochMinute,
  epochMinute,
  epochMs,
  msToMinute,
  parseDay,
} from '../base/index.ts';

export interface RangeOptions {
  readonly from?: string;
  readonly to?: string;
}

export interface SymbolOptions {
  readonly symbols?: string;
}

/** A half-open span; an end that was not given is open. */
export interface MinuteRange {
  readonly from?: EpochMinute;
  readonly to?: EpochMinute;
}

export const withRange = (target: Command): Command =>
  target
    .addOption(new Option('--from <day>', 'first day (New York, YYYY-MM-DD) or instant (ISO 8601)'))
    .addOption(new Option('--to <day>', 'last day, itself included, or first instant left out'));

export const withSymbols = (
  target: Command,
  description = 'sp500, a list such as AAPL,BRK.B, or @FILE with one a line',
): Command => target.addOption(new Option('--symbols <list>', description));

/** First minute of a day in New York. */
export function startOfDay(day: DayString): EpochMinute {
  const utc = msToMinute(epochMs(Date.parse(day)));
  // Midnight in New York is four hours after UTC's in summer time and five in winter.
  const summer = epochMinute(utc + 240);
  return dayOf(summer) === day ? summer : epochMinute(utc + 300);
}

const nextDay = (day: DayString): DayString =>
  new Date(Date.parse(day) + 86_400_000).toISOString().slice(0, 10) as DayString;

/** @throws BARCAST_E_DATE */
function instantOf(text: string): EpochMinute | undefined {
  if (!text.includes('T')) return undefined;
  const ms = Date.parse(/[Zz]$|[+-]\d\d:?\d\d$/.test(text) ? text : 'invalid');
  if (Number.isNaN(ms))
    throw new BarcastError(
      'BARCAST_E_DATE',
      `'${text}' is not an instant`,
      'write it as ISO 8601 with its offset, as in 2019-12-24T15:30:00Z',
    );
  return msToMinute(epochMs(ms));
}

/** A day as a whole, `--to` included; an instant as it stands. @throws BARCAST_E_DATE */
export function rangeOf({ from, to }: RangeOptions): MinuteRange {
  const range = {
    ...(from === undefined ? {} : { from: instantOf(from) ?? startOfDay(parseDay(from)) }),
    ...(to === undefined ? {} : { to: instantOf(to) ?? startOfDay(nextDay(parseDay(to))) }),
  };
  if (range.from !== undefined && range.to !== undefined && range.from >= range.to) {
    throw new BarcastError('BARCAST_E_DATE', `the range from ${from} to ${to} is empty`, 'let --from be before --to');
  }
  return range;
}

/** A range with both ends, as a replay needs it. @throws BARCAST_E_USAGE, BARCAST_E_DATE */
export function closedRangeOf(options: RangeOptions): Required<MinuteRange> {
  const { from, to } = rangeOf(options);
  if (from !== undefined && to !== undefined) return { from, to };
  throw new BarcastError('BARCAST_E_USAGE', 'a replay needs both --from and --to', 'give them as days, YYYY-MM-DD');
}

/** An instant for `--as-of`: ISO 8601, or a day's end. @throws BARCAST_E_DATE */
export function asOfMinute(text: string): EpochMinute {
  return instantOf(text) ?? startOfDay(nextDay(parseDay(text)));
}

/** @throws BARCAST_E_SYMBOL, BARCAST_E_FILE_MISSING */
export function symbolsOf({ symbols }: SymbolOptions): readonly string[] | undefined {
  if (symbols === undefined) return undefined;
  if (symbols.toLowerCase() === 'sp500') return SP500;
  if (!symbols.startsWith('@')) return parseSymbols(symbols);
  const path = symbols.slice(1);
  if (!existsSync(path))
    throw new BarcastError(
      'BARCAST_E_FILE_MISSING',
      `the list of symbols '${path}' does not exist`,
      'name a text file with one symbol a line after the @',
    );
  const lines = readFileSync(path, 'utf8')
    .split(/\r?\n/)
    .map((line) => line.replace(/#.*/, '').trim());
  return parseSymbols(lines.filter((line) => line !== '').join(','));
}
