/**
 * A table of closing prices without times, as in the public data set `data_stocks.csv`: a column a symbol, a row a
 * minute, from one session's open on. Its rows go from 09:30 to 16:00, both included, so that a session of 390 minutes
 * has 391 rows, and the last one is the closing print. With the first day known the exchange's calendar gives every
 * row its minute.
 *
 * Whether that is so, the prices tell: they move more over a night than over a minute. {@link nightRatio} measures it,
 * and a table whose rows lie otherwise is refused. A column that is ahead of the others is put back
 * (`closes-leads.ts`): its rows hold the future.
 */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { type MarketBars, nextSession } from '../bars/index.ts';
import { BarcastError, type EpochMinute, epochMinute } from '../base/index.ts';

export interface ClosesTable {
  readonly symbols: readonly string[];
  /** `[rows]` of each symbol. */
  readonly closes: readonly Float64Array[];
  readonly rows: number;
}

/** Reads CSV or CSV.gz with a line of names. @throws BARCAST_E_FILE_FORMAT, BARCAST_E_FILE_MISSING */
export function readClosesTable(path: string): ClosesTable {
  const refuse = (what: string, cause?: unknown): never => {
    const remedy = 'give a CSV with a line of symbols and a row of closes a minute';
    throw new BarcastError('BARCAST_E_FILE_FORMAT', `${path}: ${what}`, remedy, { cause });
  };
  const bytes = readFileSync(path);
  let text: string;
  try {
    text = (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8');
  } catch (error) {
    return refuse('it is not whole', error);
  }
  const lines = text.split(/\r?\n/).filter((line) => line !== '');
  const symbols = (lines[0] ?? '').split(',').map((name) => name.trim());
  if (lines.length < 2 || symbols.some((name) => name === '') || new Set(symbols).size < symbols.length) {
    return refuse('it has no rows, or no names of its own for its columns');
  }
  const rows = lines.length - 1;
  const closes = symbols.map(() => new Float64Array(rows));
  for (let row = 0; row < rows; row++) {
    const cells = lines[row + 1].split(',');
    if (cells.length !== symbols.length) refuse(`line ${row + 2} has ${cells.length} cells`);
    for (const [s, cell] of cells.entries()) {
      const price = Number(cell);
      if (cell.trim() === '' || !(price > 0) || !Number.isFinite(price)) refuse(`line ${row + 2} holds '${cell}'`);
      closes[s][row] = price;
    }
  }
  return { symbols, closes, rows };
}

/** `[rows]` the minute of each row: sessions from the first one at or after `from` on, each with its closing print. */
export function minutesOfRows(rows: number, from: EpochMinute): Int32Array {
  const minutes = new Int32Array(rows);
  let row = 0;
  for (let session = nextSession(from); row < rows; session = nextSession(session.close)) {
    for (let minute: number = session.open; minute <= session.close && row < rows; minute++) minutes[row++] = minute;
  }
  return minutes;
}

/** How many times further prices move, on average, from a session to the next than from a row to the next within one. */
export function nightRatio({ closes, rows }: ClosesTable, minutes: Int32Array): number {
  const sums = { night: 0, nights: 0, day: 0, steps: 0 };
  for (const column of closes) {
    for (let row = 1; row < rows; row++) {
      const move = Math.abs(Math.log(column[row] / column[row - 1]));
      if (minutes[row] === minutes[row - 1] + 1) {
        sums.day += move;
        sums.steps++;
      } else {
        sums.night += move;
        sums.nights++;
      }
    }
  }
  return sums.nights === 0 || sums.day === 0 ? Number.NaN : sums.night / sums.nights / (sums.day / sums.steps);
}

/** Below this the rows cannot be sessions with nights between them. */
const LEAST_NIGHT_RATIO = 6;

/**
 * The table as bars: every price of a minute is its close, because nothing else is known, and no volume is given.
 * @param leads rows that each column is ahead of the others; its price of a minute then stands so many rows before, and
 *   a session's first minutes have none
 * @throws BARCAST_E_FILE_FORMAT when the prices show no nights where the calendar has them
 */
export function barsOfCloses(table: ClosesTable, from: EpochMinute, leads?: readonly number[]): MarketBars {
  const minutes = minutesOfRows(table.rows, from);
  const ratio = nightRatio(table, minutes);
  if (ratio < LEAST_NIGHT_RATIO) {
    throw new BarcastError(
      'BARCAST_E_FILE_FORMAT',
      `prices move only ${ratio.toFixed(1)} times as far over a night as over a minute: the rows are not sessions from that day on`,
      'name the first day of the table with --first-day',
    );
  }
  const order = table.symbols.map((_, s) => s).sort((a, b) => (table.symbols[a] < table.symbols[b] ? -1 : 1));
  const close = new Float64Array(order.length * table.rows);
  const minute = new Int32Array(order.length * table.rows);
  const offsets = [0];
  let count = 0;
  for (const s of order) {
    const lead = leads?.[s] ?? 0;
    for (let row = Math.max(0, lead); row < table.rows + Math.min(0, lead); row++) {
      const source = row - lead;
      if (minutes[row] - minutes[source] !== lead) continue; // of another session
      close[count] = table.closes[s][source];
      minute[count++] = minutes[row];
    }
    offsets.push(count);
  }
  const prices = close.slice(0, count);
  return {
    symbols: order.map((s) => table.symbols[s]),
    offsets: Int32Array.from(offsets),
    minute: minute.slice(0, count),
    open: prices,
    high: prices,
    low: prices,
    close: prices,
    volume: new Float64Array(count).fill(Number.NaN),
  };
}

/** Root mean squared error of a forecaster over the symbol's range of closes in the whole table, symbol by symbol. */
export interface RangeNormalized {
  readonly bySymbol: Readonly<Record<string, number>>;
  readonly mean: number;
  readonly median: number;
  /** Over one range of all symbols together, as the reference project has it. */
  readonly oneRange: number;
}

/** @param squared of each symbol: mean squared error in currency */
export function normalizeByRange({ symbols, closes }: ClosesTable, squared: readonly number[]): RangeNormalized {
  const ranges = closes.map((column) => {
    const low = column.reduce((a, b) => Math.min(a, b));
    return { low, high: column.reduce((a, b) => Math.max(a, b)) };
  });
  const each = squared.map((value, s) => Math.sqrt(value) / (ranges[s].high - ranges[s].low));
  const sorted = [...each].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const all = Math.max(...ranges.map(({ high }) => high)) - Math.min(...ranges.map(({ low }) => low));
  return {
    bySymbol: Object.fromEntries(symbols.map((symbol, s) => [symbol, each[s]])),
    mean: each.reduce((a, b) => a + b) / each.length,
    median: (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2,
    oneRange: Math.sqrt(squared.reduce((a, b) => a + b) / squared.length) / all,
  };
}

/** Persistence over so many rows of the whole table, rows taken one after another as they stand, nights among them. */
export function persistenceOfRows(table: ClosesTable, horizonRows: number): RangeNormalized {
  const squared = table.closes.map((column) => {
    let sum = 0;
    for (let row = 0; row + horizonRows < column.length; row++) sum += (column[row + horizonRows] - column[row]) ** 2;
    return sum / (column.length - horizonRows);
  });
  return normalizeByRange(table, squared);
}

/** The first minute of the last `share` of the rows. */
export const startOfLast = (minutes: Int32Array, share: number): EpochMinute =>
  epochMinute(minutes[Math.floor((1 - share) * minutes.length)]);
