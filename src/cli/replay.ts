/** `barcast replay`: a past session through the live path, as fast as it goes. */

import { BarcastError, epochMinute } from '../base/index.ts';
import { LiveMarket } from '../features/index.ts';
import { Registry } from '../model/index.ts';
import { openReader } from '../store/index.ts';
import { type Forecast, replayForecasts } from '../stream/index.ts';
import { type ComputeOptions, withCompute, withKernel } from './compute.ts';
import { action, command, type Register } from './context.ts';
import { type RangeOptions, rangeOf, type SymbolOptions, symbolsOf, withRange, withSymbols } from './selection.ts';
import { checkSymbols } from './store-bars.ts';

interface ReplayCommand extends ComputeOptions, RangeOptions, SymbolOptions {}

const replay = withSymbols(
  withRange(withCompute(command('replay', 'send past bars through the live path and print its forecasts'))),
).argument('<model>', 'NAME, NAME@VERSION or a folder');

action<ReplayCommand>(replay, async (context, options, [reference]) =>
  withKernel(options, context, async (kernel) => {
    const model = await new Registry(context.models).load(reference, kernel);
    const reader = await openReader(context.data);
    try {
      const { from, to } = rangeOf(options);
      if (from === undefined || to === undefined)
        throw new BarcastError(
          'BARCAST_E_USAGE',
          'a replay needs both --from and --to',
          'give them as days, YYYY-MM-DD',
        );
      const stored = await reader.symbols();
      const symbols = checkSymbols(context.data, stored, symbolsOf(options)) ?? stored;
      const forecasts: Forecast[] = [];
      const startedAt = performance.now();
      const minutes = replayForecasts({
        reader,
        from,
        to,
        symbols,
        market: new LiveMarket(model.recipe, model.scaler),
        predictor: model,
        signal: context.signal,
      });
      for await (const minute of minutes) {
        forecasts.push(...minute);
        context.progress.update(
          'replay',
          epochMinute(Date.parse(minute[0].asOf) / 60_000) - from,
          to - from,
          `minutes, ${forecasts.length.toLocaleString('en-US')} forecasts`,
        );
      }
      const seconds = (performance.now() - startedAt) / 1000;
      if (forecasts.length === 0)
        throw new BarcastError(
          'BARCAST_E_TOO_FEW_WINDOWS',
          'no symbol has a whole window of bars in that range',
          "'barcast doctor' tells which days the store has",
        );
      const text = `${forecasts.length.toLocaleString('en-US')} forecasts of ${new Set(forecasts.map(({ symbol }) => symbol)).size} symbols in ${seconds.toFixed(1)} s; --json prints them`;
      return {
        json: { model: model.name, version: model.version, weightsHash: model.weightsHash, forecasts, seconds },
        text,
      };
    } finally {
      reader.close();
      model.close();
    }
  }),
);

export const registerReplay: Register = (program) => program.addCommand(replay);
