/**
 * Consecutive usable bars of one symbol, which one stretch of rows is made of (see `rows.ts`): the first pass over the
 * bars, which counts what the second one fills.
 */
import { type MarketBars, sessionAt } from '../bars/index.ts';
import { BarcastError, type EpochMinute } from '../base/index.ts';
import type { Recipe, WindowOptions } from './recipe.ts';
import { isUsable } from './rows.ts';

/** Six numbers a run: symbol, first bar, last bar, first row, minute of the session's open, windows. */
export const RUN_FIELDS = 6;
export const FIRST_ROW = 3;
export const WINDOWS = 5;

export interface Runs {
  readonly fields: Int32Array;
  readonly count: number;
  readonly rows: number;
  readonly windows: number;
}

/** Runs that are long enough for a window and hold one that was asked for. */
export function findRuns(
  bars: MarketBars,
  recipe: Recipe,
  options: WindowOptions,
  firstSymbol = 0,
  endSymbol = bars.offsets.length - 1,
): Runs {
  const { longestRun } = recipe.quiet;
  const { minute, open, high, low, close, volume } = bars;
  const runs = new RunList(minute, recipe, options);
  for (let ofSymbol = firstSymbol; ofSymbol < endSymbol; ofSymbol++) {
    let first = -1; // of the run that goes on, if one does
    let sessionOpen = 0;
    let sessionClose = 0;
    let previous = Number.NEGATIVE_INFINITY;
    const end = bars.offsets[ofSymbol + 1];
    for (let bar = bars.offsets[ofSymbol]; bar < end; bar++) {
      const now = minute[bar];
      if (now <= previous) throw outOfOrder(bars, ofSymbol, bar);
      const usable = isUsable(open[bar], high[bar], low[bar], close[bar], volume[bar]);
      const inSession = now >= sessionOpen && now < sessionClose;
      if (first >= 0 && !(usable && inSession && now - previous - 1 <= longestRun)) {
        runs.add(ofSymbol, first, bar - 1, sessionOpen);
        first = -1;
      }
      previous = now;
      if (!inSession) {
        const session = sessionAt(now as EpochMinute);
        if (session === undefined) continue;
        sessionOpen = session.open;
        sessionClose = session.close;
      }
      if (usable && first < 0) first = bar;
    }
    if (first >= 0) runs.add(ofSymbol, first, end - 1, sessionOpen);
  }
  return runs;
}

const outOfOrder = ({ symbols }: MarketBars, ofSymbol: number, row: number): BarcastError =>
  new BarcastError(
    'BARCAST_E_INTERNAL',
    `bars of ${symbols[ofSymbol]} are not in order of time at row ${row}`,
    'sort them by symbol and minute and keep each minute once',
  );

/** In one growing array. */
class RunList implements Runs {
  fields = new Int32Array(1024 * RUN_FIELDS);
  count = 0;
  rows = 0;
  windows = 0;
  readonly #minute: Int32Array;
  readonly #recipe: Recipe;
  readonly #options: WindowOptions;
  readonly #shortest: number;

  constructor(minute: Int32Array, recipe: Recipe, options: WindowOptions) {
    this.#minute = minute;
    this.#recipe = recipe;
    this.#options = options;
    this.#shortest = recipe.windowLength + (options.requireTarget ? recipe.horizonMinutes : 0);
  }

  /** Adds a run unless nobody wants its windows. */
  add(ofSymbol: number, first: number, last: number, sessionOpen: number): void {
    const begins = this.#minute[first];
    const ends = this.#minute[last] + 1;
    const { asOfFrom = Number.NEGATIVE_INFINITY, asOfTo = Number.POSITIVE_INFINITY } = this.#options;
    if (ends - begins < this.#shortest || ends < asOfFrom || begins + this.#recipe.windowLength >= asOfTo) return;
    const at = this.count * RUN_FIELDS;
    if (at === this.fields.length) {
      const grown = new Int32Array(2 * at);
      grown.set(this.fields);
      this.fields = grown;
    }
    const windows = countWindows(this.#minute, this.#recipe, this.#options, first, last);
    this.fields.set([ofSymbol, first, last, this.rows, sessionOpen, windows], at);
    this.count++;
    this.rows += ends - begins;
    this.windows += windows;
  }
}

/** Minutes of a run from the first to the last that a window may end with, quiet minutes aside. */
export function askedMinutes(
  minute: Int32Array,
  { windowLength, horizonMinutes }: Recipe,
  { asOfFrom = Number.NEGATIVE_INFINITY, asOfTo = Number.POSITIVE_INFINITY, requireTarget }: WindowOptions,
  first: number,
  last: number,
): [first: number, last: number] {
  const latest = requireTarget ? minute[last] - horizonMinutes : minute[last];
  return [Math.max(minute[first] + windowLength - 1, asOfFrom - 1), Math.min(latest, asOfTo - 2)];
}

/** How many windows a run has: one for each bar in the asked minutes whose window is not too quiet. */
function countWindows(minute: Int32Array, recipe: Recipe, options: WindowOptions, first: number, last: number): number {
  const T = recipe.windowLength;
  const { most } = recipe.quiet;
  const [firstAsked, lastAsked] = askedMinutes(minute, recipe, options, first, last);
  let bar = first;
  while (bar <= last && minute[bar] < firstAsked) bar++;
  let end = last + 1;
  while (end > bar && minute[end - 1] > lastAsked) end--;
  // No window is quieter than the run.
  if (minute[last] - minute[first] + 1 - (last - first + 1) <= most) return end - bar;
  let windows = 0;
  for (let tail = first; bar < end; bar++) {
    while (minute[tail] <= minute[bar] - T) tail++;
    if (T - (bar - tail + 1) <= most) windows++;
  }
  return windows;
}
