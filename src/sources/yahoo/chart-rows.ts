/**
 * From a chart answer to rows. The long columns are checked here, entry by entry and in one pass; the rest of the
 * answer is left to yahoo-finance2's schema, which would take ten times as long for the columns.
 */
import { type EpochMs, epochMs } from '../../base/index.ts';
import type { CorporateEvent } from '../../store/index.ts';
import type { RawBars } from '../source.ts';
import { ChartFailure } from './failure.ts';

const FIELDS = ['open', 'high', 'low', 'close', 'volume'] as const;
type Field = (typeof FIELDS)[number];

/** The columns of an answer; all of one length. */
export interface ChartColumns extends Record<Field, Float64Array> {
  /** Unix seconds. */
  readonly timestamp: Float64Array;
}

/** As much of an answer's shape as is looked at here. */
interface ChartBody {
  readonly chart?: {
    readonly result?: readonly {
      timestamp?: unknown;
      readonly indicators?: { quote?: unknown };
    }[];
  };
}

/**
 * Takes the columns out of an answer and leaves the rest, with a row as an example, for the schema.
 * @throws ChartFailure naming the field
 */
export function takeColumns(body: ChartBody): ChartColumns | undefined {
  const result = body.chart?.result?.[0];
  const quote = (result?.indicators?.quote as readonly Record<string, unknown>[] | undefined)?.[0];
  if (result === undefined || quote === undefined || result.indicators === undefined) return undefined;
  if (result.timestamp === undefined && Object.keys(quote).length === 0) return undefined;
  const timestamp = numbersOf('timestamp', result.timestamp, false);
  const columns: { [field in Field]?: Float64Array } = {};
  for (const field of FIELDS) {
    const name = `indicators.quote.0.${field}`;
    const values = numbersOf(name, quote[field], true);
    if (values.length !== timestamp.length) {
      throw new ChartFailure('format', `${name} has ${values.length} values for ${timestamp.length} times`);
    }
    columns[field] = values;
  }
  const example = Object.entries(quote).map(([name, values]) => [
    name,
    Array.isArray(values) ? values.slice(0, 1) : values,
  ]);
  result.timestamp = (result.timestamp as unknown[]).slice(0, 1);
  result.indicators.quote = [Object.fromEntries(example)];
  return { timestamp, ...(columns as Record<Field, Float64Array>) };
}

function numbersOf(name: string, values: unknown, nullable: boolean): Float64Array {
  if (values === undefined) throw new ChartFailure('format', `${name} is missing`);
  if (!Array.isArray(values)) throw new ChartFailure('format', `${name} is no list`);
  const numbers = new Float64Array(values.length);
  for (let i = 0; i < numbers.length; i++) {
    const value: unknown = values[i];
    if (typeof value === 'number') numbers[i] = value;
    else if (value === null && nullable) numbers[i] = Number.NaN;
    else throw new ChartFailure('format', `${name}.${i} is ${JSON.stringify(value)} instead of a number`);
  }
  return numbers;
}

const NO_ROWS = new Float64Array(0);

export function rowsOf(
  symbol: string,
  askedAt: EpochMs,
  columns: ChartColumns | undefined,
  events: readonly CorporateEvent[],
): RawBars {
  const timeMs = columns?.timestamp ?? NO_ROWS;
  for (let i = 0; i < timeMs.length; i++) timeMs[i]! *= 1000;
  const { open = NO_ROWS, high = NO_ROWS, low = NO_ROWS, close = NO_ROWS, volume = NO_ROWS } = columns ?? {};
  return { symbol, askedAt: epochMs(askedAt), timeMs, open, high, low, close, volume, events };
}

/** What yahoo-finance2 makes of `events`. */
export interface ChartEvents {
  readonly dividends?: Readonly<Record<string, { readonly date: Date; readonly amount: number }>>;
  readonly splits?: Readonly<
    Record<string, { readonly date: Date; readonly numerator: number; readonly denominator: number }>
  >;
}

export function eventsOf({ dividends = {}, splits = {} }: ChartEvents = {}): CorporateEvent[] {
  return [
    ...Object.values(dividends).map(
      ({ date, amount }): CorporateEvent => ({ kind: 'dividend', timeMs: epochMs(date.getTime()), value: amount }),
    ),
    ...Object.values(splits).map(
      ({ date, numerator, denominator }): CorporateEvent => ({
        kind: 'split',
        timeMs: epochMs(date.getTime()),
        value: numerator / denominator,
      }),
    ),
  ];
}
