/** `barcast predict`: one forecast for each symbol from the bars of the store. */
import { Option } from 'commander';
import type { MarketBars } from '../bars/index.ts';
import { type EpochMinute, epochMinute } from '../base/index.ts';
import { selectWindows, type WindowSet } from '../features/index.ts';
import { Registry } from '../model/index.ts';
import { type Forecast, makeForecasts } from '../stream/index.ts';
import { type ComputeOptions, withCompute, withKernel } from './compute.ts';
import { action, command, type Register } from './context.ts';
import { asOfMinute, type SymbolOptions, symbolsOf, withSymbols } from './selection.ts';
import { readBarsWithin } from './store-bars.ts';

interface PredictCommand extends ComputeOptions, SymbolOptions {
  readonly asOf?: string;
}

/** How far back a symbol's last window is looked for. */
const LOOK_BACK_MINUTES = 14 * 1440;

/** Each symbol's last window. */
function lastWindows(windows: WindowSet): WindowSet {
  const last = new Map<number, number>();
  windows.symbol.forEach((symbol, i) => {
    const best = last.get(symbol);
    if (best === undefined || windows.asOf[i] > windows.asOf[best]) last.set(symbol, i);
  });
  return selectWindows(windows, Int32Array.from(last.values()));
}

function newestMinute(bars: MarketBars): EpochMinute {
  let newest = 0;
  for (const minute of bars.minute) if (minute > newest) newest = minute;
  return epochMinute(newest);
}

const predict = withSymbols(withCompute(command('predict', 'forecast from the bars of the store')))
  .argument('<model>', 'NAME, NAME@VERSION or a folder')
  .addOption(new Option('--as-of <instant>', 'use only bars that had ended by then (ISO 8601, or a day for its end)'));

const line = ({ symbol, asOf, lastClose, predictedClose, predictedReturn, interval }: Forecast) =>
  `${symbol.padEnd(7)} ${asOf}  last ${lastClose.toFixed(2)}  forecast ${predictedClose.toFixed(2)} (${(1e4 * predictedReturn).toFixed(1)} bp)  ${100 * interval.level}% in ${interval.low.toFixed(2)} to ${interval.high.toFixed(2)}`;

action<PredictCommand>(predict, async (context, options, [reference]) =>
  withKernel(options, context, async (kernel) => {
    const model = await new Registry(context.models).load(reference, kernel);
    try {
      const symbols = symbolsOf(options);
      const to = options.asOf === undefined ? undefined : asOfMinute(options.asOf);
      const all = await readBarsWithin(context.data, symbols, {
        to,
        ...(to === undefined ? {} : { from: epochMinute(to - LOOK_BACK_MINUTES) }),
      });
      const windows = lastWindows(
        model.windows(all, { requireTarget: false, asOfFrom: newestMinute(all) - LOOK_BACK_MINUTES }),
      );
      const startedAt = performance.now();
      const predictions = await model.predict(windows);
      const forecasts = makeForecasts(windows, predictions, model, performance.now() - startedAt);
      const answered = new Set(forecasts.map(({ symbol }) => symbol));
      const withoutWindow = all.symbols.filter((symbol) => !answered.has(symbol));
      if (withoutWindow.length > 0)
        context.progress.say(
          `no whole window of bars yet: ${withoutWindow.slice(0, 20).join(', ')}${withoutWindow.length > 20 ? ` and ${withoutWindow.length - 20} more` : ''}`,
        );
      return {
        json: {
          model: model.name,
          version: model.version,
          weightsHash: model.weightsHash,
          predictions: forecasts,
          withoutWindow,
        },
        text: forecasts.map(line).join('\n'),
      };
    } finally {
      model.close();
    }
  }),
);

export const registerPredict: Register = (program) => program.addCommand(predict);
