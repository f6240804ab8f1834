/** `barcast evaluate`: a model and the baselines on bars it was not fitted on. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Option } from 'commander';
import { BarcastError, type EpochMinute, epochMs, msToMinute, parseDay } from '../base/index.ts';
import { evaluateCloses, evaluateModel, readClosesTable, renderCloses, renderScores } from '../evaluate/index.ts';
import { recipeOf } from '../features/index.ts';
import { type Model, type Provenance, Registry } from '../model/index.ts';
import { type ComputeOptions, withCompute, withKernel, withModel } from './compute.ts';
import { type Answer, action, type Context, command, type Register, wholeNumber } from './context.ts';
import {
  type MinuteRange,
  type RangeOptions,
  rangeOf,
  type SymbolOptions,
  startOfDay,
  symbolsOf,
  withRange,
  withSymbols,
} from './selection.ts';
import { readBarsIfAny, readBarsToForecast } from './store-bars.ts';
import { barcastVersion } from './version.ts';

const minuteOf = (iso: string): EpochMinute => msToMinute(epochMs(Date.parse(iso)));

interface EvaluateCommand extends ComputeOptions, RangeOptions, SymbolOptions {
  readonly closes?: string;
  readonly recipe?: string;
  readonly horizon?: number;
  readonly firstDay?: string;
  readonly epochs?: number;
  readonly seed?: number;
  readonly asRowsStand?: boolean;
}

/** The bars a model was fitted on, when the store still has them. */
export async function fittedBars({ data, progress }: Context, provenance: Provenance | undefined) {
  if (!provenance) return undefined;
  const range = { from: minuteOf(provenance.from), to: minuteOf(provenance.to) };
  const bars = await readBarsIfAny(data, provenance.symbols, range);
  if (!bars) progress.say('the store lacks the bars the model was fitted on: the ridge baseline is left out');
  return bars;
}

/** The range asked for; without --from, what came after the model was fitted. */
export function testRange(options: RangeOptions, model: Model): MinuteRange {
  const asked = rangeOf(options);
  const { provenance } = model.description;
  return asked.from === undefined && provenance ? { ...asked, from: minuteOf(provenance.to) } : asked;
}

const evaluate = withSymbols(
  withRange(withCompute(command('evaluate', 'score a model and the baselines on bars it was not fitted on'))),
)
  .argument('[model]', 'NAME, NAME@VERSION or a folder')
  .addOption(new Option('--closes <file>', 'instead: train and score a recipe on a table of closes without times'))
  .addOption(
    new Option('--recipe <recipe>', 'with --closes: how bars become windows (default: returns)').choices([
      'returns',
      'cs205',
    ]),
  )
  .addOption(new Option('--horizon <n>', 'with --closes: minutes ahead (default: 5)').argParser(wholeNumber(1, 60)))
  .addOption(new Option('--first-day <day>', 'with --closes: the day of the first row (default: 2017-04-03)'))
  .addOption(
    new Option('--epochs <n>', 'with --closes: passes over the training windows').argParser(wholeNumber(1, 10_000)),
  )
  .addOption(new Option('--seed <n>', 'with --closes (default: 1)').argParser(wholeNumber(0, 2 ** 48)))
  .addOption(new Option('--as-rows-stand', 'with --closes: leave columns that are ahead of the others where they are'));

/** @throws BARCAST_E_USAGE for an option that says nothing about what was asked */
function checkWords(options: EvaluateCommand, reference: string | undefined): void {
  const { closes, recipe, horizon, firstDay, epochs, seed, asRowsStand, from, to, symbols } = options;
  const refuse = (what: string, remedy: string) => {
    throw new BarcastError('BARCAST_E_USAGE', what, remedy);
  };
  if (reference === undefined && closes === undefined)
    refuse("missing required argument 'model'", 'name a model, or a table of closes with --closes');
  if (reference !== undefined && closes !== undefined)
    refuse('a model and a table of closes are two questions', 'ask one of them');
  const [other, goesWith] =
    closes === undefined
      ? [{ recipe, horizon, 'first-day': firstDay, epochs, seed, 'as-rows-stand': asRowsStand }, '--closes']
      : [{ from, to, symbols }, 'a model'];
  const idle = Object.entries(other).find(([, value]) => value !== undefined);
  if (idle) refuse(`--${idle[0]} goes with ${goesWith}`, 'leave it out');
}

/** Trains in a folder of its own, which is kept for as long as the training has not come to its end. */
async function evaluateTable(context: Context, options: EvaluateCommand, path: string): Promise<Answer> {
  const { recipe = 'returns', horizon = 5, firstDay = '2017-04-03', epochs, seed = 1 } = options;
  const table = readClosesTable(path);
  const registry = new Registry(join(context.models, '.closes'));
  const found = await withKernel(options, context, (kernel) =>
    evaluateCloses({
      table,
      from: startOfDay(parseDay(firstDay)),
      recipe: recipeOf(recipe),
      horizonMinutes: horizon,
      kernel,
      registry,
      seed,
      asRowsStand: options.asRowsStand,
      overrides: { epochs },
      version: barcastVersion,
      progress: context.progress,
      signal: context.takeSignal(),
    }),
  );
  rmSync(registry.directory, { recursive: true, force: true });
  return { json: found, text: renderCloses(found) };
}

action<EvaluateCommand>(evaluate, async (context, options, [reference]) => {
  checkWords(options, reference);
  if (options.closes !== undefined) return evaluateTable(context, options, options.closes);
  return withModel(reference, options, context, async (model) => {
    const { provenance } = model.description;
    const range = testRange(options, model);
    const found = await readBarsToForecast(context.data, model.scaler, symbolsOf(options), range);
    const evaluation = await evaluateModel({ model, ...found, trainingBars: await fittedBars(context, provenance) });
    const { fittedWindowsLeftOut: left } = evaluation;
    if (left > 0) {
      const windows = left.toLocaleString('en-US');
      context.progress.say(`${windows} windows reach into the span the model was fitted on and are left out`);
    }
    return { json: evaluation, text: renderScores(evaluation, { parts: true }) };
  });
});

export const registerEvaluate: Register = (program) => program.addCommand(evaluate);
