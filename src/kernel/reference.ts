/**
 * The reference kernel: scalar, readable, on one thread, in float64 inside. It is the oracle that every faster kernel
 * is checked against, and what runs where none of them can.
 *
 * Float32 is only at the boundary: inputs are scaled in float32 as `kernel.ts` says, the dropout multiplier is a
 * float32, weights and moments are stored as float32, outputs are rounded to float32. The equations stand with the
 * parts: `loss.ts`, and `lstm.ts`, `dense.ts`, `optimizer.ts` in `reference/`.
 *
 * A call computes on the calling thread and lets the event loop turn between tiles: what it was given must not change
 * until it answers.
 */
import { setImmediate as eventLoopTurn } from 'node:timers/promises';
import { BarcastError } from '../base/index.ts';
import { CallGuard } from './calls.ts';
import type {
  GradientSums,
  Kernel,
  KernelNetwork,
  NetworkShape,
  OptimizerSettings,
  OptimizerState,
  TrainingBatch,
  Windows,
} from './kernel.ts';
import { GRADIENT_LIMIT, GRADIENT_SCALE, TILE } from './kernel.ts';
import { outputsOf, parameterCount } from './parameters.ts';
import { type Moments, optimizerStep } from './reference/optimizer.ts';
import { BLOCK, NetworkPass } from './reference/pass.ts';
import {
  checkBatch,
  checkGradientSums,
  checkInputsFinite,
  checkOptimizerSettings,
  checkOptimizerState,
  checkWeights,
  checkWindows,
} from './validate.ts';

/** A kernel that is always available. */
export function referenceKernel(): Kernel {
  const guard = new CallGuard('this kernel');
  return {
    name: 'reference',
    threads: 1,
    description: 'plain JavaScript in float64, one thread',
    arithmetic: 'JavaScript float64',
    createNetwork: (shape, weights) => guard.run('createNetwork', () => new ReferenceNetwork(shape, weights)),
    close: () => void guard.close(),
  };
}

const zeroMoments = (parameters: number): Moments => ({
  weights: new Float32Array(parameters),
  m: new Float32Array(parameters),
  v: new Float32Array(parameters),
});

class ReferenceNetwork implements KernelNetwork {
  readonly shape: NetworkShape;
  readonly #guard = new CallGuard('this network');
  readonly #parameters: number;
  readonly #pass: NetworkPass;
  /** The weights in float64, what the passes read. */
  readonly #weights: Float64Array;
  /** `[P + 1]` one tile's gradient and loss */
  readonly #tile: Float64Array;
  /** The state of record, and the one that an update writes before it takes its place. */
  #now: Moments;
  #next: Moments;
  #updates = 0;

  constructor(shape: NetworkShape, weights: Float32Array) {
    this.#parameters = parameterCount(shape);
    checkWeights(weights, this.#parameters);
    this.shape = structuredClone(shape);
    this.#pass = new NetworkPass(this.shape);
    this.#tile = new Float64Array(this.#parameters + 1);
    this.#weights = Float64Array.from(weights);
    this.#now = zeroMoments(this.#parameters);
    this.#now.weights.set(weights);
    this.#next = zeroMoments(this.#parameters);
  }

  readWeights(): Promise<Float32Array> {
    return this.#guard.run('readWeights', () => this.#now.weights.slice());
  }

  writeWeights(weights: Float32Array): Promise<void> {
    return this.#guard.run('writeWeights', () => {
      checkWeights(weights, this.#parameters);
      this.#now.weights.set(weights);
      this.#weights.set(weights);
    });
  }

  readOptimizer(): Promise<OptimizerState> {
    return this.#guard.run('readOptimizer', () => ({
      m: this.#now.m.slice(),
      v: this.#now.v.slice(),
      updates: this.#updates,
    }));
  }

  writeOptimizer(state: OptimizerState): Promise<void> {
    return this.#guard.run('writeOptimizer', () => {
      checkOptimizerState(state, this.#parameters);
      this.#now.m.set(state.m);
      this.#now.v.set(state.v);
      this.#updates = state.updates;
    });
  }

  forward(windows: Windows): Promise<Float32Array> {
    return this.#guard.run('forward', async () => {
      checkWindows(this.shape, windows);
      checkInputsFinite(this.shape, windows);
      const sequences = windows.starts.length;
      const outputs = new Float32Array(sequences * outputsOf(this.shape));
      for (let tile = 0; tile < sequences; tile += TILE) {
        if (tile > 0) await eventLoopTurn();
        const end = Math.min(tile + TILE, sequences);
        for (let first = tile; first < end; first += BLOCK) {
          this.#pass.forward(this.#weights, windows, first, Math.min(BLOCK, end - first), outputs);
        }
      }
      return outputs;
    });
  }

  gradient(batch: TrainingBatch): Promise<GradientSums> {
    return this.#guard.run('gradient', () => this.#gradient(batch));
  }

  update(gradient: GradientSums, optimizer: OptimizerSettings): Promise<void> {
    return this.#guard.run('update', () => this.#update(gradient, optimizer));
  }

  trainStep(batch: TrainingBatch, optimizer: OptimizerSettings): Promise<number> {
    return this.#guard.run('trainStep', async () => {
      checkOptimizerSettings(optimizer);
      const gradient = await this.#gradient(batch);
      this.#update(gradient, optimizer);
      return Number(gradient.sums[this.#parameters]) / GRADIENT_SCALE / gradient.sequences;
    });
  }

  close(): void {
    this.#guard.close();
  }

  async #gradient(batch: TrainingBatch): Promise<GradientSums> {
    checkBatch(this.shape, batch);
    checkInputsFinite(this.shape, batch);
    const sequences = batch.starts.length;
    const sums = new BigInt64Array(this.#parameters + 1);
    for (let tile = 0; tile < sequences; tile += TILE) {
      if (tile > 0) await eventLoopTurn();
      const end = Math.min(tile + TILE, sequences);
      this.#tile.fill(0);
      for (let first = tile; first < end; first += BLOCK) {
        this.#pass.gradient(this.#weights, batch, first, Math.min(BLOCK, end - first), this.#tile);
      }
      addFixedPoint(sums, this.#tile);
    }
    return { sums, sequences };
  }

  #update(gradient: GradientSums, optimizer: OptimizerSettings): void {
    checkGradientSums(gradient, this.#parameters);
    checkOptimizerSettings(optimizer);
    optimizerStep(this.#now, this.#next, gradient, optimizer, this.#updates + 1);
    [this.#now, this.#next] = [this.#next, this.#now];
    this.#weights.set(this.#now.weights);
    this.#updates++;
  }
}

/** Adds one tile's gradient and loss in fixed point. @throws BARCAST_E_DIVERGED */
function addFixedPoint(sums: BigInt64Array, tile: Float64Array): void {
  const whatIs = (p: number) => (p < tile.length - 1 ? `the gradient of weight ${p}` : 'the loss');
  const remedy = 'lower the learning rate or scale the targets';
  for (let p = 0; p < tile.length; p++) {
    if (!(Math.abs(tile[p]) <= GRADIENT_LIMIT)) {
      throw new BarcastError('BARCAST_E_DIVERGED', `${whatIs(p)}, summed over a tile, is ${tile[p]}`, remedy);
    }
    const sum = sums[p] + BigInt(Math.round(tile[p] * GRADIENT_SCALE));
    if (sum !== BigInt.asIntN(64, sum)) {
      throw new BarcastError(
        'BARCAST_E_DIVERGED',
        `${whatIs(p)}, summed over the batch, does not fit its 64 bits`,
        remedy,
      );
    }
    sums[p] = sum;
  }
}
