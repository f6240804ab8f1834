/**
 * The live windows of a market for every recipe that a model in use has: bars in, and of each minute the windows that
 * became ready. Models with an equal recipe and scaler share their windows.
 *
 * A recipe that comes new in the middle of the day (a model was promoted, a shadow was added) is warm at once: it is
 * given the bars of the session that are kept here, and the windows of minutes that are not forecast yet are made up.
 */
import type { Bar } from '../bars/index.ts';
import { LiveMarket, type PushResult, type Recipe, type WindowSet } from '../features/index.ts';
import type { Predictor } from './forecast.ts';
import { RecentBars } from './recent-bars.ts';

/** The live windows of a market, as `LiveMarket` of src/features keeps them. */
export interface LiveWindows {
  /** Takes a symbol's next bar. @returns 'window' when the symbol's window now ends at this bar, else why not */
  push(bar: Bar): PushResult;
  /** The present windows of symbols that just answered 'window', in their order. */
  windows(symbols: readonly string[]): WindowSet;
}

/** Makes the windows of a model's recipe and scaler; `LiveMarket` unless a test has another idea. */
export type NewWindows = (predictor: Predictor) => LiveWindows;
export const newLiveMarket: NewWindows = ({ recipe, scaler }) => new LiveMarket(recipe, scaler);

/** A minute's bars after they were pushed, and the windows that they ended. */
export interface TakenMinute {
  readonly bars: readonly Bar[];
  /** Windows of each recipe in use, by {@link windowsKey}; none where no window became ready. */
  readonly windows: Map<string, WindowSet>;
}

/** What became of pushed bars. */
export interface PushCounts {
  repeatedBars: number;
  lateBars: number;
  warmingBars: number;
  unusableBars: number;
}

interface WindowsOfRecipe {
  readonly windows: LiveWindows;
  readonly recipe: Recipe;
}

/** A whole session. */
const BARS_KEPT = 390;

const keys = new WeakMap<Predictor, string>();

/** Says which windows a model sees: the same text for the same recipe and scaler. */
export function windowsKey(predictor: Predictor): string {
  let key = keys.get(predictor);
  if (key === undefined) {
    const { recipe, scaler } = predictor;
    key = `${recipe.name}/${recipe.version} ${JSON.stringify(scaler)}`;
    keys.set(predictor, key);
  }
  return key;
}

export class MarketWindows {
  readonly #newWindows: NewWindows;
  readonly #kept = new RecentBars(BARS_KEPT, { unusable: true });
  #markets = new Map<string, WindowsOfRecipe>();

  constructor(newWindows: NewWindows = newLiveMarket) {
    this.#newWindows = newWindows;
  }

  /**
   * Says which models are in use from now on. The windows of the others are forgotten; those that come new are warmed.
   * @param pending everything taken since the oldest that is still to be forecast, in the order taken: it gets the new
   *   windows too. Without a gap, or the windows would have it
   */
  use(models: readonly Predictor[], pending: Iterable<TakenMinute> = []): void {
    const wanted = new Map(models.map((model) => [windowsKey(model), model]));
    if (wanted.size === this.#markets.size && [...wanted.keys()].every((key) => this.#markets.has(key))) return;
    const markets = new Map<string, WindowsOfRecipe>();
    const minutes = [...pending];
    for (const [key, model] of wanted) {
      const present = this.#markets.get(key);
      markets.set(key, present ?? { windows: this.#warm(key, model, minutes), recipe: model.recipe });
    }
    this.#markets = markets;
  }

  /** Minutes that a window taken now keeps its rows for: the shortest window in use. */
  get minutesHeld(): number {
    return Math.min(...[...this.#markets.values()].map(({ recipe }) => recipe.windowLength));
  }

  /** Takes past bars, oldest first in each symbol: the windows are warm afterwards. */
  preload(bars: Iterable<Bar>, counts: PushCounts): void {
    const fresh = [...bars].filter((bar) => this.#isNew(bar, counts));
    for (const minute of byMinute(fresh))
      for (const { windows } of this.#markets.values()) for (const bar of minute) windows.push(bar);
  }

  /**
   * Takes bars that came together: what became ready, by minute, oldest minute first.
   * @param copy whether the windows are to keep their rows whatever is taken after them
   */
  take(bars: readonly Bar[], counts: PushCounts, copy = false): TakenMinute[] {
    return byMinute(bars).flatMap((minuteBars) => {
      const fresh = minuteBars.filter((bar) => this.#isNew(bar, counts));
      if (fresh.length === 0) return [];
      const windows = new Map<string, WindowSet>();
      let first = true;
      for (const [key, market] of this.#markets) {
        // What became of a bar is counted once, by the active model's recipe: it is the first.
        const ready = pushAll(market.windows, fresh, first ? counts : undefined);
        first = false;
        if (ready.length === 0) continue;
        const ended = market.windows.windows(ready);
        windows.set(key, copy ? withOwnRows(ended, market.recipe) : ended);
      }
      return [{ bars: fresh, windows }];
    });
  }

  #isNew(bar: Bar, counts: PushCounts): boolean {
    const became = this.#kept.offer(bar);
    if (became === 'kept') return true;
    if (became === 'repeated') counts.repeatedBars++;
    else if (became === 'late') counts.lateBars++;
    else counts.unusableBars++;
    return false;
  }

  #warm(key: string, model: Predictor, pending: readonly TakenMinute[]): LiveWindows {
    const market = this.#newWindows(model);
    const firstPending = new Map<string, number>();
    for (const { bars } of pending) {
      for (const { symbol, minute } of bars) if (!firstPending.has(symbol)) firstPending.set(symbol, minute);
    }
    const past: Bar[] = [];
    for (const symbol of this.#kept.symbols()) {
      const until = firstPending.get(symbol) ?? Number.POSITIVE_INFINITY;
      for (const bar of this.#kept.list(symbol)) if (bar.minute < until) past.push(bar);
    }
    for (const bars of byMinute(past)) for (const bar of bars) market.push(bar);
    const newest = Math.max(...pending.map(({ bars }) => bars[0].minute));
    for (const minute of pending) {
      const ready = pushAll(market, minute.bars);
      if (ready.length === 0) continue;
      const ended = market.windows(ready);
      // What came as one batch of many minutes would write over its own rows.
      const copy = newest - minute.bars[0].minute >= model.recipe.windowLength / 2;
      minute.windows.set(key, copy ? withOwnRows(ended, model.recipe) : ended);
    }
    return market;
  }
}

/** The same windows over rows of their own. */
function withOwnRows(windows: WindowSet, { windowLength: T, columns }: Recipe): WindowSet {
  const size = T * columns;
  const matrix = new Float32Array(windows.starts.length * size);
  windows.starts.forEach((start, w) => {
    const from = start * columns;
    matrix.set(windows.matrix.subarray(from, from + size), w * size);
  });
  return { ...windows, matrix, starts: windows.starts.map((_, w) => w * T) };
}

/** Pushes a minute's bars. @returns the symbols that have a window now */
function pushAll(market: LiveWindows, bars: readonly Bar[], counts?: PushCounts): string[] {
  const ready: string[] = [];
  for (const bar of bars) {
    const result = market.push(bar);
    if (result === 'window') ready.push(bar.symbol);
    else if (counts === undefined) continue;
    else if (result === 'warming') counts.warmingBars++;
    else counts.unusableBars++;
  }
  return ready;
}

/** The bars of each minute, oldest minute first, each in the order given. */
export function byMinute(bars: readonly Bar[]): (readonly Bar[])[] {
  // As nearly always.
  if (bars.every(({ minute }) => minute === bars[0].minute)) return bars.length === 0 ? [] : [bars];
  const groups = new Map<number, Bar[]>();
  for (const bar of bars) {
    const group = groups.get(bar.minute);
    if (group === undefined) groups.set(bar.minute, [bar]);
    else group.push(bar);
  }
  return [...groups].sort(([a], [b]) => a - b).map(([, group]) => group);
}
