/** `barcast tune`: searches for a better setting of recipe and network on the bars of the store. */
import { Option } from 'commander';
import { recipeOf } from '../features/index.ts';
import { cutForTuning, type TuneResult, tune } from '../train/index.ts';
import { type ComputeOptions, withCompute, withKernel } from './compute.ts';
import { action, command, type Register, wholeNumber } from './context.ts';
import { type RangeOptions, type SymbolOptions, withRange, withSymbols } from './selection.ts';
import { readBars } from './store-bars.ts';

interface TuneCommand extends ComputeOptions, RangeOptions, SymbolOptions {
  readonly trials: number;
  readonly seed: number;
  readonly out: string;
}

/** Shares of the windows, the latest ones: a third scores, and 15% of the rest stop and calibrate. */
const SHARES = { scoring: 1 / 3, calibration: 0.15 };

const tuneCommand = withSymbols(
  withRange(withCompute(command('tune', 'search for better settings; every result is kept, and the search resumes'))),
)
  .addOption(
    new Option('--trials <n>', 'settings to draw; the first is the recipe as it is')
      .argParser(wholeNumber(1, 10_000))
      .default(27),
  )
  .addOption(
    new Option('--seed <n>', 'the same seed draws the same settings').argParser(wholeNumber(0, 2 ** 48)).default(1),
  )
  .addOption(new Option('--out <file>', 'results, one JSON object a line').default('tune.jsonl'));

const percent = (value: number) => `${(100 * value).toFixed(2)}%`.padStart(7);

const line = ({ trial, setting, skillScaled, skill, informationCoefficient, coverage80, seconds }: TuneResult) =>
  `${String(trial).padStart(5)} ${percent(skillScaled)} ${percent(skill)} ${informationCoefficient.toFixed(4).padStart(7)} ${percent(coverage80)} ${seconds.toFixed(0).padStart(5)} s  ${JSON.stringify(setting)}`;

action<TuneCommand>(tuneCommand, async (context, options) => {
  const bars = await readBars(context.data, options);
  const parts = cutForTuning(bars, recipeOf('returns'), SHARES);
  const { training, calibration, scoring } = parts;
  const [toTrain, toStop, toScore] = [training.length, calibration.starts.length, scoring.starts.length].map((count) =>
    count.toLocaleString('en-US'),
  );
  context.progress.say(`${toTrain} windows to train on, ${toStop} to stop and calibrate by, ${toScore} to score on`);
  const { trials, seed, out: file } = options;
  const { progress } = context;
  const signal = context.takeSignal();
  const results = await withKernel(options, context, (kernel) =>
    tune({ parts, kernel, trials, seed, file, progress, signal }),
  );
  const text = ['trial  scaled     raw      IC  covered  time  setting', ...results.map(line)].join('\n');
  return { json: { file, trials, best: results[0], results }, text };
});

export const registerTune: Register = (program) => program.addCommand(tuneCommand);
