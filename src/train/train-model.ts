/** `barcast train` as a function: bars in, a calibrated model in the registry out. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { MarketBars } from '../bars/index.ts';
import { BarcastError, epochMinute, isoOfMinute, type Progress } from '../base/index.ts';
import {
  buildWindows,
  chronologicalSplit,
  type FittedScaler,
  type Recipe,
  randomSplit,
  selectWindows,
  type TrainingDefaults,
  type WindowSet,
} from '../features/index.ts';
import { type Kernel, outputsOf } from '../kernel/index.ts';
import {
  checkModelName,
  type ModelDescription,
  networkOutputs,
  type Registry,
  type Validation,
  weightsHash,
} from '../model/index.ts';
import { calibrate, validationScore } from './calibrate.ts';
import { CheckpointFile } from './checkpoint.ts';
import { runTraining, type TrainingResult } from './loop.ts';
import { shardInMemory } from './shards.ts';
import { forEachOutput } from './tune-trial.ts';

export interface TrainOptions {
  readonly bars: MarketBars;
  readonly recipe: Recipe;
  readonly kernel: Kernel;
  readonly registry: Registry;
  readonly name: string;
  readonly seed: number;
  /** What differs from the recipe's own settings. */
  readonly overrides?: Partial<Pick<TrainingDefaults, 'epochs' | 'batch' | 'patience'>> & {
    readonly learningRate?: number;
  };
  /** Fail unless there is a checkpoint of this very run to go on from. Without it one is taken up when it is there. */
  readonly resume?: boolean;
  readonly version: string;
  readonly checkpointEveryMs?: number;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

export interface TrainAnswer {
  /** The name to evaluate, predict and serve it by. */
  readonly model: string;
  readonly version: string;
  readonly recipe: string;
  readonly kernel: string;
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
  const windows = buildWindows(options.bars, recipe, { requireTarget: true });
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
  const scaled = recipe.scale(windows, scaler);
  const targets = forEachOutput(recipe.targets(scaled, scaler), outputsOf(recipe.network));
  progress.say(
    `${windows.starts.length.toLocaleString('en-US')} windows of ${windows.symbols.length} symbols: ${split.training.length.toLocaleString('en-US')} to train on, ${split.validation.length.toLocaleString('en-US')} to validate; kernel ${kernel.description}`,
  );
  const checkpoint = new CheckpointFile(join(registry.directory, name, 'checkpoint.safetensors'));
  const fingerprint = fingerprintOf(recipe, settings, seed, kernel, scaled, targets);
  if (options.resume && (!checkpoint.exists() || checkpoint.read().fingerprint !== fingerprint)) {
    throw new BarcastError(
      'BARCAST_E_CHECKPOINT',
      `there is no checkpoint of this training at ${checkpoint.path}`,
      'train with the options and bars of the run to go on with, or leave --resume out',
    );
  }
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
    fingerprint,
    checkpoint,
    progress,
    signal: options.signal,
  };
  const result = await runTraining({ ...run, checkpointEveryMs: options.checkpointEveryMs ?? 15_000 });
  const { description, validation } = await describe(options, scaled, split.validation, scaler, result);
  registry.save(description, result.weights);
  registry.promote(name, description.version);
  checkpoint.remove();
  return {
    model: name,
    version: description.version,
    recipe: recipe.name,
    kernel: kernel.name,
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

function settingsOf(recipe: Recipe, overrides: TrainOptions['overrides'] = {}): TrainingDefaults {
  const { learningRate, ...rest } = overrides;
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
  const optimizer = { ...recipe.training.optimizer, ...(learningRate === undefined ? {} : { learningRate }) };
  return { ...recipe.training, ...given, optimizer };
}

/** A hash of everything that decides the bits of the result. */
function fingerprintOf(
  recipe: Recipe,
  settings: TrainingDefaults,
  seed: number,
  kernel: Kernel,
  windows: WindowSet,
  targets: Float32Array,
): string {
  const hash = createHash('sha256');
  hash.update(JSON.stringify([recipe.name, recipe.version, recipe.network, settings, seed, kernel.name]));
  for (const array of [windows.matrix, windows.starts, windows.shift, windows.gain, targets]) {
    hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  }
  return hash.digest('hex');
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
