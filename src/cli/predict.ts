/** `barcast predict`: one forecast for each symbol from the bars of the store. */
import { Option } from 'commander';
import type { MarketBars } from '../bars/index.ts';
import { type EpochMinute, epochMinute } from '../base/index.ts';
import { selectWindows, type WindowSet } from '../features/index.ts';
import { type Forecast, makeForecasts } from '../stream/index.ts';
import { type ComputeOptions, withCompute, withModel } from './compute.ts';
import { action, command, type Register } from './context.ts';
import { asOfMinute, type SymbolOptions, symbolsOf, withSymbols } from './selection.ts';
import { readBarsToForecast } from './store-bars.ts';

interface PredictCommand extends ComputeOptions, SymbolOptions {
  readonly asOf?: string;
}

/** How far back a symbol's last window is looked for. */
const LOOK_BACK_MINUTES = 14 * 1440;
/** Symbols without a window that are named. */
const SHOWN = 20;

/** Each wanted symbol's last window. */
function lastWindows(windows: WindowSet, wanted: ReadonlySet<string>): WindowSet {
  const last = new Map<number, number>();
  windows.symbol.forEach((symbol, i) => {
    if (!wanted.has(windows.symbols[symbol])) return;
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

action<PredictCommand>(predict, (context, options, [reference]) =>
  withModel(reference, options, context, async (model) => {
    const to = options.asOf === undefined ? undefined : asOfMinute(options.asOf);
    const range = to === undefined ? {} : { from: epochMinute(to - LOOK_BACK_MINUTES), to };
    const { bars, symbols } = await readBarsToForecast(context.data, model.scaler, symbolsOf(options), range);
    const asOfFrom = newestMinute(bars) - LOOK_BACK_MINUTES;
    const windows = lastWindows(model.windows(bars, { requireTarget: false, asOfFrom }), new Set(symbols));
    const startedAt = performance.now();
    const predictions = makeForecasts(windows, await model.predict(windows), model, performance.now() - startedAt);
    const answered = new Set(predictions.map(({ symbol }) => symbol));
    const withoutWindow = symbols.filter((symbol) => !answered.has(symbol));
    if (withoutWindow.length > 0) {
      const more = withoutWindow.length > SHOWN ? ` and ${withoutWindow.length - SHOWN} more` : '';
      context.progress.say(`no whole window of bars yet: ${withoutWindow.slice(0, SHOWN).join(', ')}${more}`);
    }
    const { name, version, weightsHash } = model;
    return {
      json: { model: name, version, weightsHash, predictions, withoutWindow },
      text: predictions.map(line).join('\n'),
    };
  }),
);

export const registerPredict: Register = (program) => program.addCommand(predict);
