/** Which windows make which batch: a pure function of the seed, the epoch and the batch, so that any rank can tell. */
import { Random } from '../base/index.ts';
import { BatchScales, type WindowSet } from '../features/index.ts';
import type { Loss, TrainingBatch } from '../kernel/index.ts';

/** Streams of the generator: one for each epoch of each shard, and the last one for the order of the shards. */
const SHUFFLE_STREAM = 0x2000;
const STREAMS_A_SHARD = 0x10000;
/** Shards an epoch can have; more would share their streams. */
export const MOST_SHARDS = 0xffff;

const streamOf = (epoch: number, shard: number) => SHUFFLE_STREAM + epoch + STREAMS_A_SHARD * shard;

/** The order of a shard's training windows in an epoch (from 0): a fresh shuffle each, the same for the same seed. */
export function epochOrder(training: Int32Array, seed: number, epoch: number, shard = 0): Int32Array {
  const order = training.slice();
  new Random(seed, streamOf(epoch, shard)).shuffle(order);
  return order;
}

/** The order of `count` shards in an epoch (from 0). */
export function shardOrder(count: number, seed: number, epoch: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, shard) => shard);
  new Random(seed, streamOf(epoch, MOST_SHARDS)).shuffle(order);
  return order;
}

/** Cuts batches out of a scaled window set; arrays are made once and reused, so a batch is valid until the next. */
export class Batches {
  readonly #windows: WindowSet;
  readonly #targets: Float32Array;
  readonly #starts: Int32Array;
  /** O */
  readonly #outputs: number;
  readonly #batchTargets: Float32Array;
  readonly #scales: BatchScales;

  /** @param targets `[N, O]` of the whole window set */
  constructor(windows: WindowSet, targets: Float32Array, size: number) {
    this.#windows = windows;
    this.#targets = targets;
    this.#starts = new Int32Array(size);
    this.#outputs = Math.max(1, targets.length / Math.max(1, windows.starts.length));
    this.#batchTargets = new Float32Array(size * this.#outputs);
    this.#scales = new BatchScales(windows.scaling, size);
  }

  /**
   * The windows `indices`, at most as many as the size given to the constructor: a step's whole batch, or the part of
   * it whose first sequence has place `firstSequence` in the whole.
   */
  gather(indices: Int32Array, loss: Loss, dropoutSeed: number, step: number, firstSequence = 0): TrainingBatch {
    const { starts, scaling, scales, matrix } = this.#windows;
    const outputs = this.#outputs;
    const count = indices.length;
    for (let b = 0; b < count; b++) {
      const window = indices[b];
      this.#starts[b] = starts[window];
      for (let o = 0; o < outputs; o++) this.#batchTargets[b * outputs + o] = this.#targets[window * outputs + o];
    }
    return {
      matrix,
      columns: scaling.columns,
      starts: this.#starts.subarray(0, count),
      ...this.#scales.of(scales, count, indices),
      targets: this.#batchTargets.subarray(0, count * outputs),
      loss,
      dropoutSeed,
      step,
      firstSequence,
    };
  }
}
