/**
 * Bars to windows, for a whole market at once: one pass over the columns finds the runs (see `rows.ts`), a second one
 * fills the matrix and notes the windows. No object is made for a bar, and no row is stored twice.
 *
 * Limits: runs shorter than a window leave no rows; the matrix holds fewer than 2^31 rows.
 */

import { type MarketBars, sessionAt } from '../bars/index.ts';
import { type Allocate, BarcastError, type EpochMinute } from '../base/index.ts';
import type { BuildWindows, Recipe, RowRuns, WindowOptions, WindowSet } from './recipe.ts';
import { isUsable, logReturnOf, type RowFormula, SESSION_MINUTES, sharesOf } from './rows.ts';
import { windowVolatility } from './volatility.ts';

/** Consecutive bars that one stretch of rows is made of. Six numbers a run in one growing array. */
export const RUN_FIELDS = 6; // symbol, first bar, last bar, first row, minute of the session's open, windows
export const FIRST_ROW = 3;
export const WINDOWS = 5;

export interface Runs {
  readonly fields: Int32Array;
  readonly count: number;
  readonly rows: number;
  readonly windows: number;
}

/**
 * The windows of a market, unscaled, sorted by symbol, then asOf. A window is `windowLength` consecutive session
 * minutes of one run that ends at a bar, with at most `recipe.quiet.most` quiet minutes among them. Its target is the
 * last price at asOf + horizon - 1 when the run reaches that far; a run ends at its last bar.
 *
 * Cost: linear in the bars; 4F bytes a row and 36 a window besides the bars themselves.
 *
 * @throws BARCAST_E_INTERNAL when a symbol's bars are not in order of time, each minute once
 */
export const buildWindows: BuildWindows = (bars, recipe, options) => {
  const runs = findRuns(bars, recipe, options);
  const arrays = windowArrays(runs, recipe, (bytes) => new ArrayBuffer(bytes));
  fillRuns(bars, recipe, options, runs.fields, 0, runs.count, arrays, 0);
  return windowSetOf(bars, recipe, runs, arrays);
};

/** What the second pass fills: rows of the matrix, and everything that is known of each window. */
export interface WindowArrays {
  /** `[rows, F]` */
  readonly matrix: Float32Array;
  readonly starts: Int32Array;
  readonly symbol: Int32Array;
  readonly asOf: Int32Array;
  readonly lastClose: Float64Array;
  readonly targetClose: Float64Array;
  readonly volatility: Float64Array;
}

/** Arrays with room for all that the runs hold. */
export function windowArrays({ rows, windows: N }: Runs, recipe: Recipe, allocate: Allocate): WindowArrays {
  const F = recipe.features.length;
  return {
    matrix: new Float32Array(allocate(4 * rows * F), 0, rows * F),
    starts: new Int32Array(allocate(4 * N), 0, N),
    symbol: new Int32Array(allocate(4 * N), 0, N),
    asOf: new Int32Array(allocate(4 * N), 0, N),
    lastClose: new Float64Array(allocate(8 * N), 0, N),
    targetClose: new Float64Array(allocate(8 * N), 0, N),
    volatility: new Float64Array(allocate(8 * N), 0, N),
  };
}

/** The arrays as a set, unscaled. */
export function windowSetOf(
  { symbols, minute }: MarketBars,
  recipe: Recipe,
  runs: Runs,
  arrays: WindowArrays,
): WindowSet {
  const F = recipe.features.length;
  return {
    recipe: recipe.name,
    symbols,
    ...arrays,
    shift: new Float32Array(F),
    gain: new Float32Array(F).fill(1),
    scaleStride: 0,
    runs: rowRuns(runs, minute),
  };
}

/** The second pass over the runs from `firstRun` to `endRun`: their rows, and their windows from number `window` on. */
export function fillRuns(
  bars: MarketBars,
  recipe: Recipe,
  options: WindowOptions,
  runFields: Int32Array,
  firstRun: number,
  endRun: number,
  arrays: WindowArrays,
  window: number,
): void {
  const T = recipe.windowLength;
  const H = recipe.horizonMinutes;
  const { row } = recipe;
  const { most } = recipe.quiet;
  const { minute, close } = bars;
  const { starts, symbol, asOf, lastClose, targetClose, volatility } = arrays;
  const squares = new Float64Array(SESSION_MINUTES);
  const traded = new Float64Array(SESSION_MINUTES);
  let windows = window;

  for (let run = firstRun; run < endRun; run++) {
    const [ofSymbol, first, last, firstRow, sessionOpen] = runFields.subarray(run * RUN_FIELDS, (run + 1) * RUN_FIELDS);
    fillBlank(arrays.matrix, row.blank, firstRow, minute[last] - minute[first] + 1);
    for (let bar = first; bar <= last; bar++) traded[bar - first] = row.volumeOf(sharesOf(bars.volume[bar]));
    fillRows(bars, row, first, last, firstRow, sessionOpen, traded, arrays.matrix, squares);
    const rowAtMinute0 = firstRow - minute[first];
    const [firstAsked, lastAsked] = askedMinutes(minute, recipe, options, first, last);
    const lastMinute = minute[last];
    let tail = first; // the first bar inside the window
    let ahead = first; // the last bar at or before the end of the horizon
    let sumOfSquares = 0;
    for (let bar = first; bar <= last; bar++) {
      const now = minute[bar];
      sumOfSquares += squares[bar - first];
      while (minute[tail] <= now - T) sumOfSquares -= squares[tail++ - first];
      if (now < firstAsked || now > lastAsked || T - (bar - tail + 1) > most) continue;
      const known = now + H <= lastMinute;
      if (known) {
        if (ahead < bar) ahead = bar;
        while (ahead < last && minute[ahead + 1] <= now + H) ahead++;
      }
      const price = close[bar];
      starts[windows] = rowAtMinute0 + now - T + 1;
      symbol[windows] = ofSymbol;
      asOf[windows] = now + 1;
      lastClose[windows] = price;
      targetClose[windows] = known ? close[ahead] : Number.NaN;
      volatility[windows] = windowVolatility(sumOfSquares, T, price, H);
      windows++;
    }
  }
}

/** Minutes of a run from the first to the last that a window may end with, quiet minutes aside. */
function askedMinutes(
  minute: Int32Array,
  { windowLength, horizonMinutes }: Recipe,
  { asOfFrom = Number.NEGATIVE_INFINITY, asOfTo = Number.POSITIVE_INFINITY, requireTarget }: WindowOptions,
  first: number,
  last: number,
): [first: number, last: number] {
  const latest = requireTarget ? minute[last] - horizonMinutes : minute[last];
  return [Math.max(minute[first] + windowLength - 1, asOfFrom - 1), Math.min(latest, asOfTo - 2)];
}

/** How many windows {@link fillRuns} finds in a run. */
function countWindows(minute: Int32Array, recipe: Recipe, options: WindowOptions, first: number, last: number): number {
  const T = recipe.windowLength;
  const { most } = recipe.quiet;
  const [firstAsked, lastAsked] = askedMinutes(minute, recipe, options, first, last);
  let windows = 0;
  let tail = first;
  for (let bar = first; bar <= last && minute[bar] <= lastAsked; bar++) {
    const now = minute[bar];
    if (now < firstAsked) continue;
    while (minute[tail] <= now - T) tail++;
    if (T - (bar - tail + 1) <= most) windows++;
  }
  return windows;
}

/**
 * The rows of a run, and the squares of its bars' log returns; apart from the windows, so that each loop is small.
 * @param traded what a row takes of the volume of each bar
 */
function fillRows(
  { minute, open, high, low, close }: MarketBars,
  row: RowFormula,
  first: number,
  last: number,
  firstRow: number,
  sessionOpen: number,
  traded: Float64Array,
  matrix: Float32Array,
  squares: Float64Array,
): void {
  const F = row.blank.length;
  let at = firstRow * F;
  let next = minute[first]; // the minute of the row at `at`
  let price = open[first];
  for (let bar = first; bar <= last; bar++) {
    const now = minute[bar];
    for (; next < now; next++, at += F) row.quiet(matrix, at, price, next - sessionOpen);
    const logReturn = logReturnOf(close[bar], price);
    price = close[bar];
    row.bar(matrix, at, logReturn, high[bar], low[bar], price, traded[bar - first], now - sessionOpen);
    squares[bar - first] = logReturn * logReturn;
    next++;
    at += F;
  }
}

/** Blank rows: the first one, then copies of twice as many each time. */
function fillBlank(matrix: Float32Array, blank: Float32Array, firstRow: number, rows: number): void {
  const F = blank.length;
  const begin = firstRow * F;
  matrix.set(blank, begin);
  for (let done = 1; done < rows; ) {
    const count = Math.min(done, rows - done);
    matrix.copyWithin(begin + done * F, begin, begin + count * F);
    done += count;
  }
}

function rowRuns({ fields, count }: Runs, minute: Int32Array): RowRuns {
  const column = (numberAt: (at: number) => number) =>
    Int32Array.from({ length: count }, (_, run) => numberAt(run * RUN_FIELDS));
  return {
    symbol: column((at) => fields[at]),
    firstRow: column((at) => fields[at + FIRST_ROW]),
    firstMinute: column((at) => minute[fields[at + 1]]),
  };
}

/** The first pass: runs that are long enough for a window and hold one that was asked for. */
export function findRuns(
  bars: MarketBars,
  recipe: Recipe,
  options: WindowOptions,
  firstSymbol = 0,
  endSymbol = bars.offsets.length - 1,
): Runs {
  const T = recipe.windowLength;
  const { longestRun } = recipe.quiet;
  const shortestRun = T + (options.requireTarget ? recipe.horizonMinutes : 0);
  const { minute, open, high, low, close, volume } = bars;
  const from = options.asOfFrom ?? Number.NEGATIVE_INFINITY;
  const to = options.asOfTo ?? Number.POSITIVE_INFINITY;
  let fields = new Int32Array(1024 * RUN_FIELDS);
  let count = 0;
  let rows = 0;
  let windows = 0;

  for (let ofSymbol = firstSymbol; ofSymbol < endSymbol; ofSymbol++) {
    let first = -1;
    let last = -1;
    let sessionOpen = 0;
    let sessionClose = 0;
    const endRun = () => {
      if (first < 0) return;
      const length = minute[last] - minute[first] + 1;
      const earliest = minute[first] + T;
      if (length >= shortestRun && minute[last] + 1 >= from && earliest < to) {
        if (count * RUN_FIELDS === fields.length) {
          const grown = new Int32Array(2 * fields.length);
          grown.set(fields);
          fields = grown;
        }
        const held = countWindows(minute, recipe, options, first, last);
        fields.set([ofSymbol, first, last, rows, sessionOpen, held], count++ * RUN_FIELDS);
        rows += length;
        windows += held;
      }
      first = -1;
    };
    let previous = Number.NEGATIVE_INFINITY;
    for (let bar = bars.offsets[ofSymbol]; bar < bars.offsets[ofSymbol + 1]; bar++) {
      const now = minute[bar];
      if (now <= previous) {
        throw new BarcastError(
          'BARCAST_E_INTERNAL',
          `bars of ${bars.symbols[ofSymbol]} are not in order of time at row ${bar}`,
          'sort them by symbol and minute and keep each minute once',
        );
      }
      previous = now;
      if (now < sessionOpen || now >= sessionClose) {
        endRun();
        const session = sessionAt(now as EpochMinute);
        if (session === undefined) continue;
        sessionOpen = session.open;
        sessionClose = session.close;
      }
      if (!isUsable(open[bar], high[bar], low[bar], close[bar], volume[bar])) {
        endRun();
        continue;
      }
      if (first >= 0 && now - minute[last] - 1 > longestRun) endRun();
      if (first < 0) first = bar;
      last = bar;
    }
    endRun();
  }
  return { fields, count, rows, windows };
}
