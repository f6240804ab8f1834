/** `barcast train`: bars of the store to a model in the registry. */
import { Option } from 'commander';
import { recipeOf } from '../features/index.ts';
import { Registry } from '../model/index.ts';
import { trainModel } from '../train/index.ts';
import { type ComputeOptions, withCompute, withKernel } from './compute.ts';
import { action, command, positiveNumber, type Register, wholeNumber } from './context.ts';
import { type RangeOptions, type SymbolOptions, withRange, withSymbols } from './selection.ts';
import { trainingBars } from './store-bars.ts';
import { barcastVersion } from './version.ts';

interface TrainCommand extends ComputeOptions, RangeOptions, SymbolOptions {
  readonly recipe: string;
  readonly epochs?: number;
  readonly batch?: number;
  readonly learningRate?: number;
  readonly seed: number;
  readonly name?: string;
  readonly resume?: boolean;
  readonly inPieces?: boolean;
}

const train = withSymbols(withRange(withCompute(command('train', 'train a model on the bars of the store'))))
  .addOption(
    new Option('--recipe <recipe>', 'how bars become windows and targets')
      .choices(['returns', 'cs205'])
      .default('returns'),
  )
  .addOption(new Option('--epochs <n>', 'passes over the training windows').argParser(wholeNumber(1, 10_000)))
  .addOption(new Option('--batch <n>', 'sequences a step').argParser(wholeNumber(1, 1_000_000)))
  .addOption(new Option('--learning-rate <x>', "the optimiser's peak step").argParser(positiveNumber))
  .addOption(
    new Option('--seed <n>', 'the same seed gives the same weights').argParser(wholeNumber(0, 2 ** 48)).default(1),
  )
  .addOption(new Option('--name <name>', 'name in the registry (default: the recipe)'))
  .option('--in-pieces', 'train a piece of the range at a time, as it is done by itself where memory is too small')
  .option('--resume', 'insist on a checkpoint to go on from (one that fits is taken up anyway)');

action<TrainCommand>(train, async (context, options) => {
  const recipe = recipeOf(options.recipe);
  const { epochs, batch, learningRate, seed, name = recipe.name, resume } = options;
  const data = await trainingBars(context.data, options, recipe, options.inPieces === true);
  const answer = await withKernel(options, context, (kernel) =>
    trainModel({
      ...data,
      recipe,
      kernel,
      registry: new Registry(context.models),
      name,
      seed,
      overrides: { epochs, batch, learningRate },
      resume,
      version: barcastVersion,
      progress: context.progress,
      signal: context.takeSignal(),
    }),
  ).finally(() => 'pieces' in data && data.pieces.reader.close());
  const { validation } = answer;
  const text = [
    `model ${answer.model}@${answer.version}: ${answer.epochs} epochs, ${answer.sequencesPerSecond.toLocaleString('en-US')} sequences/s on the ${answer.kernel} kernel`,
    `validation: loss ${validation.loss.toFixed(5)}, scaled skill over persistence ${(100 * validation.skillScaled).toFixed(2)}% on ${validation.windows.toLocaleString('en-US')} windows`,
    `weights ${answer.weightsHash}`,
  ].join('\n');
  return { json: answer, text };
});

export const registerTrain: Register = (program) => program.addCommand(train);
