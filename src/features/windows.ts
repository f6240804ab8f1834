/**
 * Bars to windows, for a whole market at once: one pass over the columns finds the runs (see `rows.ts`), a second one
 * fills the matrix and notes the windows. No object is made for a bar, and no row is stored twice.
 *
 * Limits: runs shorter than a window leave no rows; the matrix holds fewer than 2^31 rows.
 */

import { type MarketBars, sessionAt } from '../bars/index.ts';
import { BarcastError, type EpochMinute } from '../base/index.ts';
import type { BuildWindows, Recipe, RowRuns, WindowOptions } from './recipe.ts';
import { isUsable, logReturnOf, sharesOf } from './rows.ts';
import { windowVolatility } from './volatility.ts';

/** Consecutive bars that one stretch of rows is made of. Five numbers a run in one growing array. */
const RUN_FIELDS = 5; // symbol, first bar, last bar, first row, minute of the session's open

interface Runs {
  readonly fields: Int32Array;
  readonly count: number;
  readonly rows: number;
  /** No fewer than the windows that the runs hold. */
  readonly windowsAtMost: number;
  readonly longestInBars: number;
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
  const T = recipe.windowLength;
  const F = recipe.features.length;
  const H = recipe.horizonMinutes;
  const { row } = recipe;
  const { most } = recipe.quiet;
  const { minute, open, high, low, close, volume } = bars;
  const from = options.asOfFrom ?? Number.NEGATIVE_INFINITY;
  const to = options.asOfTo ?? Number.POSITIVE_INFINITY;

  const matrix = new Float32Array(runs.rows * F);
  const starts = new Int32Array(runs.windowsAtMost);
  const symbol = new Int32Array(runs.windowsAtMost);
  const asOf = new Int32Array(runs.windowsAtMost);
  const lastClose = new Float64Array(runs.windowsAtMost);
  const targetClose = new Float64Array(runs.windowsAtMost);
  const volatility = new Float64Array(runs.windowsAtMost);
  const squares = new Float64Array(runs.longestInBars);
  let windows = 0;

  for (let run = 0; run < runs.count; run++) {
    const [ofSymbol, first, last, firstRow, sessionOpen] = runs.fields.subarray(
      run * RUN_FIELDS,
      (run + 1) * RUN_FIELDS,
    );
    const rowAtMinute0 = firstRow - minute[first];
    const firstFullMinute = minute[first] + T - 1;
    let previousMinute = minute[first] - 1;
    let previousClose = open[first];
    let tail = first; // the first bar inside the window
    let ahead = first; // the last bar at or before the end of the horizon
    let sumOfSquares = 0;
    for (let bar = first; bar <= last; bar++) {
      const now = minute[bar];
      const price = close[bar];
      for (let m = previousMinute + 1; m < now; m++) {
        row.quiet(matrix, (rowAtMinute0 + m) * F, previousClose, m - sessionOpen);
      }
      const logReturn = logReturnOf(price, previousClose);
      const at = (rowAtMinute0 + now) * F;
      row.bar(matrix, at, logReturn, high[bar], low[bar], price, sharesOf(volume[bar]), now - sessionOpen);
      previousMinute = now;
      previousClose = price;

      const square = logReturn * logReturn;
      squares[bar - first] = square;
      sumOfSquares += square;
      while (minute[tail] <= now - T) sumOfSquares -= squares[tail++ - first];
      if (now < firstFullMinute || T - (bar - tail + 1) > most || now + 1 < from || now + 1 >= to) continue;
      const known = now + H <= minute[last];
      if (!known && options.requireTarget) continue;
      if (known) {
        if (ahead < bar) ahead = bar;
        while (ahead < last && minute[ahead + 1] <= now + H) ahead++;
      }
      starts[windows] = rowAtMinute0 + now - T + 1;
      symbol[windows] = ofSymbol;
      asOf[windows] = now + 1;
      lastClose[windows] = price;
      targetClose[windows] = known ? close[ahead] : Number.NaN;
      volatility[windows] = windowVolatility(sumOfSquares, T, price, H);
      windows++;
    }
  }

  const exact = windows === runs.windowsAtMost;
  return {
    recipe: recipe.name,
    symbols: bars.symbols,
    matrix,
    starts: exact ? starts : starts.slice(0, windows),
    symbol: exact ? symbol : symbol.slice(0, windows),
    asOf: exact ? asOf : asOf.slice(0, windows),
    lastClose: exact ? lastClose : lastClose.slice(0, windows),
    targetClose: exact ? targetClose : targetClose.slice(0, windows),
    volatility: exact ? volatility : volatility.slice(0, windows),
    shift: new Float32Array(F),
    gain: new Float32Array(F).fill(1),
    scaleStride: 0,
    runs: rowRuns(runs, minute),
  };
};

function rowRuns({ fields, count }: Runs, minute: Int32Array): RowRuns {
  const column = (numberAt: (at: number) => number) =>
    Int32Array.from({ length: count }, (_, run) => numberAt(run * RUN_FIELDS));
  return {
    symbol: column((at) => fields[at]),
    firstRow: column((at) => fields[at + 3]),
    firstMinute: column((at) => minute[fields[at + 1]]),
  };
}

/** The first pass: runs that are long enough for a window and hold one that was asked for. */
function findRuns(bars: MarketBars, recipe: Recipe, options: WindowOptions): Runs {
  const T = recipe.windowLength;
  const { longestRun } = recipe.quiet;
  const shortestRun = T + (options.requireTarget ? recipe.horizonMinutes : 0);
  const { minute, open, high, low, close, volume } = bars;
  const from = options.asOfFrom ?? Number.NEGATIVE_INFINITY;
  const to = options.asOfTo ?? Number.POSITIVE_INFINITY;
  let fields = new Int32Array(1024 * RUN_FIELDS);
  let count = 0;
  let rows = 0;
  let windowsAtMost = 0;
  let longestInBars = 0;

  for (let ofSymbol = 0; ofSymbol < bars.symbols.length; ofSymbol++) {
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
        fields.set([ofSymbol, first, last, rows, sessionOpen], count++ * RUN_FIELDS);
        rows += length;
        windowsAtMost += Math.min(last - first + 1, length - shortestRun + 1);
        longestInBars = Math.max(longestInBars, last - first + 1);
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
  return { fields, count, rows, windowsAtMost, longestInBars };
}
