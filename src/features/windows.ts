/**
 * Bars to windows, for a whole market at once: one pass over the columns finds the runs (see `rows.ts`), a second one
 * fills the matrix and notes the windows. No object is made for a bar, and no row is stored twice.
 *
 * Limits: runs shorter than a window leave no rows; the matrix holds fewer than 2^31 rows.
 */

import type { MarketBars } from '../bars/index.ts';
import type { Allocate } from '../base/index.ts';
import { FLOW_NUMBERS } from './flow-rows.ts';
import type { BuildWindows, Recipe, RowRuns, WindowOptions, WindowSet } from './recipe.ts';
import { SESSION_MINUTES } from './rows.ts';
import { askedMinutes, FIRST_ROW, findRuns, RUN_FIELDS, type Runs, WINDOWS } from './runs.ts';
import { unscaled } from './scaling.ts';
import { windowVolatility } from './volatility.ts';

/**
 * The windows of a market, unscaled, sorted by symbol, then asOf. A window is `windowLength` consecutive session
 * minutes of one run that ends at a bar, with at most `recipe.quiet.most` quiet minutes among them. Its target is the
 * last price at asOf + horizon - 1 when the run reaches that far; a run ends at its last bar.
 *
 * Cost: linear in the bars; 4 bytes a number of a row and 36 a window besides the bars themselves.
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
  /** `[rows, columns]` */
  readonly matrix: Float32Array;
  /** `[rows, 2]`, not filled here; empty for a recipe without flows. */
  readonly flows: Float32Array;
  readonly starts: Int32Array;
  readonly symbol: Int32Array;
  readonly asOf: Int32Array;
  readonly lastClose: Float64Array;
  readonly targetClose: Float64Array;
  readonly volatility: Float64Array;
}

/** Arrays with room for all that the runs hold; {@link fillRuns} fills all of it. */
export function windowArrays({ rows, windows: N }: Runs, recipe: Recipe, allocate: Allocate): WindowArrays {
  const flows = recipe.flows ? rows * FLOW_NUMBERS : 0;
  const whole = () => new Int32Array(allocate(4 * N, true), 0, N);
  const numbers = () => new Float64Array(allocate(8 * N, true), 0, N);
  return {
    matrix: new Float32Array(allocate(4 * rows * recipe.columns, true), 0, rows * recipe.columns),
    flows: new Float32Array(allocate(4 * flows, true), 0, flows),
    starts: whole(),
    symbol: whole(),
    asOf: whole(),
    lastClose: numbers(),
    targetClose: numbers(),
    volatility: numbers(),
  };
}

/** The arrays as a set, unscaled. */
export function windowSetOf(
  { symbols, minute }: MarketBars,
  recipe: Recipe,
  runs: Runs,
  arrays: WindowArrays,
): WindowSet {
  return {
    recipe: recipe.name,
    symbols,
    ...arrays,
    scaling: unscaled(recipe.features.length, recipe.columns),
    scales: new Float32Array(0),
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
  const logReturns = new Float64Array(SESSION_MINUTES);
  let windows = window;
  for (let run = firstRun; run < endRun; run++) {
    const at = run * RUN_FIELDS;
    const first = runFields[at + 1];
    const last = runFields[at + 2];
    const firstRow = runFields[at + FIRST_ROW];
    recipe.row.run(arrays.matrix, firstRow * recipe.columns, bars, first, last, runFields[at + 4], logReturns);
    fillWindows(bars, recipe, options, runFields[at], first, last, firstRow, logReturns, arrays, windows);
    windows += runFields[at + WINDOWS];
  }
}

/**
 * The windows of a run, from number `window` on; apart from the rows, so that each loop is small.
 * @param logReturns of its bars, from place 0 on
 */
function fillWindows(
  { minute, close }: MarketBars,
  recipe: Recipe,
  options: WindowOptions,
  ofSymbol: number,
  first: number,
  last: number,
  firstRow: number,
  logReturns: Float64Array,
  { starts, symbol, asOf, lastClose, targetClose, volatility }: WindowArrays,
  window: number,
): void {
  const T = recipe.windowLength;
  const H = recipe.horizonMinutes;
  const { most } = recipe.quiet;
  const [firstAsked, lastAsked] = askedMinutes(minute, recipe, options, first, last);
  const rowAtMinute0 = firstRow - minute[first];
  const lastMinute = minute[last];
  let windows = window | 0;
  let tail = first | 0; // the first bar inside the window
  let ahead = first | 0; // the last bar at or before the end of the horizon
  let sumOfSquares = 0;
  for (let bar = first | 0; bar <= last; bar++) {
    const now = minute[bar];
    const entered = logReturns[bar - first];
    sumOfSquares += entered * entered;
    for (; minute[tail] <= now - T; tail++) {
      const left = logReturns[tail - first];
      sumOfSquares -= left * left;
    }
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

function rowRuns({ fields, count }: Runs, minute: Int32Array): RowRuns {
  const column = (numberAt: (at: number) => number) =>
    Int32Array.from({ length: count }, (_, run) => numberAt(run * RUN_FIELDS));
  return {
    symbol: column((at) => fields[at]),
    firstRow: column((at) => fields[at + FIRST_ROW]),
    firstMinute: column((at) => minute[fields[at + 1]]),
  };
}
