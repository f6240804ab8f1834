/**
 * A network of the native kernel. Arguments are checked here by the rules all kernels share; C checks sizes once more.
 *
 * Work of more than a fraction of a millisecond runs on a thread of koffi's, so that the event loop goes on; less than
 * that, or than the caller allows, runs at once, as handing it over takes about 0.1 ms.
 */
import { BarcastError } from '../base/index.ts';
import { CallGuard } from './calls.ts';
import {
  columnsOf,
  type GradientSums,
  type KernelNetwork,
  type Loss,
  type NetworkShape,
  type OptimizerSettings,
  type OptimizerState,
  type TrainingBatch,
  type Windows,
} from './kernel.ts';
import {
  type Handle,
  type NativeCall,
  type NativeGoal,
  type NativeLibrary,
  type NativeWindows,
  STATUS,
} from './native-library.ts';
import { outputsOf, parameterCount } from './parameters.ts';
import {
  checkBatch,
  checkGradientSums,
  checkInputsFinite,
  checkOptimizerSettings,
  checkOptimizerState,
  checkWeights,
  checkWindows,
} from './validate.ts';

/** Multiply-adds below which a call runs on the caller's thread in any case: about 0.3 ms of one core. */
const AT_ONCE = 1e7;
/** Multiply-adds of one core in a millisecond, of the better part of processors. */
const WORK_A_MS = 6e7;

const LOSS_KINDS = { mse: 0, huber: 1, pinball: 2 } as const satisfies Record<Loss['kind'], number>;

const OPTIMIZER_KINDS = { adam: 0, lamb: 1, lars: 2 } as const satisfies Record<
  NonNullable<OptimizerSettings['kind']>,
  number
>;

const padTo = (length: number, values: readonly number[]) => Array.from({ length }, (_, i) => values[i] ?? 0);

/** Multiply-adds of one sequence's forward pass; a training step takes three times as many. */
function forwardWork({ windowLength, features, lstm, dense }: NetworkShape): number {
  let inputs = features;
  let work = 0;
  for (const units of lstm) {
    work += windowLength * 4 * units * (inputs + units);
    inputs = units;
  }
  for (const { units } of dense) {
    work += inputs * units;
    inputs = units;
  }
  return work;
}

export class NativeNetwork implements KernelNetwork {
  readonly shape: NetworkShape;
  readonly #library: NativeLibrary;
  readonly #handle: Handle;
  readonly #released: () => void;
  readonly #guard = new CallGuard('this network');
  readonly #parameters: number;
  /** Multiply-adds of a sequence. */
  readonly #work: number;
  /** Of a call that runs at once. */
  readonly #mostAtOnce: number;

  /**
   * @param heldMs how long a call may keep the caller's thread
   * @param released called once, after the network is closed
   */
  constructor(
    library: NativeLibrary,
    kernel: Handle,
    shape: NetworkShape,
    weights: Float32Array,
    heldMs: number,
    released: () => void,
  ) {
    this.#parameters = parameterCount(shape);
    checkWeights(weights, this.#parameters);
    this.shape = structuredClone(shape);
    this.#library = library;
    this.#work = forwardWork(shape);
    this.#mostAtOnce = Math.max(AT_ONCE, WORK_A_MS * heldMs);
    this.#released = released;
    const status = new Int32Array(1);
    const { dense, lstm } = shape;
    const handle = library.networkCreate(
      kernel,
      {
        dropout: shape.dropout,
        window_length: shape.windowLength,
        features: shape.features,
        lstm_layers: lstm.length,
        lstm_units: padTo(3, lstm),
        dense_layers: dense.length,
        dense_units: padTo(
          4,
          dense.map(({ units }) => units),
        ),
        dense_activations: padTo(
          4,
          dense.map(({ activation }) => Number(activation === 'relu')),
        ),
      },
      weights,
      weights.length,
      status,
    );
    if (handle === null) throw statusError(status[0]);
    this.#handle = handle;
  }

  readWeights(): Promise<Float32Array> {
    return this.#guard.run('readWeights', () => {
      const weights = new Float32Array(this.#parameters);
      this.#library.readWeights(this.#handle, weights);
      return weights;
    });
  }

  writeWeights(weights: Float32Array): Promise<void> {
    return this.#guard.run('writeWeights', () => {
      checkWeights(weights, this.#parameters);
      this.#library.writeWeights(this.#handle, weights);
    });
  }

  readOptimizer(): Promise<OptimizerState> {
    return this.#guard.run('readOptimizer', () => {
      const m = new Float32Array(this.#parameters);
      const v = new Float32Array(this.#parameters);
      return { m, v, updates: this.#library.readOptimizer(this.#handle, m, v) };
    });
  }

  writeOptimizer(state: OptimizerState): Promise<void> {
    return this.#guard.run('writeOptimizer', () => {
      checkOptimizerState(state, this.#parameters);
      this.#library.writeOptimizer(this.#handle, state.m, state.v, state.updates);
    });
  }

  forward(windows: Windows): Promise<Float32Array> {
    return this.#guard.run('forward', async () => {
      checkWindows(this.shape, windows);
      const sequences = windows.starts.length;
      const outputs = new Float32Array(sequences * outputsOf(this.shape));
      const work = this.#work * sequences;
      this.#check(
        await this.#call(this.#library.forward, work, this.#handle, this.#windows(windows), outputs),
        windows,
      );
      return outputs;
    });
  }

  gradient(batch: TrainingBatch, into?: BigInt64Array): Promise<GradientSums> {
    return this.#guard.run('gradient', async () => {
      checkBatch(this.shape, batch);
      const sequences = batch.starts.length;
      const sums = into ?? new BigInt64Array(this.#parameters + 1);
      checkGradientSums({ sums, sequences: 1 }, this.#parameters);
      const work = 3 * this.#work * sequences;
      const windows = this.#windows(batch);
      const status = await this.#call(this.#library.gradient, work, this.#handle, windows, goalOf(batch), sums);
      this.#check(status, batch);
      return { sums, sequences };
    });
  }

  update(gradient: GradientSums, optimizer: OptimizerSettings): Promise<void> {
    return this.#guard.run('update', async () => {
      checkGradientSums(gradient, this.#parameters);
      checkOptimizerSettings(optimizer);
      const { sums, sequences } = gradient;
      const work = 64 * this.#parameters;
      this.#check(await this.#call(this.#library.update, work, this.#handle, sums, sequences, optimizerOf(optimizer)));
    });
  }

  trainStep(batch: TrainingBatch, optimizer: OptimizerSettings): Promise<number> {
    return this.#guard.run('trainStep', async () => {
      checkOptimizerSettings(optimizer);
      checkBatch(this.shape, batch);
      const sequences = batch.starts.length;
      if (sequences === 0)
        checkGradientSums({ sums: new BigInt64Array(this.#parameters + 1), sequences }, this.#parameters);
      const loss = new Float64Array(1);
      const settings = optimizerOf(optimizer);
      const work = 3 * this.#work * sequences;
      const windows = this.#windows(batch);
      const status = await this.#call(this.#library.train, work, this.#handle, windows, goalOf(batch), settings, loss);
      this.#check(status, batch);
      return loss[0];
    });
  }

  close(): void {
    if (!this.#guard.close()) return;
    this.#library.networkDestroy(this.#handle);
    this.#released();
  }

  #windows(windows: Windows): NativeWindows {
    const { matrix, starts, shift, gain, scaleStride } = windows;
    const columns = columnsOf(windows, this.shape.features);
    const rows = matrix.length / columns;
    return { matrix, starts, shift, gain, rows, sequences: starts.length, scale_stride: scaleStride, columns };
  }

  /** Calls C. What C points to must not be freed meanwhile: the arguments live in this closure until C answers. */
  async #call<Arguments extends unknown[]>(
    f: NativeCall<Arguments>,
    work: number,
    ...args: Arguments
  ): Promise<number> {
    if (work <= this.#mostAtOnce) return f(...args);
    const status = await new Promise<number>((resolve, reject) => {
      f.async(...args, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
    held(args);
    return status;
  }

  /** Turns a status into its error, with the place of a number that is not finite. */
  #check(status: number, windows?: Windows): void {
    if (status === STATUS.ok) return;
    if (status === STATUS.notFinite && windows) checkInputsFinite(this.shape, windows);
    throw statusError(status);
  }
}

/** Keeps what it is given reachable up to here. */
function held(_values: unknown[]): void {}

function goalOf(batch: TrainingBatch): NativeGoal {
  const { loss } = batch;
  return {
    targets: batch.targets,
    levels: loss.kind === 'pinball' ? Float32Array.from(loss.levels) : null,
    delta: loss.kind === 'huber' ? loss.delta : 0,
    first_sequence: batch.firstSequence,
    loss: LOSS_KINDS[loss.kind],
    dropout_seed: batch.dropoutSeed >>> 0,
    step: batch.step >>> 0,
  };
}

const optimizerOf = (settings: OptimizerSettings) => ({
  learning_rate: settings.learningRate,
  beta1: settings.beta1,
  beta2: settings.beta2,
  epsilon: settings.epsilon,
  weight_decay: settings.weightDecay,
  clip_norm: settings.clipNorm,
  kind: OPTIMIZER_KINDS[settings.kind ?? 'adam'],
});

function statusError(status: number): BarcastError {
  switch (status) {
    case STATUS.shape:
      return new BarcastError(
        'BARCAST_E_SHAPE',
        'the native kernel refused an array size or position',
        'check the shape and the window starts',
      );
    case STATUS.notFinite:
      return new BarcastError(
        'BARCAST_E_NOT_FINITE',
        'a window holds a number that is not finite',
        'give windows of finite numbers only',
      );
    case STATUS.diverged:
      return new BarcastError(
        'BARCAST_E_DIVERGED',
        'a gradient, loss or weight is not finite or beyond what a tile may sum to',
        'lower the learning rate, scale the targets, or clip the gradient',
      );
    case STATUS.memory:
      return new BarcastError(
        'BARCAST_E_KERNEL_UNAVAILABLE',
        'there is no memory for this network',
        'use fewer threads or a smaller network',
      );
    case STATUS.setting:
      return new BarcastError('BARCAST_E_USAGE', 'the native kernel refused a loss or optimiser setting', 'check them');
    default:
      return new BarcastError('BARCAST_E_INTERNAL', `the native kernel answered ${status}`, 'report this');
  }
}
