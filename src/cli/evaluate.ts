/** `barcast evaluate`: a model and the baselines on bars it was not fitted on. */
import { type EpochMinute, epochMs, msToMinute } from '../base/index.ts';
import { evaluateModel, renderScores } from '../evaluate/index.ts';
import type { Model, Provenance } from '../model/index.ts';
import { type ComputeOptions, withCompute, withModel } from './compute.ts';
import { action, type Context, command, type Register } from './context.ts';
import {
  type MinuteRange,
  type RangeOptions,
  rangeOf,
  type SymbolOptions,
  symbolsOf,
  withRange,
  withSymbols,
} from './selection.ts';
import { readBarsIfAny, readBarsWithin } from './store-bars.ts';

const minuteOf = (iso: string): EpochMinute => msToMinute(epochMs(Date.parse(iso)));

interface EvaluateCommand extends ComputeOptions, RangeOptions, SymbolOptions {}

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
).argument('<model>', 'NAME, NAME@VERSION or a folder');

action<EvaluateCommand>(evaluate, (context, options, [reference]) =>
  withModel(reference, options, context, async (model) => {
    const { provenance } = model.description;
    const bars = await readBarsWithin(context.data, symbolsOf(options), testRange(options, model));
    const evaluation = await evaluateModel({ model, bars, trainingBars: await fittedBars(context, provenance) });
    const { fittedWindowsLeftOut: left } = evaluation;
    if (left > 0) {
      const windows = left.toLocaleString('en-US');
      context.progress.say(`${windows} windows reach into the span the model was fitted on and are left out`);
    }
    return { json: evaluation, text: renderScores(evaluation) };
  }),
);

export const registerEvaluate: Register = (program) => program.addCommand(evaluate);
