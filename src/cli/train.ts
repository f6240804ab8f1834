/** `barcast train`: bars of the store to a model in the registry, in one process, as a rank of many, or over hosts. */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Option } from 'commander';
import { silentProgress, toBarcastError } from '../base/index.ts';
import { type Collective, isMpiRank, joinMpi, soloCollective } from '../collective/index.ts';
import { recipeOf } from '../features/index.ts';
import { Registry } from '../model/index.ts';
import {
  parseHosts,
  type SupervisorLine,
  superviseTraining,
  supervisorLine,
  type TrainAnswer,
  trainModel,
} from '../train/index.ts';
import { type ComputeOptions, withCompute, withKernel } from './compute.ts';
import {
  type Answer,
  action,
  type Context,
  command,
  notNegative,
  positiveNumber,
  type Register,
  wholeNumber,
} from './context.ts';
import { type RangeOptions, type SymbolOptions, withRange, withSymbols } from './selection.ts';
import { trainingBars } from './store-bars.ts';
import { barcastVersion } from './version.ts';

interface TrainCommand extends ComputeOptions, RangeOptions, SymbolOptions {
  readonly recipe: string;
  readonly epochs?: number;
  readonly batch?: number;
  readonly accumulate?: number;
  readonly patience?: number;
  readonly learningRate?: number;
  readonly scaling: 'none' | 'linear' | 'sqrt';
  readonly warmup?: number;
  readonly optimizer: 'adam' | 'lamb' | 'lars';
  readonly weightDecay?: number;
  readonly seed: number;
  readonly name?: string;
  readonly resume?: boolean;
  readonly inPieces?: boolean;
  readonly collective: 'auto' | 'solo' | 'threads' | 'mpi';
  readonly rankTimeout: number;
  readonly checkpointEvery: number;
  readonly hosts?: string;
}

const train = withSymbols(withRange(withCompute(command('train', 'train a model on the bars of the store'))))
  .addOption(
    new Option('--recipe <recipe>', 'how bars become windows and targets')
      .choices(['returns', 'cs205'])
      .default('returns'),
  )
  .addOption(new Option('--epochs <n>', 'passes over the training windows').argParser(wholeNumber(1, 10_000)))
  .addOption(new Option('--batch <n>', 'sequences a step, all ranks together').argParser(wholeNumber(1, 1_000_000)))
  .addOption(new Option('--accumulate <n>', 'batches added up before an update').argParser(wholeNumber(1, 10_000)))
  .addOption(
    new Option('--patience <epochs>', 'epochs without a better one before it stops; 0 for never').argParser(
      wholeNumber(0),
    ),
  )
  .addOption(new Option('--learning-rate <x>', "the optimiser's peak step").argParser(positiveNumber))
  .addOption(
    new Option('--scaling <rule>', "how the learning rate grows with the batch, from the recipe's own batch")
      .choices(['none', 'linear', 'sqrt'])
      .default('none'),
  )
  .addOption(new Option('--warmup <epochs>', 'epochs over which the learning rate climbs').argParser(notNegative))
  .addOption(
    new Option('--optimizer <name>', 'LAMB and LARS are for very large batches')
      .choices(['adam', 'lamb', 'lars'])
      .default('adam'),
  )
  .addOption(new Option('--weight-decay <x>', 'decoupled weight decay (with adam: AdamW)').argParser(notNegative))
  .addOption(
    new Option('--seed <n>', 'the same seed gives the same weights').argParser(wholeNumber(0, 2 ** 48)).default(1),
  )
  .addOption(new Option('--name <name>', 'name in the registry (default: the recipe)'))
  .option('--in-pieces', 'train a piece of the range at a time, as it is done by itself where memory is too small')
  .option('--resume', 'insist on a checkpoint to go on from (one that fits is taken up anyway)')
  .addOption(
    new Option('--checkpoint-every <seconds>', 'time between checkpoints within an epoch')
      .argParser(positiveNumber)
      .default(15),
  )
  .addOption(
    new Option('--collective <kind>', 'ranks: threads of this process, or what mpirun started')
      .choices(['auto', 'solo', 'threads', 'mpi'])
      .default('auto'),
  )
  .addOption(
    new Option('--rank-timeout <seconds>', 'how long a rank may keep the others waiting')
      .argParser(positiveNumber)
      .default(120),
  )
  .addOption(new Option('--hosts <a,b:2>', 'start a rank on each host (or more) through mpirun, and see it through'));

/** Trains as this process: alone, with ranks as threads, or as one of mpirun's ranks. */
async function trainHere(
  context: Context,
  options: TrainCommand,
  collective: Collective,
  line: SupervisorLine | undefined,
  takeSignal: () => AbortSignal,
): Promise<TrainAnswer> {
  const recipe = recipeOf(options.recipe);
  const {
    epochs,
    batch,
    accumulate,
    patience,
    learningRate,
    scaling,
    warmup,
    weightDecay,
    seed,
    name,
    resume,
    workers,
  } = options;
  const data = await trainingBars(context.data, options, recipe, options.inPieces === true);
  const asThreads = options.collective === 'threads';
  return withKernel(asThreads ? { ...options, workers: 1 } : options, context, (kernel) => {
    // The reference kernel has one thread: more of them are ranks.
    const ranks = asThreads || (kernel.name === 'reference' && collective.size === 1 && options.collective === 'auto');
    return trainModel({
      ...data,
      recipe,
      kernel,
      registry: new Registry(context.models),
      name: name ?? recipe.name,
      seed,
      overrides: {
        epochs,
        batch,
        accumulate,
        patience,
        learningRate,
        warmupEpochs: warmup,
        scaling: scaling === 'none' ? undefined : { rule: scaling, referenceBatch: recipe.training.batch },
        optimizer: {
          ...(options.optimizer === 'adam' ? {} : { kind: options.optimizer }),
          ...(weightDecay === undefined ? {} : { weightDecay }),
        },
      },
      resume,
      collective,
      threadRanks: ranks ? (workers ?? availableParallelism()) : 1,
      checkpointEveryMs: 1000 * options.checkpointEvery,
      version: barcastVersion,
      progress: context.progress,
      signal: takeSignal(),
      onBegin: ({ step }) => collective.rank === 0 && line?.begun(step),
      onStep: ({ step }) => line?.stepped(step),
      onKept: ({ step }, ageMs) => line?.kept(step, ageMs),
    });
  }).finally(() => 'pieces' in data && data.pieces.reader.close());
}

/** Trains as a rank of the job that mpirun started; the first one answers. */
async function trainAsRank(context: Context, options: TrainCommand): Promise<TrainAnswer | undefined> {
  const line = supervisorLine();
  // Ranks of one host share its cores.
  const neighbours = Number(process.env.OMPI_COMM_WORLD_LOCAL_SIZE ?? process.env.MPI_LOCALNRANKS ?? 1);
  const workers = options.workers ?? Math.max(1, Math.floor(availableParallelism() / neighbours));
  try {
    const collective = await joinMpi({ timeoutMs: 1000 * options.rankTimeout });
    const progress = collective.rank === 0 ? (line?.progress ?? context.progress) : silentProgress;
    const takeSignal = () => AbortSignal.any([context.takeSignal(), ...(line ? [line.signal] : [])]);
    let answer: TrainAnswer;
    try {
      answer = await trainHere({ ...context, progress }, { ...options, workers }, collective, line, takeSignal);
    } catch (error) {
      // Everybody stops in the same step: nobody leaves before the last one has kept its checkpoint.
      if (toBarcastError(error).code === 'BARCAST_E_INTERRUPTED') await collective.close();
      throw error;
    }
    await collective.close();
    return collective.rank === 0 ? answer : undefined;
  } catch (error) {
    line?.fail(toBarcastError(error));
    throw error;
  } finally {
    await line?.close();
  }
}

/** The words of this command without --hosts, for the ranks. */
function wordsOfRanks(): string[] {
  const words = process.argv.slice(2);
  const own = words.filter((word, i) => !/^--hosts(=|$)/.test(word) && words[i - 1] !== '--hosts' && word !== '--json');
  return [
    process.execPath,
    fileURLToPath(new URL('main.ts', import.meta.url)),
    ...own,
    '--json',
    '--collective',
    'mpi',
  ];
}

function told(answer: TrainAnswer): Answer {
  const { validation } = answer;
  const rate = `${answer.sequencesPerSecond.toLocaleString('en-US')} sequences/s`;
  const where = `on the ${answer.kernel} kernel${answer.ranks > 1 ? `, ${answer.ranks} ranks` : ''}`;
  const text = [
    `model ${answer.model}@${answer.version}: ${answer.epochs} epochs, ${rate} ${where}`,
    `validation: loss ${validation.loss.toFixed(5)}, scaled skill over persistence ${(100 * validation.skillScaled).toFixed(2)}% on ${validation.windows.toLocaleString('en-US')} windows`,
    `weights ${answer.weightsHash}`,
  ].join('\n');
  return { json: answer, text };
}

action<TrainCommand>(train, async (context, options) => {
  if (options.hosts !== undefined) {
    const job = { hosts: parseHosts(options.hosts), command: wordsOfRanks() };
    const { progress } = context;
    return told((await superviseTraining({ ...job, progress, signal: context.takeSignal() })) as TrainAnswer);
  }
  if (options.collective === 'mpi' || (options.collective === 'auto' && isMpiRank())) {
    const answer = await trainAsRank(context, options);
    return answer && told(answer);
  }
  return told(await trainHere(context, options, soloCollective(), undefined, context.takeSignal));
});

export const registerTrain: Register = (program) => program.addCommand(train);
