/** `barcast backtest`: trade on a model's forecasts of past bars, with spreads and fees paid. */
import { type Command, Option } from 'commander';
import { epochMinute } from '../base/index.ts';
import { type BacktestRules, backtestModel, renderBacktest } from '../evaluate/index.ts';
import type { Model } from '../model/index.ts';
import { openReader } from '../store/index.ts';
import { type ComputeOptions, withCompute, withModel } from './compute.ts';
import { action, command, notNegative, type Register, wholeNumber } from './context.ts';
import {
  closedRangeOf,
  type RangeOptions,
  type SymbolOptions,
  symbolsOf,
  withRange,
  withSymbols,
} from './selection.ts';
import { symbolsToForecast } from './store-bars.ts';

/** How a backtest trades. */
export interface BacktestFlags {
  readonly top: number;
  readonly feeBps: number;
  readonly spreadBps?: number;
  readonly leastBps: number;
}

interface BacktestCommand extends ComputeOptions, RangeOptions, SymbolOptions, BacktestFlags {}

/** Bars before the range that the spreads are first estimated from. */
export const HISTORY_MINUTES = 7 * 1440;

export const withBacktest = (target: Command): Command =>
  target
    .addOption(
      new Option('--top <n>', 'symbols held long, and as many short').argParser(wholeNumber(1, 10_000)).default(10),
    )
    .addOption(
      new Option('--fee-bps <x>', 'fee a trade, basis points of its value').argParser(notNegative).default(0.5),
    )
    .addOption(
      new Option('--spread-bps <x>', "one spread for all, basis points (default: Roll's estimate of each)").argParser(
        notNegative,
      ),
    )
    .addOption(
      new Option('--least-bps <x>', 'leave forecasts nearer to 0 than this alone').argParser(notNegative).default(0),
    );

export const rulesOf = ({ top, feeBps, spreadBps, leastBps }: BacktestFlags, model: Model): BacktestRules => ({
  top,
  feeBps,
  leastBps,
  holdMinutes: model.horizonMinutes,
  spread: spreadBps ?? 'roll',
});

const backtest = withBacktest(
  withSymbols(
    withRange(withCompute(command('backtest', 'trade on the forecasts of past bars, spreads and fees paid'))),
  ),
).argument('<model>', 'NAME, NAME@VERSION or a folder');

action<BacktestCommand>(backtest, (context, options, [reference]) =>
  withModel(reference, options, context, async (model) => {
    const range = closedRangeOf(options);
    const reader = await openReader(context.data);
    try {
      const stored = await reader.symbols();
      const { symbols, read } = symbolsToForecast(context.data, stored, model.scaler, symbolsOf(options));
      const history = await reader.read({ symbols, from: epochMinute(range.from - HISTORY_MINUTES), to: range.from });
      const result = await backtestModel({
        model,
        reader,
        ...range,
        symbols,
        read,
        history,
        rules: rulesOf(options, model),
        progress: context.progress,
        signal: context.takeSignal(),
      });
      return { json: result, text: renderBacktest(result) };
    } finally {
      reader.close();
    }
  }),
);

export const registerBacktest: Register = (program) => program.addCommand(backtest);
