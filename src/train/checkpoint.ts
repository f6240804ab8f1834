/**
 * Checkpoints: everything a training needs to go on to the same bits, in one file that is replaced atomically.
 * The file is safetensors: weights, both moments and the best weights so far; its metadata holds the place in the run
 * and what the run is (bars, recipe, settings, seed, kernel, version), so that a checkpoint of another run is never
 * taken up. The sampler, the schedule and the generators are pure functions of the seed and that place.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BarcastError, writeFileAtomicAside } from '../base/index.ts';
import { firstDifference } from '../collective/index.ts';
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

/** What decides the bits of a run, in words, by name: bars, recipe, settings, seed, kernel, version. */
export type RunIdentity = Readonly<Record<string, string>>;

export interface Checkpoint {
  readonly identity: RunIdentity;
  readonly place: RunPlace;
  readonly weights: Float32Array;
  readonly optimizer: OptimizerState;
  /** Weights of the epoch with the lowest validation score; empty before the first epoch has ended. */
  readonly best: Float32Array;
}

export function encodeCheckpoint({ identity, place, weights, optimizer, best }: Checkpoint): Uint8Array {
  const flat = (data: Float32Array) => ({ dimensions: [data.length], data });
  const tensors = new Map([
    ['weights', flat(weights)],
    ['optimizer.m', flat(optimizer.m)],
    ['optimizer.v', flat(optimizer.v)],
    ['best', flat(best)],
  ]);
  const state = { identity, place, updates: optimizer.updates };
  return encodeSafetensors({ tensors, metadata: { checkpoint: JSON.stringify(state) } });
}

/** @param source named in errors. @throws BARCAST_E_CHECKPOINT when it is damaged */
export function decodeCheckpoint(bytes: Uint8Array, source: string): Checkpoint {
  try {
    const { tensors, metadata } = decodeSafetensors(bytes, source);
    const state = JSON.parse(metadata.checkpoint) as { identity: RunIdentity; place: RunPlace; updates: number };
    const tensor = (name: string) => {
      const found = tensors.get(name);
      if (!found) throw new Error(`tensor '${name}' is missing`);
      return found.data;
    };
    if (typeof state.identity !== 'object' || typeof state.place !== 'object') throw new Error('its place is missing');
    return {
      identity: state.identity,
      place: state.place,
      weights: tensor('weights'),
      optimizer: { m: tensor('optimizer.m'), v: tensor('optimizer.v'), updates: state.updates },
      best: tensor('best'),
    };
  } catch (error) {
    throw new BarcastError(
      'BARCAST_E_CHECKPOINT',
      `${source} cannot be read (${(error as Error).message})`,
      'remove it and train from the start',
      { cause: error },
    );
  }
}

const NAME = /^checkpoint-[0-9a-f]{12}\.safetensors$/;

export class CheckpointFile {
  /** The file of a run in a folder: one for each identity, so that no training overwrites another's. */
  static of(folder: string, identity: RunIdentity): CheckpointFile {
    const parts = JSON.stringify(Object.entries(identity).sort(([a], [b]) => (a < b ? -1 : 1)));
    const name = createHash('sha256').update(parts).digest('hex').slice(0, 12);
    return new CheckpointFile(join(folder, `checkpoint-${name}.safetensors`));
  }

  readonly path: string;
  #writing: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.path = path;
  }

  exists(): boolean {
    return existsSync(this.path);
  }

  /** Writes while other work goes on, one after the other; ends when this one is on the disk. */
  write(checkpoint: Checkpoint): Promise<void> {
    // Encoded at once: the arrays may change when this returns.
    const bytes = encodeCheckpoint(checkpoint);
    const write = async () => {
      mkdirSync(dirname(this.path), { recursive: true });
      await writeFileAtomicAside(this.path, bytes);
    };
    return (this.#writing = this.#writing.then(write));
  }

  /** @throws BARCAST_E_CHECKPOINT when it is damaged */
  read(): Checkpoint {
    return decodeCheckpoint(readFileSync(this.path), this.path);
  }

  /**
   * Demands that it is there and whole.
   * @throws BARCAST_E_CHECKPOINT, naming what differs where the folder holds one of another run
   */
  demand(identity: RunIdentity): void {
    if (this.exists()) return void this.read();
    const folder = dirname(this.path);
    const others = (existsSync(folder) ? readdirSync(folder) : [])
      .filter((name) => NAME.test(name))
      .map((name) => join(folder, name))
      .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
    const [newest] = others;
    const theirs = newest === undefined ? undefined : new CheckpointFile(newest).read().identity;
    const part = theirs && firstDifference(identity, theirs);
    const difference = part
      ? `; ${newest} is of another one: its ${part} is ${theirs[part]}, not ${identity[part]}`
      : '';
    throw new BarcastError(
      'BARCAST_E_CHECKPOINT',
      `there is no checkpoint of this training at ${this.path}${difference}`,
      'train with the options and bars of the run to go on with, or leave --resume out',
    );
  }

  remove(): void {
    rmSync(this.path, { force: true });
  }
}
