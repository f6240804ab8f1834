/** `barcast train` as a function: bars in, a calibrated model in the registry out. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { MarketBars } from '../bars/index.ts';
import { BarcastError, epochMinute, isoOfMinute, type Progress } from '../base/index.ts';
import { type Collective, soloCollective, together } from '../collective/index.ts';
import type { Recipe, WindowSet } from '../features/index.ts';
import { type Kernel, type OptimizerSettings, outputsOf } from '../kernel/index.ts';
import {
  checkModelName,
  type ModelDescription,
  networkOutputs,
  type Registry,
  type Validation,
  weightsHash,
} from '../model/index.ts';
import { type CalibrationFit, calibrate, validationScore } from './calibrate.ts';
import { CheckpointFile, COMPUTED_ON, type RunIdentity } from './checkpoint.ts';
import { runTraining, type TrainingResult, type TrainingRun } from './loop.ts';
import { forEachOutput, type PreparedTraining, prepareInMemory } from './prepare.ts';
import type { Restart } from './restarts.ts';
import type { TrainingSettings } from './schedule.ts';
import { latestTraining, sequencesOf } from './shards.ts';
import { prepareFromStore, type StorePieces } from './store-shards.ts';
import { trainOnThreads } from './thread-ranks.ts';

export interface TrainOptions {
  /** The bars to train on, or `pieces` of a store where they are more than memory holds. */
  readonly bars?: MarketBars;
  readonly pieces?: StorePieces;
  readonly recipe: Recipe;
  readonly kernel: Kernel;
  readonly registry: Registry;
  readonly name: string;
  readonly seed: number;
  /** What differs from the recipe's own settings. */
  readonly overrides?: Partial<
    Pick<TrainingSettings, 'epochs' | 'batch' | 'patience' | 'accumulate' | 'scaling' | 'warmupEpochs'>
  > & {
    readonly learningRate?: number;
    readonly optimizer?: Partial<OptimizerSettings>;
  };
  /** The ranks that train together, where this process is one of several. */
  readonly collective?: Collective;
  /** Ranks as threads of this process, each with one thread of the kernel; 1 for none. */
  readonly threadRanks?: number;
  /** Fail unless there is a checkpoint of this very run to go on from. Without it one is taken up when it is there. */
  readonly resume?: boolean;
  readonly version: string;
  readonly checkpointEveryMs?: number;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
  /** Hear where it begins, of every step that is done, and of every checkpoint that is kept. */
  readonly onBegin?: TrainingRun['onBegin'];
  readonly onStep?: TrainingRun['onStep'];
  readonly onKept?: TrainingRun['onKept'];
}

export interface TrainAnswer {
  /** The name to evaluate, predict and serve it by. */
  readonly model: string;
  readonly version: string;
  readonly recipe: string;
  readonly kernel: string;
  /** Processes or threads that trained together, each with a kernel of its own. */
  readonly ranks: number;
  readonly epochs: number;
  readonly steps: number;
  /** Sequences trained on, all epochs together; a resumed run counts its own. */
  readonly sequences: number;
  readonly sequencesPerSecond: number;
  readonly windows: number;
  readonly trainLoss: number;
  readonly validation: Validation;
  readonly weightsHash: string;
  readonly seconds: number;
  /** Of a training over hosts: what was lost on the way and done again. */
  readonly restarts?: readonly Restart[];
}

const LEAST_WINDOWS = 64;
/** Distinct minutes that intervals are fitted on: five sessions. A shorter validation part is filled up with training windows. */
const INTERVAL_MINUTES = 5 * 330;

/** @throws BARCAST_E_TOO_FEW_WINDOWS, BARCAST_E_CHECKPOINT, BARCAST_E_DIVERGED, BARCAST_E_INTERRUPTED */
export async function trainModel(options: TrainOptions): Promise<TrainAnswer> {
  const startedAt = performance.now();
  const { recipe, kernel, registry, name, seed, progress } = options;
  checkModelName(name);
  const settings = settingsOf(recipe, options.overrides);
  const prepared = options.pieces
    ? await prepareFromStore(options.pieces, recipe, settings, progress, options.signal)
    : await prepareInMemory(options.bars!, recipe, settings, seed);
  const { scaler, shards, validation: validationWindows } = prepared;
  const training = sequencesOf(shards);
  if (training < LEAST_WINDOWS || validationWindows.starts.length < LEAST_WINDOWS) {
    throw new BarcastError(
      'BARCAST_E_TOO_FEW_WINDOWS',
      `the bars hold ${training} training and ${validationWindows.starts.length} validation windows; each part needs ${LEAST_WINDOWS}`,
      'ingest more bars, or widen --from, --to and --symbols',
    );
  }
  const pieces = shards.count > 1 ? ` in ${shards.count} pieces` : '';
  progress.say(
    `${prepared.windows.toLocaleString('en-US')} windows of ${prepared.symbols.length} symbols: ${training.toLocaleString('en-US')} to train on${pieces}, ${validationWindows.starts.length.toLocaleString('en-US')} to validate; kernel ${kernel.description}`,
  );
  const identity = identityOf(options.version, recipe, settings, seed, kernel, prepared.bars);
  const checkpoint = CheckpointFile.of(join(registry.directory, name), identity);
  const { threadRanks = 1, collective = soloCollective() } = options;
  if (options.resume) {
    await together(collective, async () => {
      const from = checkpoint.adopt(identity);
      if (from !== undefined) {
        progress.say(`goes on from what ${from} had trained; on ${identity[COMPUTED_ON]} the last bits may differ`);
      }
      checkpoint.demand(identity);
    });
  }
  const run = {
    kernel,
    shape: recipe.network,
    shards,
    validation: {
      windows: validationWindows,
      targets: forEachOutput(recipe.targets(validationWindows, scaler), outputsOf(recipe.network)),
    },
    validationScore:
      recipe.training.calibrateAmplitude === true
        ? validationScore(validationWindows, (outputs) => recipe.decode(outputs, validationWindows, scaler))
        : undefined,
    settings,
    seed,
    identity,
    collective,
    checkpoint,
    checkpointEveryMs: options.checkpointEveryMs ?? 15_000,
    progress,
    signal: options.signal,
    onBegin: options.onBegin,
    onStep: options.onStep,
    onKept: options.onKept,
  };
  const result = await (threadRanks > 1 ? trainOnThreads(run, threadRanks) : runTraining(run));
  const { description, validation } = await describe(options, prepared, result);
  // Every rank has the same model; the first one keeps it, and only then is a checkpoint of no more use.
  await together(collective, async () => {
    if (collective.rank > 0) return;
    registry.save(description, result.weights);
    registry.promote(name, description.version);
  });
  checkpoint.remove();
  return {
    model: name,
    version: description.version,
    recipe: recipe.name,
    kernel: kernel.name,
    ranks: Math.max(threadRanks, collective.size),
    epochs: result.epochs,
    steps: result.steps,
    sequences: result.sequences,
    sequencesPerSecond: Math.round(result.sequences / result.seconds),
    windows: prepared.windows,
    trainLoss: result.history[result.bestEpoch - 1].trainLoss,
    validation,
    weightsHash: description.weightsHash,
    seconds: (performance.now() - startedAt) / 1000,
  };
}

function settingsOf(recipe: Recipe, overrides: TrainOptions['overrides'] = {}): TrainingSettings {
  const { learningRate, optimizer: changes, ...rest } = overrides;
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
  const rate = learningRate === undefined ? {} : { learningRate };
  return { ...recipe.training, ...given, optimizer: { ...recipe.training.optimizer, ...changes, ...rate } };
}

/** Everything that decides the bits of the result, in words. */
function identityOf(
  version: string,
  recipe: Recipe,
  settings: TrainingSettings,
  seed: number,
  kernel: Kernel,
  bars: string,
): RunIdentity {
  return {
    'version of barcast': version,
    recipe: `${recipe.name} ${recipe.version}`,
    network: JSON.stringify(recipe.network),
    ...Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, JSON.stringify(value)])),
    seed: String(seed),
    [COMPUTED_ON]: `${kernel.name} (${kernel.arithmetic})`,
    bars,
  };
}

async function describe(
  options: TrainOptions,
  { scaler, shards, validation: validationWindows, windows, symbols, firstAsOf, lastAsOf }: PreparedTraining,
  result: TrainingResult,
): Promise<{ description: ModelDescription; validation: Validation }> {
  const { recipe, kernel, seed, name } = options;
  const network = await kernel.createNetwork(recipe.network, result.weights);
  const decodedOf = async (windows: WindowSet) =>
    recipe.decode(await networkOutputs(network, windows), windows, scaler);
  let fit: CalibrationFit;
  try {
    const missing = INTERVAL_MINUTES - new Set(validationWindows.asOf).size;
    const wanted = recipe.training.validationSplit === 'chronological' && missing > 0;
    const recent = wanted ? await latestTraining(shards, missing) : undefined;
    fit = calibrate(
      validationWindows,
      await decodedOf(validationWindows),
      recipe.training.calibrateAmplitude === true,
      recent && { windows: recent, decoded: await decodedOf(recent) },
    );
  } finally {
    network.close();
  }
  const { calibration, skillScaled } = fit;
  const best = result.history[result.bestEpoch - 1];
  const validation: Validation = {
    windows: validationWindows.starts.length,
    loss: best.validationLoss,
    skillScaled,
    epoch: result.bestEpoch,
  };
  const fixed = {
    format: 1 as const,
    name,
    recipe: { name: recipe.name, version: recipe.version },
    shape: recipe.network,
    scaler,
    calibration,
    weightsHash: weightsHash(result.weights),
    provenance: {
      barcast: options.version,
      from: isoOfMinute(epochMinute(firstAsOf - recipe.windowLength)),
      to: isoOfMinute(epochMinute(lastAsOf + recipe.horizonMinutes)),
      symbols,
      windows,
      seed,
      kernel: kernel.name,
      epochs: result.epochs,
      steps: result.steps,
      trainLoss: best.trainLoss,
      validation,
      history: result.history.map(({ epoch, trainLoss, validationLoss }) => ({ epoch, trainLoss, validationLoss })),
    },
  };
  // The version names everything but the hour of training: the same training again is the same version.
  const version = createHash('sha256').update(JSON.stringify(fixed)).digest('hex').slice(0, 12);
  return {
    description: { ...fixed, version, provenance: { ...fixed.provenance, trainedAt: new Date().toISOString() } },
    validation,
  };
}
