/** `barcast audit`: changes the future of stored bars and demands that nothing made from the past notices. */
import { Option } from 'commander';
import { BarcastError, hashText, Random } from '../base/index.ts';
import { type AuditResult, auditLeakage, requireNoLeakage } from '../evaluate/index.ts';
import { recipeOf } from '../features/index.ts';
import { openReader } from '../store/index.ts';
import { type ComputeOptions, withCompute, withModel } from './compute.ts';
import { action, type Context, command, type Register, wholeNumber } from './context.ts';
import { type RangeOptions, rangeOf, type SymbolOptions, symbolsOf, withRange, withSymbols } from './selection.ts';
import { readBarsWithin } from './store-bars.ts';

interface AuditCommand extends ComputeOptions, RangeOptions, SymbolOptions {
  readonly recipe?: string;
  readonly cuts: number;
  readonly seed: number;
}

/** Symbols drawn when none are named. */
const SAMPLE = 60;

const audit = withSymbols(
  withRange(withCompute(command('audit', 'change the future and see whether a recipe or a model notices'))),
  `which symbols (default: ${SAMPLE} drawn at random)`,
)
  .argument('[model]', 'NAME, NAME@VERSION or a folder; or name a recipe')
  .addOption(new Option('--recipe <recipe>', 'audit a recipe without a model').choices(['returns', 'cs205']))
  .addOption(
    new Option('--cuts <n>', 'minutes at which the future is changed').argParser(wholeNumber(1, 1000)).default(8),
  )
  .addOption(new Option('--seed <n>', 'draws symbols and minutes').argParser(wholeNumber(0, 2 ** 48)).default(1));

async function sampleOf(context: Context, options: AuditCommand): Promise<readonly string[]> {
  const named = symbolsOf(options);
  if (named) return named;
  const reader = await openReader(context.data);
  try {
    const stored = await reader.symbols();
    const order = Int32Array.from(stored, (_, i) => i);
    new Random(options.seed, hashText('cli.audit')).shuffle(order);
    return [...order.subarray(0, SAMPLE)].sort((a, b) => a - b).map((i) => stored[i]);
  } finally {
    reader.close();
  }
}

function answerOf(result: AuditResult) {
  requireNoLeakage(result);
  const lines = result.checks.map(
    ({ check, compared }) => `${check}: ${compared.toLocaleString('en-US')} compared, all as they must be`,
  );
  const text = [
    `recipe ${result.recipe} on ${result.bars.toLocaleString('en-US')} bars, the future changed at ${result.cuts.length} minutes`,
    ...lines,
    'no leakage found',
  ].join('\n');
  return { json: result, text };
}

action<AuditCommand>(audit, async (context, options, [reference]) => {
  const { recipe, cuts, seed } = options;
  if ((reference === undefined) === (recipe === undefined)) {
    throw new BarcastError(
      'BARCAST_E_USAGE',
      'an audit is of a model or of a recipe',
      'name one of them, as --recipe returns',
    );
  }
  const bars = await readBarsWithin(context.data, await sampleOf(context, options), rangeOf(options));
  if (reference === undefined) return answerOf(await auditLeakage({ bars, recipe: recipeOf(recipe!), cuts, seed }));
  return withModel(reference, options, context, async (model) =>
    answerOf(await auditLeakage({ bars, recipe: model.recipe, model, cuts, seed })),
  );
});

export const registerAudit: Register = (program) => program.addCommand(audit);
