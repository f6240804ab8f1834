/**
 * Checkpoints: everything a training needs to go on to the same bits, in one file that is replaced atomically.
 * The file is safetensors: weights, both moments and the best weights so far; its metadata holds the place in the run
 * and the fingerprint of data and settings, so that a checkpoint of another run is never taken up.
 */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { BarcastError, writeFileAtomic } from '../base/index.ts';
import type { OptimizerState } from '../kernel/index.ts';
import { decodeSafetensors, encodeSafetensors } from '../model/index.ts';

/** Loss of one finished epoch (numbered from 1). */
export interface EpochRecord {
  readonly epoch: number;
  readonly trainLoss: number;
  readonly validationLoss: number;
  /** What picks the best epoch, lower is better: the validation loss unless the run gives a score of its own. */
  readonly validationScore: number;
}

/** Where a run stands between two steps. */
export interface RunPlace {
  /** Epoch in progress, from 0. */
  readonly epoch: number;
  /** Next batch of that epoch. */
  readonly batch: number;
  /** Steps done since the start. */
  readonly step: number;
  /** Sequences of that epoch so far. */
  readonly seen: number;
  /** Sum over them of their loss. */
  readonly lossSum: number;
  readonly history: readonly EpochRecord[];
}

export interface Checkpoint {
  readonly fingerprint: string;
  readonly place: RunPlace;
  readonly weights: Float32Array;
  readonly optimizer: OptimizerState;
  /** Weights of the epoch with the lowest validation score; empty before the first epoch has ended. */
  readonly best: Float32Array;
}

export class CheckpointFile {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  exists(): boolean {
    return existsSync(this.path);
  }

  write(checkpoint: Checkpoint): void {
    const { weights, optimizer, best } = checkpoint;
    const flat = (data: Float32Array) => ({ dimensions: [data.length], data });
    const tensors = new Map([
      ['weights', flat(weights)],
      ['optimizer.m', flat(optimizer.m)],
      ['optimizer.v', flat(optimizer.v)],
      ['best', flat(best)],
    ]);
    const state = { fingerprint: checkpoint.fingerprint, place: checkpoint.place, updates: optimizer.updates };
    mkdirSync(dirname(this.path), { recursive: true });
    writeFileAtomic(this.path, encodeSafetensors({ tensors, metadata: { checkpoint: JSON.stringify(state) } }));
  }

  /** @throws BARCAST_E_CHECKPOINT when it is damaged */
  read(): Checkpoint {
    try {
      const { tensors, metadata } = decodeSafetensors(readFileSync(this.path), this.path);
      const state = JSON.parse(metadata.checkpoint) as { fingerprint: string; place: RunPlace; updates: number };
      const tensor = (name: string) => {
        const found = tensors.get(name);
        if (!found) throw new Error(`tensor '${name}' is missing`);
        return found.data;
      };
      return {
        fingerprint: state.fingerprint,
        place: state.place,
        weights: tensor('weights'),
        optimizer: { m: tensor('optimizer.m'), v: tensor('optimizer.v'), updates: state.updates },
        best: tensor('best'),
      };
    } catch (error) {
      throw new BarcastError(
        'BARCAST_E_CHECKPOINT',
        `${this.path} cannot be read (${(error as Error).message})`,
        'remove it and train from the start',
        { cause: error },
      );
    }
  }

  remove(): void {
    rmSync(this.path, { force: true });
  }
}
