/**
 * A model's backtest on past bars: `Forecaster` over `LiveMarket` makes the forecasts, as in `barcast serve` and
 * `barcast replay`, and {@link Backtest} trades on them minute by minute.
 */
import type { Bar, MarketBars } from '../bars/index.ts';
import { BarcastError, isoOfMinute, type Progress } from '../base/index.ts';
import type { Model } from '../model/index.ts';
import { Forecaster, fixedModel, minutesOf, type ReplayRange, replayMinutes } from '../stream/index.ts';
import { Backtest } from './backtest.ts';
import type { BacktestResult } from './backtest-result.ts';
import type { BacktestRules } from './backtest-rules.ts';

export interface BacktestOptions extends ReplayRange {
  readonly model: Model;
  readonly symbols: readonly string[];
  readonly rules: BacktestRules;
  /** Bars from before the range, for the estimate of the spreads. */
  readonly history?: MarketBars;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

export interface ModelBacktest extends BacktestResult {
  readonly model: string;
  readonly version: string;
  readonly weightsHash: string;
  readonly from: string;
  readonly to: string;
  readonly symbols: number;
  readonly forecasts: number;
}

/** @throws BARCAST_E_INTERRUPTED, BARCAST_E_TOO_FEW_WINDOWS when no forecast can be made, BARCAST_E_USAGE */
export async function backtestModel(options: BacktestOptions): Promise<ModelBacktest> {
  const { model, symbols, rules, history, progress, signal, from, to } = options;
  const backtest = new Backtest(rules);
  if (history) for (const bars of minutesOf(history)) backtest.learnSpreads(bars);
  const forecaster = new Forecaster(fixedModel(model));
  for await (const bars of replayMinutes(options, symbols)) {
    if (signal?.aborted) {
      throw new BarcastError('BARCAST_E_INTERRUPTED', 'the backtest was stopped', 'run the same command again');
    }
    const { forecasts, failure } = await forecaster.accept(bars);
    if (failure !== undefined) throw failure;
    backtest.minute(bars as readonly Bar[], forecasts);
    const note = `minutes, ${forecaster.counts.forecasts.toLocaleString('en-US')} forecasts`;
    progress.update('backtest', bars[0].minute - from, to - from, note);
  }
  if (forecaster.counts.forecasts === 0) {
    throw new BarcastError(
      'BARCAST_E_TOO_FEW_WINDOWS',
      'no symbol has a whole window of bars in that range',
      "'barcast doctor' tells which days the store has",
    );
  }
  return {
    model: model.name,
    version: model.version,
    weightsHash: model.weightsHash,
    from: isoOfMinute(from),
    to: isoOfMinute(to),
    symbols: symbols.length,
    forecasts: forecaster.counts.forecasts,
    ...backtest.end(),
  };
}
