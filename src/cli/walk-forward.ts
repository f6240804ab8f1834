/** `barcast walk-forward`: train on the past, test on what came next, move on, and score all tests together. */
import { join } from 'node:path';
import { Option } from 'commander';
import { renderWalkForward, walkForward } from '../evaluate/index.ts';
import { recipeOf } from '../features/index.ts';
import { checkModelName, Registry } from '../model/index.ts';
import { type ComputeOptions, withCompute, withKernel } from './compute.ts';
import { action, command, type Register, wholeNumber } from './context.ts';
import { type RangeOptions, type SymbolOptions, withRange, withSymbols } from './selection.ts';
import { readBars } from './store-bars.ts';
import { barcastVersion } from './version.ts';

interface WalkForwardCommand extends ComputeOptions, RangeOptions, SymbolOptions {
  readonly recipe: string;
  readonly mode: 'expanding' | 'rolling';
  readonly trainSessions: number;
  readonly testSessions: number;
  readonly purgeMinutes?: number;
  readonly embargoMinutes: number;
  readonly epochs?: number;
  readonly batch?: number;
  readonly seed: number;
  readonly name?: string;
}

const walk = withSymbols(
  withRange(withCompute(command('walk-forward', 'train and test fold by fold, each on its own past'))),
)
  .addOption(
    new Option('--recipe <recipe>', 'how bars become windows and targets')
      .choices(['returns', 'cs205'])
      .default('returns'),
  )
  .addOption(
    new Option('--mode <mode>', 'train on all sessions before, or on the last --train-sessions')
      .choices(['expanding', 'rolling'])
      .default('expanding'),
  )
  .addOption(new Option('--train-sessions <n>', 'sessions of the first training').argParser(wholeNumber(1)).default(5))
  .addOption(new Option('--test-sessions <n>', 'sessions of each test').argParser(wholeNumber(1)).default(1))
  .addOption(
    new Option(
      '--purge-minutes <n>',
      'session minutes left out before each test (default: a window and a horizon)',
    ).argParser(wholeNumber(0)),
  )
  .addOption(
    new Option('--embargo-minutes <n>', 'session minutes left out besides').argParser(wholeNumber(0)).default(60),
  )
  .addOption(new Option('--epochs <n>', 'passes over the training windows').argParser(wholeNumber(1, 10_000)))
  .addOption(new Option('--batch <n>', 'sequences a step').argParser(wholeNumber(1, 1_000_000)))
  .addOption(
    new Option('--seed <n>', 'the same seed gives the same weights').argParser(wholeNumber(0, 2 ** 48)).default(1),
  )
  .addOption(new Option('--name <name>', "folder of the folds' models (default: the recipe)"));

action<WalkForwardCommand>(walk, async (context, options) => {
  const recipe = recipeOf(options.recipe);
  const { mode, trainSessions, testSessions, embargoMinutes, epochs, batch, seed, name = recipe.name } = options;
  const purgeMinutes = options.purgeMinutes ?? recipe.windowLength + recipe.horizonMinutes;
  const registry = new Registry(join(context.models, `.walk-forward-${checkModelName(name)}`));
  const bars = await readBars(context.data, options);
  const result = await withKernel(options, context, (kernel) =>
    walkForward({
      bars,
      recipe,
      kernel,
      registry,
      plan: { mode, trainingSessions: trainSessions, testSessions, purgeMinutes, embargoMinutes },
      seed,
      overrides: { epochs, batch },
      version: barcastVersion,
      progress: context.progress,
      signal: context.takeSignal(),
    }),
  );
  return { json: result, text: renderWalkForward(result) };
});

export const registerWalkForward: Register = (program) => program.addCommand(walk);
