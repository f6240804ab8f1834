/** `barcast train` as a function: bars in, a calibrated model in the registry out. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { MarketBars } from '../bars/index.ts';
import { BarcastError, epochMinute, isoOfMinute, type Progress } from '../base/index.ts';
import { type Collective, soloCollective, together } from '../collective/index.ts';
import {
  buildWindowsOnThreads,
  chronologicalSplit,
  type FittedScaler,
  type Recipe,
  randomSplit,
  scaleOnThreads,
  selectWindows,
  type WindowSet,
} from '../features/index.ts';
import { type Kernel, type OptimizerSettings, outputsOf } from '../kernel/index.ts';
import {
  checkModelName,
  type ModelDescription,
  networkOutputs,
  type Registry,
  type Validation,
  weightsHash,
} from '../model/index.ts';
import { calibrate, validationScore } from './calibrate.ts';
import { CheckpointFile, type RunIdentity } from './checkpoint.ts';
import { runTraining, type TrainingResult, type TrainingRun } from './loop.ts';
import type { TrainingSettings } from './schedule.ts';
import { shardInMemory } from './shards.ts';
import { trainOnThreads } from './thread-ranks.ts';

export interface TrainOptions {
  readonly bars: MarketBars;
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
  /** Hears of every step that is done. */
  readonly onStep?: TrainingRun['onStep'];
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
}

const LEAST_WINDOWS = 64;

/** @throws BARCAST_E_TOO_FEW_WINDOWS, BARCAST_E_CHECKPOINT, BARCAST_E_DIVERGED, BARCAST_E_INTERRUPTED */
export async function trainModel(options: TrainOptions): Promise<TrainAnswer> {
  const startedAt = performance.now();
  const { recipe, kernel, registry, name, seed, progress } = options;
  checkModelName(name);
  const settings = settingsOf(recipe, options.overrides);
  const windows = await buildWindowsOnThreads(options.bars, recipe, { requireTarget: true });
  const split =
    recipe.training.validationSplit === 'random'
      ? randomSplit(windows, settings.validationShare, seed)
      : chronologicalSplit(windows, settings.validationShare);
  if (split.training.length < LEAST_WINDOWS || split.validation.length < LEAST_WINDOWS) {
    throw new BarcastError(
      'BARCAST_E_TOO_FEW_WINDOWS',
      `the bars hold ${split.training.length} training and ${split.validation.length} validation windows; each part needs ${LEAST_WINDOWS}`,
      'ingest more bars, or widen --from, --to and --symbols',
    );
  }
  const scaler = recipe.fit(selectWindows(windows, split.training), options.bars);
  const { windows: scaled, targets: own } = await scaleOnThreads(windows, recipe, scaler);
  const targets = forEachOutput(own, outputsOf(recipe.network));
  progress.say(
    `${windows.starts.length.toLocaleString('en-US')} windows of ${windows.symbols.length} symbols: ${split.training.length.toLocaleString('en-US')} to train on, ${split.validation.length.toLocaleString('en-US')} to validate; kernel ${kernel.description}`,
  );
  const identity = identityOf(options.version, recipe, settings, seed, kernel, scaled, targets);
  const checkpoint = CheckpointFile.of(join(registry.directory, name), identity);
  const { threadRanks = 1, collective = soloCollective() } = options;
  if (options.resume) await together(collective, async () => checkpoint.demand(identity));
  const validationWindows = selectWindows(scaled, split.validation);
  const run = {
    kernel,
    shape: recipe.network,
    shards: shardInMemory({ windows: scaled, targets, training: split.training }),
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
    onStep: options.onStep,
  };
  const result = await (threadRanks > 1 ? trainOnThreads(run, threadRanks) : runTraining(run));
  const { description, validation } = await describe(options, scaled, split.validation, scaler, result);
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
    windows: windows.starts.length,
    trainLoss: result.history[result.bestEpoch - 1].trainLoss,
    validation,
    weightsHash: description.weightsHash,
    seconds: (performance.now() - startedAt) / 1000,
  };
}

/** `[N, O]`: each target once for every output. */
function forEachOutput(targets: Float32Array, outputs: number): Float32Array {
  if (outputs === 1) return targets;
  return Float32Array.from({ length: targets.length * outputs }, (_, i) => targets[Math.floor(i / outputs)]);
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
  windows: WindowSet,
  targets: Float32Array,
): RunIdentity {
  const hash = createHash('sha256');
  for (const array of [windows.matrix, windows.starts, windows.shift, windows.gain, targets]) {
    hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  }
  return {
    'version of barcast': version,
    recipe: `${recipe.name} ${recipe.version}`,
    network: JSON.stringify(recipe.network),
    ...Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, JSON.stringify(value)])),
    seed: String(seed),
    'instruction set': `${kernel.name} (${kernel.arithmetic})`,
    bars: hash.digest('hex').slice(0, 32),
  };
}

async function describe(
  options: TrainOptions,
  windows: WindowSet,
  validationIndices: Int32Array,
  scaler: FittedScaler,
  result: TrainingResult,
): Promise<{ description: ModelDescription; validation: Validation }> {
  const { recipe, kernel, seed, name } = options;
  const validationWindows = selectWindows(windows, validationIndices);
  const network = await kernel.createNetwork(recipe.network, result.weights);
  let output: Float32Array;
  try {
    output = await networkOutputs(network, validationWindows);
  } finally {
    network.close();
  }
  const { calibration, skillScaled } = calibrate(
    validationWindows,
    recipe.decode(output, validationWindows, scaler),
    recipe.training.calibrateAmplitude === true,
  );
  const best = result.history[result.bestEpoch - 1];
  const validation: Validation = {
    windows: validationIndices.length,
    loss: best.validationLoss,
    skillScaled,
    epoch: result.bestEpoch,
  };
  const [first, last] = windows.asOf.reduce(
    ([low, high], asOf) => [Math.min(low, asOf), Math.max(high, asOf)],
    [Infinity, -Infinity],
  );
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
      from: isoOfMinute(epochMinute(first - recipe.windowLength)),
      to: isoOfMinute(epochMinute(last + recipe.horizonMinutes)),
      symbols: windows.symbols,
      windows: windows.starts.length,
      seed,
      kernel: kernel.name,
      epochs: result.epochs,
      steps: result.steps,
      trainLoss: best.trainLoss,
      validation,
    },
  };
  // The version names everything but the hour of training: the same training again is the same version.
  const version = createHash('sha256').update(JSON.stringify(fixed)).digest('hex').slice(0, 12);
  return {
    description: { ...fixed, version, provenance: { ...fixed.provenance, trainedAt: new Date().toISOString() } },
    validation,
  };
}
