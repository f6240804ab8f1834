/**
 * The windows of a training in pieces, each of which fits memory. An epoch goes through the pieces in a shuffled order
 * and shuffles inside each; batches do not cross pieces. One piece in memory is the ordinary case.
 */
import { BarcastError } from '../base/index.ts';
import { selectWindows, type WindowSet } from '../features/index.ts';
import { epochOrder, shardOrder } from './sampler.ts';

/** What a loaded piece holds. */
export interface LoadedShard {
  /** Scaled, the targets of `training` known. */
  readonly windows: WindowSet;
  /** `[N]` in the network's output units. */
  readonly targets: Float32Array;
  /** Which windows of it are trained on. */
  readonly training: Int32Array;
}

/** The windows of a training in pieces, each of which fits memory. */
export interface TrainingShards {
  /** Number of pieces. */
  readonly count: number;
  /** Training windows in a piece, known before it is loaded. */
  sequences(shard: number): number;
  /** Scaled windows, targets [N] in output units, and which windows of it are trained on. */
  load(shard: number): Promise<LoadedShard>;
}

/** The one piece of a training that is all in memory. */
export function shardInMemory(shard: LoadedShard): TrainingShards {
  return { count: 1, sequences: () => shard.training.length, load: () => Promise.resolve(shard) };
}

/** Training windows of all pieces. */
export function sequencesOf(shards: TrainingShards): number {
  let sum = 0;
  for (let shard = 0; shard < shards.count; shard++) sum += shards.sequences(shard);
  return sum;
}

const LATEST_WINDOWS = 100_000;

/**
 * Training windows of the last piece, which holds the latest ones: those of its last `minutes` distinct minutes, evenly
 * thinned to at most {@link LATEST_WINDOWS}.
 */
export async function latestTraining(shards: TrainingShards, minutes: number): Promise<WindowSet> {
  const { windows, training } = await shards.load(shards.count - 1);
  const distinct = [...new Set(training.map((w) => windows.asOf[w]))].sort((a, b) => a - b);
  const from = distinct.at(-minutes) ?? Number.NEGATIVE_INFINITY;
  const late = training.filter((w) => windows.asOf[w] >= from);
  const step = Math.max(1, Math.ceil(late.length / LATEST_WINDOWS));
  return selectWindows(
    windows,
    late.filter((_, i) => i % step === 0),
  );
}

/** Steps of an epoch: a piece's last batch may be smaller than `batch`. */
export function stepsAnEpoch(shards: TrainingShards, batch: number): number {
  let sum = 0;
  for (let shard = 0; shard < shards.count; shard++) sum += Math.ceil(shards.sequences(shard) / batch);
  return sum;
}

/** One batch of an epoch. */
export interface EpochBatch {
  readonly shard: LoadedShard;
  /** The windows of `shard` that it holds. */
  readonly indices: Int32Array;
  /** Whether it is the first one that is taken from this load of the shard. */
  readonly fresh: boolean;
}

/**
 * The batches of an epoch (from 0) from number `first` on, in the order that the seed gives. While one piece is trained
 * on the next one is loaded: at most two are held.
 *
 * @throws BARCAST_E_INTERNAL when a piece does not hold as many training windows as it promised
 */
export async function* epochBatches(
  shards: TrainingShards,
  seed: number,
  epoch: number,
  batch: number,
  first: number,
): AsyncGenerator<EpochBatch, void, undefined> {
  const order = shardOrder(shards.count, seed, epoch).filter((shard) => shards.sequences(shard) > 0);
  const batchesOf = (place: number) => Math.ceil(shards.sequences(order[place]) / batch);
  let place = 0;
  let skip = first;
  while (place < order.length && skip >= batchesOf(place)) skip -= batchesOf(place++);
  const load = (at: number) => {
    if (at >= order.length) return undefined;
    const loading = shards.load(order[at]);
    // A failure is told when its turn comes, also when nobody gets that far.
    loading.catch(() => {});
    return loading;
  };
  let next = load(place);
  while (next) {
    const shard = await next;
    const promised = shards.sequences(order[place]);
    if (shard.training.length !== promised) {
      throw new BarcastError(
        'BARCAST_E_INTERNAL',
        `piece ${order[place]} of the training holds ${shard.training.length} training windows, not ${promised}`,
        'train again; report it if it stays',
      );
    }
    next = load(place + 1);
    const sequence = epochOrder(shard.training, seed, epoch, order[place]);
    for (let from = skip * batch, fresh = true; from < sequence.length; from += batch, fresh = false)
      yield { shard, indices: sequence.subarray(from, from + batch), fresh };
    skip = 0;
    place++;
  }
}
