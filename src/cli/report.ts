/** `barcast report`: what a model's forecasts are worth, as one HTML page and as Markdown. */
import { mkdirSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { Option } from 'commander';
import { BarcastError, type EpochMinute, epochMinute, writeFileAtomic } from '../base/index.ts';
import {
  backtestModel,
  composeReport,
  evaluationOf,
  forecastWindows,
  renderHtml,
  renderMarkdown,
} from '../evaluate/index.ts';
import type { Model } from '../model/index.ts';
import { openReader } from '../store/index.ts';
import { type BacktestFlags, HISTORY_MINUTES, rulesOf, withBacktest } from './backtest.ts';
import { type ComputeOptions, withCompute, withModel } from './compute.ts';
import { action, type Context, command, type Register } from './context.ts';
import { fittedBars, testRange } from './evaluate.ts';
import { type RangeOptions, type SymbolOptions, symbolsOf, withRange, withSymbols } from './selection.ts';
import { readBarsToForecast, symbolsToForecast } from './store-bars.ts';

interface ReportCommand extends ComputeOptions, RangeOptions, SymbolOptions, BacktestFlags {
  readonly out?: string;
  readonly backtest: boolean;
}

const report = withBacktest(
  withSymbols(withRange(withCompute(command('report', "write what a model's forecasts are worth as a page")))),
)
  .argument('<model>', 'NAME, NAME@VERSION or a folder')
  .addOption(new Option('--out <file>', 'the page; the Markdown goes beside it (default: NAME-report.html)'))
  .addOption(new Option('--no-backtest', 'leave the backtest out'));

/** The bars' own first and last minute, where the range is open. */
function spanOf(minute: Int32Array): { from: EpochMinute; to: EpochMinute } {
  let [first, last] = [minute[0], minute[0]];
  for (const at of minute) {
    if (at < first) first = at;
    if (at > last) last = at;
  }
  return { from: epochMinute(first), to: epochMinute(last + 1) };
}

async function backtested(context: Context, options: ReportCommand, model: Model, minute: Int32Array) {
  if (!options.backtest) return undefined;
  const range = spanOf(minute);
  const reader = await openReader(context.data);
  try {
    const stored = await reader.symbols();
    const { symbols, read } = symbolsToForecast(context.data, stored, model.scaler, symbolsOf(options));
    const history = await reader.read({ symbols, from: epochMinute(range.from - HISTORY_MINUTES), to: range.from });
    return await backtestModel({
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
  } finally {
    reader.close();
  }
}

action<ReportCommand>(report, (context, options, [reference]) =>
  withModel(reference, options, context, async (model) => {
    const page = options.out ?? `${model.name}-report.html`;
    if (extname(page) !== '.html') {
      throw new BarcastError('BARCAST_E_USAGE', `the report '${page}' is a page`, 'name a file that ends in .html');
    }
    const found = await readBarsToForecast(context.data, model.scaler, symbolsOf(options), testRange(options, model));
    const { bars } = found;
    const trainingBars = await fittedBars(context, model.description.provenance);
    const forecasts = await forecastWindows({ model, ...found, trainingBars });
    const evaluation = evaluationOf(model, forecasts);
    const backtest = await backtested(context, options, model, bars.minute);
    const { description } = model;
    const document = composeReport({
      description,
      evaluation,
      forecasts,
      backtest,
      madeAt: new Date().toISOString(),
    });
    const stem = basename(page, '.html');
    const folder = dirname(page);
    const plotFolder = `${stem}-plots`;
    const { text, plots } = renderMarkdown(document, plotFolder);
    mkdirSync(join(folder, plotFolder), { recursive: true });
    const files = [page, join(folder, `${stem}.md`)];
    for (const { file, svg } of plots) writeFileAtomic(join(folder, plotFolder, file), svg);
    writeFileAtomic(files[1], text);
    writeFileAtomic(page, renderHtml(document));
    const { verdict, model: scores, windows } = evaluation;
    const { version, weightsHash } = model;
    return {
      json: {
        model: model.name,
        version,
        weightsHash,
        files,
        plots: plots.length,
        windows,
        verdict,
        skillScaled: scores.skillScaled,
        netReturn: backtest?.netReturn ?? null,
      },
      text: `${files.join(' and ')}: ${verdict}`,
    };
  }),
);

export const registerReport: Register = (program) => program.addCommand(report);
