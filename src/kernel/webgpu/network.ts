/**
 * A network on a device. Weights, moments and everything between the windows and the new weights stay there; a call
 * reads back its answer alone, once, at its end.
 */
import { BarcastError } from '../../base/index.ts';
import { CallGuard } from '../calls.ts';
import type {
  GradientSums,
  KernelNetwork,
  NetworkShape,
  OptimizerSettings,
  OptimizerState,
  TrainingBatch,
  Windows,
} from '../kernel.ts';
import { GRADIENT_SCALE, TILE } from '../kernel.ts';
import { parameterCount } from '../parameters.ts';
import {
  checkBatch,
  checkGradientSums,
  checkInputsFinite,
  checkOptimizerSettings,
  checkOptimizerState,
  checkWeights,
  checkWindows,
} from '../validate.ts';
import { type Device, USAGE } from './device.ts';
import { MatrixCache } from './matrix-cache.ts';
import { chunkBytes, chunkSequences, type NetworkPlan, planNetwork } from './plan.ts';
import { CHUNK_BYTES, FLAGS } from './shaders-common.ts';
import { SETTINGS_BYTES } from './shaders-update.ts';
import { type ChooseCut, gradientSteps, inferenceSteps, packStep, type Step, updateSteps } from './steps.ts';

const STORAGE = USAGE.storage | USAGE.copySource | USAGE.copyTarget;

/** Compiled shaders of a device: networks of one shape share them. */
export class Pipelines {
  readonly #device: Device;
  readonly #made = new Map<string, Promise<GPUComputePipeline>>();

  constructor(device: Device) {
    this.#device = device;
  }

  get({ label, code }: Step): Promise<GPUComputePipeline> {
    let made = this.#made.get(code);
    if (made === undefined) {
      made = this.#device.pipeline(label, code);
      this.#made.set(code, made);
    }
    return made;
  }
}

interface Bound {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly step: Step;
}

/** What a network computes with, and how. */
export interface NetworkDevice {
  readonly device: Device;
  readonly pipelines: Pipelines;
  readonly cutOf: ChooseCut;
  /** Memory that a chunk may take; absent for a share that suits the device. */
  readonly chunkBytes: number | undefined;
}

export class WebgpuNetwork implements KernelNetwork {
  readonly shape: NetworkShape;
  readonly #device: Device;
  readonly #pipelines: Pipelines;
  readonly #plan: NetworkPlan;
  readonly #cutOf: ChooseCut;
  readonly #chunkBytes: number | undefined;
  readonly #released: () => void;
  readonly #guard = new CallGuard('this network');
  readonly #matrix: MatrixCache;
  readonly #buffers = new Map<string, GPUBuffer>();
  readonly #steps = new Map<string, readonly Step[]>();
  #bound = new Map<Step, Bound>();
  /** Sequences that there is room for in a chunk of each kind, and in the buffers of a whole call. */
  #room = { inference: 0, training: 0 };
  #updates = 0;
  /** The packed weights are those of record. */
  #packed = false;

  private constructor(how: NetworkDevice, shape: NetworkShape, released: () => void) {
    this.shape = structuredClone(shape);
    this.#device = how.device;
    this.#pipelines = how.pipelines;
    this.#plan = planNetwork(shape);
    this.#cutOf = how.cutOf;
    this.#chunkBytes = how.chunkBytes;
    this.#released = released;
    this.#matrix = new MatrixCache();
  }

  /** @param released called once, after the network is closed */
  static async create(
    how: NetworkDevice,
    shape: NetworkShape,
    weights: Float32Array,
    released: () => void,
  ): Promise<WebgpuNetwork> {
    const P = parameterCount(shape);
    checkWeights(weights, P);
    const network = new WebgpuNetwork(how, shape, released);
    await network.#make({
      weights: 4 * P,
      moments: 8 * P,
      newWeights: 4 * P,
      newMoments: 8 * P,
      packed: 16 * network.#plan.packed,
      sums: 8 * (P + 1),
      norm: 16,
      flags: 16,
    });
    await network.#make({ chunk: CHUNK_BYTES, count: 16, settings: SETTINGS_BYTES }, USAGE.uniform | USAGE.copyTarget);
    network.#write('weights', weights);
    return network;
  }

  readWeights(): Promise<Float32Array> {
    return this.#guard.run('readWeights', async () => new Float32Array(await this.#read([['weights', this.#P * 4]])));
  }

  writeWeights(weights: Float32Array): Promise<void> {
    return this.#guard.run('writeWeights', () => {
      checkWeights(weights, this.#P);
      this.#write('weights', weights);
      this.#packed = false;
    });
  }

  readOptimizer(): Promise<OptimizerState> {
    return this.#guard.run('readOptimizer', async () => {
      const moments = new Float32Array(await this.#read([['moments', this.#P * 8]]));
      return { m: moments.slice(0, this.#P), v: moments.slice(this.#P), updates: this.#updates };
    });
  }

  writeOptimizer(state: OptimizerState): Promise<void> {
    return this.#guard.run('writeOptimizer', () => {
      checkOptimizerState(state, this.#P);
      const moments = new Float32Array(2 * this.#P);
      moments.set(state.m);
      moments.set(state.v, this.#P);
      this.#write('moments', moments);
      this.#updates = state.updates;
    });
  }

  forward(windows: Windows): Promise<Float32Array> {
    return this.#guard.run('forward', async () => {
      checkWindows(this.shape, windows);
      const B = windows.starts.length;
      if (B === 0) return new Float32Array(0);
      const steps = this.#stepsOf('inference', () => inferenceSteps(this.#plan, this.#cutOf));
      await this.#makeRoom(B, false);
      await this.#upload(windows);
      await this.#roomFor({ outputs: 4 * B * this.#plan.outputs });
      await this.#begin();
      await this.#chunks(steps, B, this.#room.inference, { place: 0, seed: 0, step: 0, delta: 0 }, windows);
      const outputBytes = 4 * B * this.#plan.outputs;
      const answer = await this.#read([
        ['flags', 16],
        ['outputs', outputBytes],
      ]);
      this.#checkFlags(new Uint32Array(answer, 0, 4), windows);
      return new Float32Array(answer.slice(16));
    });
  }

  gradient(batch: TrainingBatch): Promise<GradientSums> {
    return this.#guard.run('gradient', async () => {
      checkBatch(this.shape, batch);
      const sequences = batch.starts.length;
      if (sequences === 0) return { sums: new BigInt64Array(this.#P + 1), sequences };
      await this.#sumGradient(batch);
      const answer = await this.#read([
        ['flags', 16],
        ['sums', 8 * (this.#P + 1)],
      ]);
      this.#checkFlags(new Uint32Array(answer, 0, 4), batch);
      return { sums: new BigInt64Array(answer.slice(16)), sequences };
    });
  }

  update(gradient: GradientSums, optimizer: OptimizerSettings): Promise<void> {
    return this.#guard.run('update', async () => {
      checkGradientSums(gradient, this.#P);
      checkOptimizerSettings(optimizer);
      this.#write('sums', gradient.sums);
      this.#write('flags', new Uint32Array(4));
      await this.#applySums(gradient.sequences, optimizer);
      this.#finishUpdate(new Uint32Array(await this.#read([['flags', 16]])));
    });
  }

  trainStep(batch: TrainingBatch, optimizer: OptimizerSettings): Promise<number> {
    return this.#guard.run('trainStep', async () => {
      checkOptimizerSettings(optimizer);
      checkBatch(this.shape, batch);
      const sequences = batch.starts.length;
      if (sequences === 0) checkGradientSums({ sums: new BigInt64Array(this.#P + 1), sequences }, this.#P);
      await this.#sumGradient(batch);
      await this.#applySums(sequences, optimizer);
      const answer = await this.#read([
        ['flags', 16],
        ['sums', 8, 8 * this.#P],
      ]);
      this.#finishUpdate(new Uint32Array(answer, 0, 4), batch);
      return Number(new BigInt64Array(answer.slice(16))[0]) / GRADIENT_SCALE / sequences;
    });
  }

  close(): void {
    if (!this.#guard.close()) return;
    for (const buffer of this.#buffers.values()) buffer.destroy();
    this.#buffers.clear();
    this.#bound.clear();
    this.#released();
  }

  get #P(): number {
    return this.#plan.parameters;
  }

  /** The batch's sums, from nothing. */
  async #sumGradient(batch: TrainingBatch): Promise<void> {
    const { loss, targets } = batch;
    const B = batch.starts.length;
    const steps = this.#stepsOf(`gradient ${loss.kind}`, () => gradientSteps(this.#plan, this.#cutOf, loss.kind));
    await this.#makeRoom(B, true);
    await this.#upload(batch);
    const levels = loss.kind === 'pinball' ? loss.levels : [];
    await this.#roomFor({ goals: 4 * (targets.length + levels.length) });
    this.#write('goals', targets);
    if (levels.length > 0) this.#write('goals', Float32Array.from(levels), 4 * targets.length);
    await this.#begin(['sums']);
    const { firstSequence: place, dropoutSeed: seed, step } = batch;
    const delta = loss.kind === 'huber' ? loss.delta : 0;
    await this.#chunks(steps, B, this.#room.training, { place, seed, step, delta }, batch);
  }

  async #applySums(sequences: number, settings: OptimizerSettings): Promise<void> {
    const t = this.#updates + 1;
    const { kind = 'adam', learningRate, beta1, beta2, epsilon, weightDecay, clipNorm } = settings;
    this.#write(
      'settings',
      Float32Array.of(
        1 / (GRADIENT_SCALE * sequences),
        clipNorm,
        learningRate,
        beta1,
        1 - beta1,
        beta2,
        1 - beta2,
        1 - beta1 ** t,
        1 - beta2 ** t,
        epsilon,
        learningRate * weightDecay,
        weightDecay,
      ),
    );
    await this.#run(
      this.#stepsOf(`update ${kind}`, () => updateSteps(this.#plan, kind)),
      0,
    );
  }

  #finishUpdate(flags: Uint32Array, batch?: TrainingBatch): void {
    this.#checkFlags(flags, batch);
    this.#updates++;
    this.#packed = false;
  }

  /** @throws BARCAST_E_NOT_FINITE, BARCAST_E_DIVERGED */
  #checkFlags(flags: Uint32Array, windows?: Windows): void {
    if (flags[FLAGS.input] !== 0 && windows) {
      checkInputsFinite(this.shape, windows);
      throw new BarcastError(
        'BARCAST_E_NOT_FINITE',
        'a window holds a number that is not finite',
        'give windows of finite numbers only',
      );
    }
    const what =
      flags[FLAGS.diverged] !== 0
        ? 'a gradient or loss, summed over a tile or the batch, is not finite or beyond what its fixed point holds'
        : flags[FLAGS.update] !== 0
          ? 'an update made a weight that is not finite'
          : undefined;
    if (what !== undefined)
      throw new BarcastError(
        'BARCAST_E_DIVERGED',
        what,
        'lower the learning rate, scale the targets, or clip the gradient',
      );
  }

  #stepsOf(name: string, make: () => Step[]): readonly Step[] {
    let steps = this.#steps.get(name);
    if (steps === undefined) {
      steps = make();
      this.#steps.set(name, steps);
    }
    return steps;
  }

  /** A chunk's buffers, large enough for the call or as large as the device takes. */
  async #makeRoom(sequences: number, training: boolean): Promise<void> {
    const kind = training ? 'training' : 'inference';
    const wanted = chunkSequences(this.#plan, sequences, training, this.#device.facts, this.#chunkBytes);
    if (this.#room[kind] >= wanted) return;
    await this.#roomFor(chunkBytes(this.#plan, wanted, training));
    this.#room[kind] = wanted;
    if (training) this.#room.inference = Math.max(this.#room.inference, wanted);
  }

  async #upload(windows: Windows): Promise<void> {
    const { matrix, starts, shift, gain } = windows;
    await this.#roomFor({
      matrix: matrix.byteLength,
      starts: starts.byteLength,
      scales: shift.byteLength + gain.byteLength,
    });
    if (this.#matrix.changed(windows, this.#plan.steps * this.#plan.features, this.#plan.features)) {
      this.#write('matrix', matrix);
    }
    this.#write('starts', starts);
    this.#write('scales', shift);
    this.#write('scales', gain, shift.byteLength);
  }

  /** Flags down, sums at zero, weights packed. */
  async #begin(zeroed: readonly string[] = []): Promise<void> {
    const encoder = this.#device.encoder();
    for (const name of ['flags', ...zeroed]) encoder.clearBuffer(this.#buffer(name));
    this.#device.queue.submit([encoder.finish()]);
    if (this.#packed) return;
    await this.#run(
      this.#stepsOf('pack', () => [packStep(this.#plan)]),
      0,
    );
    this.#packed = true;
  }

  async #chunks(
    steps: readonly Step[],
    sequences: number,
    room: number,
    of: { place: number; seed: number; step: number; delta: number },
    windows: Windows,
  ): Promise<void> {
    for (let first = 0; first < sequences; first += room) {
      const count = Math.min(room, sequences - first);
      const stride = Math.ceil(count / TILE) * TILE;
      const words = new Uint32Array(CHUNK_BYTES / 4);
      words.set([count, stride, first, of.place + first, of.seed, of.step, windows.scaleStride, sequences]);
      new Float32Array(words.buffer)[8] = of.delta;
      this.#write('chunk', words);
      this.#write('count', Uint32Array.of(stride / TILE, 0, 0, 0));
      await this.#run(steps, stride);
    }
  }

  async #run(steps: readonly Step[], n: number): Promise<void> {
    const bound = await Promise.all(steps.map((step) => this.#bound.get(step) ?? this.#bind(step)));
    const encoder = this.#device.encoder();
    const pass = encoder.beginComputePass();
    for (const { pipeline, group, step } of bound) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...step.grid(n));
    }
    pass.end();
    this.#device.queue.submit([encoder.finish()]);
  }

  async #bind(step: Step): Promise<Bound> {
    const pipeline = await this.#pipelines.get(step);
    const group = this.#device.bindGroup(
      pipeline,
      step.buffers.map((name) => this.#buffer(name)),
    );
    const bound = { pipeline, group, step };
    this.#bound.set(step, bound);
    return bound;
  }

  #buffer(name: string): GPUBuffer {
    const buffer = this.#buffers.get(name);
    if (buffer === undefined)
      throw new BarcastError('BARCAST_E_INTERNAL', `there is no buffer '${name}'`, 'report this');
    return buffer;
  }

  /** Buffers of at least so many bytes each; those that are smaller are made anew, without what they held. */
  async #roomFor(sizes: Readonly<Record<string, number>>): Promise<void> {
    const small = Object.entries(sizes).filter(([name, bytes]) => (this.#buffers.get(name)?.size ?? -1) < bytes);
    if (small.length === 0) return;
    await this.#make(Object.fromEntries(small));
  }

  async #make(sizes: Readonly<Record<string, number>>, usage: number = STORAGE): Promise<void> {
    const made = await this.#device.buffers(sizes, usage);
    for (const [name, buffer] of Object.entries(made)) {
      this.#buffers.get(name)?.destroy();
      this.#buffers.set(name, buffer);
    }
    if ('matrix' in sizes) this.#matrix.forget();
    this.#bound = new Map();
  }

  #write(name: string, values: Float32Array | Int32Array | Uint32Array | BigInt64Array, offset = 0): void {
    // Dawn takes no views of shared memory.
    const own = values.buffer instanceof SharedArrayBuffer ? values.slice() : values;
    this.#device.queue.writeBuffer(
      this.#buffer(name),
      offset,
      own.buffer as ArrayBuffer,
      own.byteOffset,
      own.byteLength,
    );
  }

  /** Parts of buffers, one after another: name, bytes, and where they begin. */
  async #read(parts: readonly (readonly [name: string, bytes: number, from?: number])[]): Promise<ArrayBuffer> {
    const total = parts.reduce((sum, [, bytes]) => sum + bytes, 0);
    await this.#roomForReading(total);
    const staging = this.#buffer('staging');
    const encoder = this.#device.encoder();
    let to = 0;
    for (const [name, bytes, from = 0] of parts) {
      encoder.copyBufferToBuffer(this.#buffer(name), from, staging, to, bytes);
      to += bytes;
    }
    this.#device.queue.submit([encoder.finish()]);
    return await this.#device.read(staging, total, 'computing');
  }

  async #roomForReading(bytes: number): Promise<void> {
    if ((this.#buffers.get('staging')?.size ?? -1) >= bytes) return;
    const { staging } = await this.#device.buffers({ staging: bytes }, USAGE.mapRead | USAGE.copyTarget);
    this.#buffers.get('staging')?.destroy();
    this.#buffers.set('staging', staging);
  }
}
