/** `barcast replay`: a past session through the live path, as fast as it goes. */

import { BarcastError, MS_PER_MINUTE } from '../base/index.ts';
import { openReader } from '../store/index.ts';
import { type Forecast, replayForecasts } from '../stream/index.ts';
import { type ComputeOptions, withCompute, withModel } from './compute.ts';
import { action, command, type Register } from './context.ts';
import {
  closedRangeOf,
  type RangeOptions,
  type SymbolOptions,
  symbolsOf,
  withRange,
  withSymbols,
} from './selection.ts';
import { symbolsToForecast } from './store-bars.ts';

interface ReplayCommand extends ComputeOptions, RangeOptions, SymbolOptions {}

const replay = withSymbols(
  withRange(withCompute(command('replay', 'send past bars through the live path and print its forecasts'))),
).argument('<model>', 'NAME, NAME@VERSION or a folder');

action<ReplayCommand>(replay, (context, options, [reference]) =>
  withModel(reference, options, context, async (model) => {
    const range = closedRangeOf(options);
    const reader = await openReader(context.data);
    try {
      const stored = await reader.symbols();
      const symbols = symbolsToForecast(context.data, stored, model.scaler, symbolsOf(options));
      const forecasts: Forecast[] = [];
      const startedAt = performance.now();
      const { progress } = context;
      const signal = context.takeSignal();
      for await (const minute of replayForecasts({ reader, ...range, ...symbols, predictor: model, signal })) {
        forecasts.push(...minute);
        const at = Date.parse(minute[0].asOf) / MS_PER_MINUTE - range.from;
        progress.update(
          'replay',
          at,
          range.to - range.from,
          `minutes, ${forecasts.length.toLocaleString('en-US')} forecasts`,
        );
      }
      const seconds = (performance.now() - startedAt) / 1000;
      if (signal.aborted)
        throw new BarcastError('BARCAST_E_INTERRUPTED', 'the replay was stopped', 'run the same command again');
      if (forecasts.length === 0) {
        throw new BarcastError(
          'BARCAST_E_TOO_FEW_WINDOWS',
          'no symbol has a whole window of bars in that range',
          "'barcast doctor' tells which days the store has",
        );
      }
      const { name, version, weightsHash } = model;
      const count = forecasts.length.toLocaleString('en-US');
      const text = `${count} forecasts of ${new Set(forecasts.map(({ symbol }) => symbol)).size} symbols in ${seconds.toFixed(1)} s; --json prints them`;
      return { json: { model: name, version, weightsHash, forecasts, seconds }, text };
    } finally {
      reader.close();
    }
  }),
);

export const registerReplay: Register = (program) => program.addCommand(replay);
