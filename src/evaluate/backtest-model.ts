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
  /** Symbols whose bars the forecasts rest on, where they are more than those to trade. */
  readonly read?: readonly string[];
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
  const traded = new Set(symbols);
  const isTraded = ({ symbol }: { readonly symbol: string }) => traded.has(symbol);
  let count = 0;
  for await (const bars of replayMinutes(options, options.read ?? symbols)) {
    if (signal?.aborted) {
      throw new BarcastError('BARCAST_E_INTERRUPTED', 'the backtest was stopped', 'run the same command again');
    }
    const answer = await forecaster.accept(bars);
    if (answer.failure !== undefined) throw answer.failure;
    const forecasts = answer.forecasts.filter(isTraded);
    count += forecasts.length;
    backtest.minute((bars as readonly Bar[]).filter(isTraded), forecasts);
    const note = `minutes, ${count.toLocaleString('en-US')} forecasts`;
    progress.update('backtest', bars[0].minute - from, to - from, note);
  }
  if (count === 0) {
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
    forecasts: count,
    ...backtest.end(),
  };
}
