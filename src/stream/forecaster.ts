/**
 * Bars in, forecasts out: the live windows of every symbol and one prediction for all that became ready together.
 *
 * Each (symbol, minute, model) gets exactly one forecast. A bar for a minute that was already seen is a repeat and is
 * left out, whatever its values: a published forecast is never taken back. A bar older than its symbol's newest is
 * late and is left out too; the minute it belongs to stays a minute without a trade. Both are counted.
 */
import type { Bar } from '../bars/index.ts';
import type { PushResult, WindowSet } from '../features/index.ts';
import type { Bus, Subscription } from './bus.ts';
import { type Forecast, makeForecasts, type Predictor } from './forecast.ts';

/** The live windows of a market, as `LiveMarket` of src/features keeps them. */
export interface LiveWindows {
  /** Takes a symbol's next bar. @returns 'window' when the symbol's window now ends at this bar, else why not */
  push(bar: Bar): PushResult;
  /** The present windows of symbols that just answered 'window', in their order. */
  windows(symbols: readonly string[]): WindowSet;
}

/** What became of the bars. */
export interface ForecasterCounts {
  bars: number;
  forecasts: number;
  /** Left out: the symbol's newest minute again. */
  repeatedBars: number;
  /** Left out: older than the symbol's newest minute. */
  lateBars: number;
  /** Taken, but the symbol has no whole window yet. */
  warmingBars: number;
  /** Refused by the windows: outside the session, or without usable prices. */
  unusableBars: number;
  /** Windows whose answer was not finite. */
  notFinite: number;
  predictions: number;
  /** Predictions that failed as a whole; their bars got no forecast. */
  failedPredictions: number;
}

/** What one call made. */
export interface ForecasterResult {
  readonly forecasts: readonly Forecast[];
  /** Milliseconds spent in the model. */
  readonly predictionMs: number;
  /** What the model threw, when it did: the ready windows of that minute got no forecast. */
  readonly failure?: unknown;
}

export class Forecaster {
  readonly counts: ForecasterCounts = {
    bars: 0,
    forecasts: 0,
    repeatedBars: 0,
    lateBars: 0,
    warmingBars: 0,
    unusableBars: 0,
    notFinite: 0,
    predictions: 0,
    failedPredictions: 0,
  };
  readonly #market: LiveWindows;
  readonly #predictor: Predictor;
  readonly #newest = new Map<string, number>();

  constructor(market: LiveWindows, predictor: Predictor) {
    this.#market = market;
    this.#predictor = predictor;
  }

  /** Takes past bars, oldest first in each symbol, and makes no forecast of them: the windows are warm afterwards. */
  preload(bars: Iterable<Bar>): void {
    for (const bar of bars) if (this.#isNew(bar)) this.#market.push(bar);
  }

  /**
   * Takes bars that arrived together and forecasts every window that became ready: one prediction a minute they hold
   * (one in the ordinary case; a source that catches up may hand over several minutes at once). Calls must not overlap.
   *
   * @param arrivedAtMs `performance.now()` at the bars' arrival
   * @returns also what the model threw; the bars are taken all the same
   */
  async accept(bars: readonly Bar[], arrivedAtMs = performance.now()): Promise<ForecasterResult> {
    const forecasts: Forecast[] = [];
    let predictionMs = 0;
    let failure: unknown;
    for (const minuteBars of byMinute(bars)) {
      const ready = this.#push(minuteBars);
      if (ready.length === 0) continue;
      const startedAt = performance.now();
      try {
        const windows = this.#market.windows(ready);
        const predictions = await this.#predictor.predict(windows);
        const now = performance.now();
        predictionMs += now - startedAt;
        const made = makeForecasts(windows, predictions, this.#predictor, now - arrivedAtMs);
        this.counts.predictions++;
        this.counts.notFinite += windows.asOf.length - made.length;
        this.counts.forecasts += made.length;
        forecasts.push(...made);
      } catch (error) {
        this.counts.failedPredictions++;
        failure ??= error;
      }
    }
    return { forecasts, predictionMs, failure };
  }

  /** Serves a subscription until it ends. A prediction that fails is told, and the next bars are served. */
  async run(bars: Subscription<Bar>, bus: Bus, tell: (result: ForecasterResult) => void = () => {}): Promise<void> {
    for await (const batch of bars) {
      const result = await this.accept(batch.items, batch.arrivedAtMs);
      tell(result);
      await bus.publish('forecasts', result.forecasts);
    }
  }

  /** Symbols that have a window now that this minute's bars are in. */
  #push(bars: readonly Bar[]): string[] {
    const ready: string[] = [];
    for (const bar of bars) {
      this.counts.bars++;
      if (!this.#isNew(bar)) continue;
      const result = this.#market.push(bar);
      if (result === 'window') ready.push(bar.symbol);
      else if (result === 'warming') this.counts.warmingBars++;
      else this.counts.unusableBars++;
    }
    return ready;
  }

  #isNew(bar: Bar): boolean {
    const newest = this.#newest.get(bar.symbol);
    if (newest !== undefined && bar.minute <= newest) {
      if (bar.minute === newest) this.counts.repeatedBars++;
      else this.counts.lateBars++;
      return false;
    }
    this.#newest.set(bar.symbol, bar.minute);
    return true;
  }
}

/** The bars of each minute, oldest minute first, each in the order given. */
function byMinute(bars: readonly Bar[]): Bar[][] {
  const groups = new Map<number, Bar[]>();
  for (const bar of bars) {
    const group = groups.get(bar.minute);
    if (group === undefined) groups.set(bar.minute, [bar]);
    else group.push(bar);
  }
  return [...groups].sort(([a], [b]) => a - b).map(([, group]) => group);
}
