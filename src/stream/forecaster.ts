/**
 * Bars in, forecasts out: the live windows of every symbol and one prediction for all that became ready together.
 *
 * Each (symbol, minute, model) gets exactly one forecast. A bar for a minute that was already seen is a repeat and is
 * left out, whatever its values: a published forecast is never taken back. A bar older than its symbol's newest is
 * late and is left out too; the minute it belongs to stays a minute without a trade. Both are counted.
 *
 * Taking bars and forecasting them are two steps: where several forecasters share the work, each takes every bar, and
 * each batch is forecast by one of them.
 */
import type { Bar } from '../bars/index.ts';
import type { Bus, Subscription } from './bus.ts';
import { type Forecast, makeForecasts, type Predictor } from './forecast.ts';
import {
  byMinute,
  MarketWindows,
  type NewWindows,
  type PushCounts,
  type TakenMinute,
  windowsKey,
} from './market-windows.ts';
import type { ModelPair, ModelSource } from './model-source.ts';

/** What became of the bars. */
export interface ForecasterCounts extends PushCounts {
  bars: number;
  forecasts: number;
  /** Forecasts of the shadow model. */
  shadowForecasts: number;
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
  /** The same of the shadow model; nobody else is touched. */
  failedShadowPredictions: number;
  /** Messages on the bus that held no bar. */
  refusedMessages: number;
  /** Batches that wait for a forecast, as last seen. */
  waitingBatches: number;
  /** Milliseconds that the newest forecast batch had waited since its bars arrived before its forecast began. */
  lagMs: number;
}

/** What one call made. */
export interface ForecasterResult {
  readonly forecasts: readonly Forecast[];
  /** Forecasts of the shadow model, if there is one, for the topic `shadow`. */
  readonly shadow?: readonly Forecast[];
  /** Milliseconds spent in the active model. */
  readonly predictionMs: number;
  /** What the active model threw, when it did: the ready windows of that minute got no forecast. */
  readonly failure?: unknown;
}

export const noCounts = (): ForecasterCounts => ({
  bars: 0,
  forecasts: 0,
  shadowForecasts: 0,
  repeatedBars: 0,
  lateBars: 0,
  warmingBars: 0,
  unusableBars: 0,
  notFinite: 0,
  predictions: 0,
  failedPredictions: 0,
  failedShadowPredictions: 0,
  refusedMessages: 0,
  waitingBatches: 0,
  lagMs: 0,
});

/** Models that were replaced and still have windows. */
const MOST_FORMER = 2;

export class Forecaster {
  readonly counts: ForecasterCounts = noCounts();
  readonly #models: ModelSource;
  readonly #windows: MarketWindows;
  readonly #formerMs: number;
  #using: ModelPair;
  /** Models that were in use before, newest first, and when they were replaced. */
  #former: { readonly models: ModelPair; readonly leftAtMs: number }[] = [];

  /** @param formerMs for so long a model that was replaced keeps its windows, for {@link forecastWith} */
  constructor(models: ModelSource, newWindows?: NewWindows, formerMs = 0) {
    this.#models = models;
    this.#windows = new MarketWindows(newWindows);
    this.#formerMs = formerMs;
    this.#using = models.current();
    this.#ask([]);
  }

  /** Takes past bars, oldest first in each symbol, and makes no forecast of them: the windows are warm afterwards. */
  preload(bars: Iterable<Bar>): void {
    this.#windows.preload(bars, this.counts);
  }

  /**
   * Takes bars that arrived together and forecasts every window that became ready: one prediction a minute they hold
   * (one in the ordinary case; a source that catches up may hand over several minutes at once). Calls must not overlap.
   *
   * @param arrivedAtMs `performance.now()` at the bars' arrival
   * @returns also what the model threw; the bars are taken all the same
   */
  async accept(bars: readonly Bar[], arrivedAtMs = performance.now()): Promise<ForecasterResult> {
    const results: ForecasterResult[] = [];
    // One minute after another: a window keeps its rows for a window of minutes, and a catch-up may bring more.
    for (const minute of byMinute(bars)) results.push(await this.forecast(this.take(minute), arrivedAtMs));
    if (results.length === 1) return results[0];
    return {
      forecasts: results.flatMap((it) => it.forecasts),
      shadow: results.flatMap((it) => it.shadow ?? []),
      predictionMs: results.reduce((sum, it) => sum + it.predictionMs, 0),
      failure: results.find((it) => it.failure !== undefined)?.failure,
    };
  }

  /** Minutes of bars that may be taken before windows taken earlier lose their rows. */
  get minutesHeld(): number {
    return this.#windows.minutesHeld;
  }

  /**
   * The first step: asks which models forecast now and takes bars that arrived together.
   * @param pending everything that was taken since the oldest that is still to be forecast, in the order taken: a model
   *   with another recipe, if one came, needs windows of it
   * @param copy whether what is returned is to keep its rows for as long as it is held
   * @returns the windows that became ready. They keep their rows for {@link minutesHeld} minutes of bars, or as `copy` says
   */
  take(bars: readonly Bar[], pending: Iterable<TakenMinute> = [], copy = false): TakenMinute[] {
    this.#ask(pending);
    this.counts.bars += bars.length;
    return this.#windows.take(bars, this.counts, copy);
  }

  /** The second step, with the models that the last `take` was answered. Calls of `take` and `forecast` must not overlap. */
  forecast(taken: readonly TakenMinute[], arrivedAtMs: number): Promise<ForecasterResult> {
    return this.#forecast(this.#using, taken, arrivedAtMs);
  }

  /**
   * The second step with certain weights, which somebody else has begun the batch with.
   * @param pending as in {@link take}: if this model is new here, `taken` gets windows of it
   * @returns undefined where that model neither is in use nor was lately
   */
  async forecastWith(
    weightsHash: string,
    taken: readonly TakenMinute[],
    arrivedAtMs: number,
    pending: Iterable<TakenMinute>,
  ): Promise<ForecasterResult | undefined> {
    this.#ask(pending);
    const inReach = [this.#using, ...this.#former.map(({ models }) => models)];
    const models = inReach.find(({ active }) => active.weightsHash === weightsHash);
    return models && (await this.#forecast(models, taken, arrivedAtMs));
  }

  async #forecast(
    { active, shadow }: ModelPair,
    taken: readonly TakenMinute[],
    arrivedAtMs: number,
  ): Promise<ForecasterResult> {
    this.counts.lagMs = performance.now() - arrivedAtMs;
    const answer = await this.#predictAll(active, taken, arrivedAtMs);
    this.counts.predictions += answer.predictions;
    this.counts.notFinite += answer.notFinite;
    this.counts.forecasts += answer.forecasts.length;
    if (answer.failure !== undefined) this.counts.failedPredictions++;
    const { forecasts, predictionMs, failure } = answer;
    if (shadow === undefined) return { forecasts, predictionMs, failure };
    const silent = await this.#predictAll(shadow, taken, arrivedAtMs);
    this.counts.shadowForecasts += silent.forecasts.length;
    if (silent.failure !== undefined) this.counts.failedShadowPredictions++;
    return { forecasts, shadow: silent.forecasts, predictionMs, failure };
  }

  /** Serves a subscription until it ends. A prediction that fails is told, and the next bars are served. */
  async run(bars: Subscription<Bar>, bus: Bus, tell: (result: ForecasterResult) => void = () => {}): Promise<void> {
    for await (const batch of bars) {
      const result = await this.accept(batch.items, batch.arrivedAtMs);
      tell(result);
      await bus.publish('forecasts', result.forecasts);
      if (result.shadow !== undefined) await bus.publish('shadow', result.shadow);
    }
  }

  #ask(pending: Iterable<TakenMinute>): void {
    const [before, models, now] = [this.#using, this.#models.current(), performance.now()];
    if (models.active !== before.active) this.#former.unshift({ models: before, leftAtMs: now });
    this.#former = this.#former.filter(({ leftAtMs }) => now - leftAtMs < this.#formerMs).slice(0, MOST_FORMER);
    this.#using = models;
    const all = [models, ...this.#former.map((it) => it.models)];
    this.#windows.use(
      all.flatMap(({ active, shadow }) => (shadow === undefined ? [active] : [active, shadow])),
      pending,
    );
  }

  async #predictAll(model: Predictor, taken: readonly TakenMinute[], arrivedAtMs: number) {
    const key = windowsKey(model);
    const forecasts: Forecast[] = [];
    let [predictions, notFinite, predictionMs] = [0, 0, 0];
    let failure: unknown;
    for (const minute of taken) {
      const windows = minute.windows.get(key);
      if (windows === undefined) continue;
      const startedAt = performance.now();
      try {
        const answer = await model.predict(windows);
        const now = performance.now();
        predictionMs += now - startedAt;
        const made = makeForecasts(windows, answer, model, now - arrivedAtMs);
        predictions++;
        notFinite += windows.asOf.length - made.length;
        forecasts.push(...made);
      } catch (error) {
        failure ??= error;
      }
    }
    return { forecasts, predictions, notFinite, predictionMs, failure };
  }
}
