/** From bars to what a training goes through: windows, scaled by what was fitted on the training part, and their split. */
import { createHash } from 'node:crypto';
import type { MarketBars } from '../bars/index.ts';
import {
  buildWindowsOnThreads,
  chronologicalSplit,
  type FittedScaler,
  fitOnThreads,
  type Recipe,
  randomSplit,
  scaleOnThreads,
  selectWindows,
  type WindowSet,
} from '../features/index.ts';
import { outputsOf } from '../kernel/index.ts';
import type { TrainingSettings } from './schedule.ts';
import { shardInMemory, type TrainingShards } from './shards.ts';

export interface PreparedTraining {
  readonly scaler: FittedScaler;
  /** The training part. */
  readonly shards: TrainingShards;
  /** The validation part: scaled. */
  readonly validation: WindowSet;
  /** Windows in all, those of the purge too. */
  readonly windows: number;
  readonly symbols: readonly string[];
  readonly firstAsOf: number;
  readonly lastAsOf: number;
  /** A hash of everything about the bars that decides the bits of the result. */
  readonly bars: string;
}

/** All windows in memory, as one shard. @throws BARCAST_E_TOO_FEW_WINDOWS */
export async function prepareInMemory(
  bars: MarketBars,
  recipe: Recipe,
  settings: TrainingSettings,
  seed: number,
): Promise<PreparedTraining> {
  const windows = await buildWindowsOnThreads(bars, recipe, { requireTarget: true });
  const { training, validation } =
    recipe.training.validationSplit === 'random'
      ? randomSplit(windows, settings.validationShare, seed)
      : chronologicalSplit(windows, settings.validationShare);
  const scaler = await fitOnThreads(windows, training, recipe, bars);
  const { windows: scaled, targets: own } = await scaleOnThreads(windows, recipe, scaler);
  const targets = forEachOutput(own, outputsOf(recipe.network));
  const hash = createHash('sha256').update(JSON.stringify([bars.symbols, scaler]));
  for (const array of [bars.offsets, bars.minute, bars.open, bars.high, bars.low, bars.close, bars.volume]) {
    hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  }
  const [firstAsOf, lastAsOf] = rangeOf(windows.asOf);
  return {
    scaler,
    shards: shardInMemory({ windows: scaled, targets, training }),
    validation: selectWindows(scaled, validation),
    windows: windows.starts.length,
    symbols: windows.symbols,
    firstAsOf,
    lastAsOf,
    bars: hash.digest('hex').slice(0, 32),
  };
}

/** The least and the largest, infinite without any. */
export function rangeOf(values: Int32Array): [least: number, largest: number] {
  let least = Number.POSITIVE_INFINITY;
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    if (values[i] < least) least = values[i];
    if (values[i] > largest) largest = values[i];
  }
  return [least, largest];
}

/** `[N, O]`: each target once for every output of a network. */
export function forEachOutput(targets: Float32Array, outputs: number): Float32Array {
  if (outputs === 1) return targets;
  const all = new Float32Array(targets.length * outputs);
  for (let i = 0; i < targets.length; i++) all.fill(targets[i], i * outputs, (i + 1) * outputs);
  return all;
}
