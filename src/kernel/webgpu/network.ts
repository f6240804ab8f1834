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
import { columnsOf, GRADIENT_SCALE, TILE } from '../kernel.ts';
import { parameterCount } from '../parameters.ts';
import {
  checkBatch,
  checkGradientSums,
  checkOptimizerSettings,
  checkOptimizerState,
  checkWeights,
  checkWindows,
} from '../validate.ts';
import type { ChooseCut } from './cut.ts';
import { type Device, USAGE } from './device.ts';
import { checkFlags } from './flags.ts';
import { MatrixCache } from './matrix-cache.ts';
import { Memory } from './memory.ts';
import { chunkBytes, chunkSequences, type NetworkPlan, planNetwork } from './plan.ts';
import { type Pipelines, Runner } from './runner.ts';
import { CHUNK_BYTES, chunkWords, FLAGS, HALF_MAX } from './shaders-common.ts';
import { MOST_ATTEMPTS } from './shaders-scale.ts';
import { SETTINGS_BYTES, settingsOf } from './shaders-update.ts';
import { gradientSteps, inferenceSteps, packStep, type Step, updateSteps } from './steps.ts';

/** What a network computes with, and how. */
export interface NetworkDevice {
  readonly device: Device;
  readonly pipelines: Pipelines;
  readonly cutOf: ChooseCut;
  /** What LSTM layers keep is of float16. */
  readonly half: boolean;
  /** Memory that a chunk may take; absent for a share that suits the device. */
  readonly chunkBytes: number | undefined;
}

/** What a chunk's steps are told beside its place. */
interface ChunkSettings {
  readonly place: number;
  readonly seed: number;
  readonly step: number;
  readonly delta: number;
  readonly attempt: number;
}

const INFERENCE: ChunkSettings = { place: 0, seed: 0, step: 0, delta: 0, attempt: 0 };

export class WebgpuNetwork implements KernelNetwork {
  readonly shape: NetworkShape;
  readonly #how: NetworkDevice;
  readonly #plan: NetworkPlan;
  readonly #memory: Memory;
  readonly #runner: Runner;
  readonly #released: () => void;
  readonly #guard = new CallGuard('this network');
  readonly #matrix = new MatrixCache();
  /** Sequences that there is room for in a chunk of each kind. */
  readonly #room = { inference: 0, training: 0 };
  #updates = 0;
  /** The packed weights are those of record. */
  #packed = false;

  private constructor(how: NetworkDevice, shape: NetworkShape, released: () => void) {
    this.shape = structuredClone(shape);
    this.#how = how;
    this.#plan = planNetwork(shape, how.half);
    this.#memory = new Memory(how.device);
    this.#runner = new Runner(how.device, how.pipelines, this.#memory);
    this.#released = released;
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
    network.#refuseUnpackable(weights);
    await network.#memory.make({
      weights: 4 * P,
      moments: 8 * P,
      newWeights: 4 * P,
      newMoments: 8 * P,
      packed: (how.half ? 8 : 16) * network.#plan.packed,
      sums: 8 * (P + 1),
      norm: 16,
      flags: 16,
    });
    const uniforms = { chunk: CHUNK_BYTES, count: 16, settings: SETTINGS_BYTES };
    await network.#memory.make(uniforms, USAGE.uniform | USAGE.copyTarget);
    network.#memory.write('weights', weights);
    return network;
  }

  readWeights(): Promise<Float32Array> {
    return this.#guard.run(
      'readWeights',
      async () => new Float32Array(await this.#memory.read([['weights', this.#P * 4]])),
    );
  }

  writeWeights(weights: Float32Array): Promise<void> {
    return this.#guard.run('writeWeights', () => {
      checkWeights(weights, this.#P);
      this.#refuseUnpackable(weights);
      this.#memory.write('weights', weights);
      this.#packed = false;
    });
  }

  readOptimizer(): Promise<OptimizerState> {
    return this.#guard.run('readOptimizer', async () => {
      const moments = new Float32Array(await this.#memory.read([['moments', this.#P * 8]]));
      return { m: moments.slice(0, this.#P), v: moments.slice(this.#P), updates: this.#updates };
    });
  }

  writeOptimizer(state: OptimizerState): Promise<void> {
    return this.#guard.run('writeOptimizer', () => {
      checkOptimizerState(state, this.#P);
      const moments = new Float32Array(2 * this.#P);
      moments.set(state.m);
      moments.set(state.v, this.#P);
      this.#memory.write('moments', moments);
      this.#updates = state.updates;
    });
  }

  forward(windows: Windows): Promise<Float32Array> {
    return this.#guard.run('forward', async () => {
      checkWindows(this.shape, windows);
      const B = windows.starts.length;
      if (B === 0) return new Float32Array(0);
      const outputBytes = 4 * B * this.#plan.outputs;
      const steps = this.#runner.stepsOf('inference', () => inferenceSteps(this.#plan, this.#how.cutOf));
      await this.#makeRoom(B, false);
      await this.#upload(windows);
      await this.#memory.makeRoom({ outputs: outputBytes });
      await this.#begin(['flags']);
      await this.#chunks(steps, this.#room.inference, INFERENCE, windows);
      const answer = await this.#memory.read([
        ['flags', 16],
        ['outputs', outputBytes],
      ]);
      checkFlags(new Uint32Array(answer, 0, 4), this.shape, windows);
      return new Float32Array(answer.slice(16));
    });
  }

  gradient(batch: TrainingBatch): Promise<GradientSums> {
    return this.#guard.run('gradient', async () => {
      checkBatch(this.shape, batch);
      const sequences = batch.starts.length;
      if (sequences === 0) return { sums: new BigInt64Array(this.#P + 1), sequences };
      const answer = await this.#attempts(async (attempt) => {
        await this.#sumGradient(batch, attempt);
        return await this.#memory.read([
          ['flags', 16],
          ['sums', 8 * (this.#P + 1)],
        ]);
      });
      checkFlags(new Uint32Array(answer, 0, 4), this.shape, batch);
      return { sums: new BigInt64Array(answer.slice(16)), sequences };
    });
  }

  update(gradient: GradientSums, optimizer: OptimizerSettings): Promise<void> {
    return this.#guard.run('update', async () => {
      checkGradientSums(gradient, this.#P);
      checkOptimizerSettings(optimizer);
      this.#memory.write('sums', gradient.sums);
      this.#memory.clear(['flags']);
      await this.#applySums(gradient.sequences, optimizer);
      checkFlags(new Uint32Array(await this.#memory.read([['flags', 16]])), this.shape);
      this.#updated();
    });
  }

  trainStep(batch: TrainingBatch, optimizer: OptimizerSettings): Promise<number> {
    return this.#guard.run('trainStep', async () => {
      checkOptimizerSettings(optimizer);
      checkBatch(this.shape, batch);
      const sequences = batch.starts.length;
      if (sequences === 0) checkGradientSums({ sums: new BigInt64Array(this.#P + 1), sequences }, this.#P);
      const answer = await this.#attempts(async (attempt) => {
        await this.#sumGradient(batch, attempt);
        await this.#applySums(sequences, optimizer);
        return await this.#memory.read([
          ['flags', 16],
          ['sums', 8, 8 * this.#P],
        ]);
      });
      checkFlags(new Uint32Array(answer, 0, 4), this.shape, batch);
      this.#updated();
      return Number(new BigInt64Array(answer.slice(16))[0]) / GRADIENT_SCALE / sequences;
    });
  }

  close(): void {
    if (!this.#guard.close()) return;
    this.#memory.close();
    this.#runner.close();
    this.#released();
  }

  get #P(): number {
    return this.#plan.parameters;
  }

  /**
   * The answer of an attempt, its flags first. One that left half precision took no effect and is begun anew, with the
   * smaller loss scales that the device has noted.
   */
  async #attempts(work: (attempt: number) => Promise<ArrayBuffer>): Promise<ArrayBuffer> {
    for (let attempt = 0; ; attempt++) {
      const answer = await work(attempt);
      if (new Uint32Array(answer, 0, 4)[FLAGS.overflow] === 0 || attempt + 1 === MOST_ATTEMPTS) return answer;
    }
  }

  /** The batch's sums, from nothing. */
  async #sumGradient(batch: TrainingBatch, attempt: number): Promise<void> {
    const { loss, targets, firstSequence: place, dropoutSeed: seed, step } = batch;
    const sequences = batch.starts.length;
    const levels = loss.kind === 'pinball' ? loss.levels : [];
    const steps = this.#runner.stepsOf(`gradient ${loss.kind}`, () =>
      gradientSteps(this.#plan, this.#how.cutOf, loss.kind),
    );
    await this.#makeRoom(sequences, true);
    await this.#upload(batch);
    await this.#memory.makeRoom({
      goals: 4 * (targets.length + levels.length),
      ...(this.#plan.half ? { backoff: 4 * Math.ceil(sequences / TILE) } : {}),
    });
    this.#memory.write('goals', targets);
    if (levels.length > 0) this.#memory.write('goals', Float32Array.from(levels), 4 * targets.length);
    await this.#begin(['flags', 'sums', ...(this.#plan.half && attempt === 0 ? ['backoff'] : [])]);
    const delta = loss.kind === 'huber' ? loss.delta : 0;
    await this.#chunks(steps, this.#room.training, { place, seed, step, delta, attempt }, batch);
  }

  async #applySums(sequences: number, settings: OptimizerSettings): Promise<void> {
    const { kind = 'adam' } = settings;
    this.#memory.write('settings', settingsOf(settings, sequences, this.#updates + 1));
    const steps = this.#runner.stepsOf(`update ${kind}`, () => updateSteps(this.#plan, kind));
    await this.#runner.run(steps, 0);
  }

  #updated(): void {
    this.#updates++;
    this.#packed = false;
  }

  /** @throws BARCAST_E_NOT_FINITE for a weight that is no number of half precision, where that is what passes read */
  #refuseUnpackable(weights: Float32Array): void {
    if (!this.#plan.half || weights.every((weight) => Math.abs(weight) <= HALF_MAX)) return;
    throw new BarcastError(
      'BARCAST_E_NOT_FINITE',
      `a weight is beyond the ${HALF_MAX} of half precision`,
      'choose --kernel webgpu or native',
    );
  }

  /** A chunk's buffers, large enough for the call or as large as the device takes. */
  async #makeRoom(sequences: number, training: boolean): Promise<void> {
    const kind = training ? 'training' : 'inference';
    const { device, chunkBytes: memory } = this.#how;
    const wanted = chunkSequences(this.#plan, sequences, training, device.facts, memory);
    if (this.#room[kind] >= wanted) return;
    await this.#memory.makeRoom(chunkBytes(this.#plan, wanted, training));
    this.#room[kind] = wanted;
    if (training) this.#room.inference = Math.max(this.#room.inference, wanted);
  }

  async #upload(windows: Windows): Promise<void> {
    const { matrix, starts, shift, gain } = windows;
    const made = await this.#memory.makeRoom({
      matrix: matrix.byteLength,
      starts: starts.byteLength,
      scales: shift.byteLength + gain.byteLength,
    });
    if (made.includes('matrix')) this.#matrix.forget();
    const { steps, features } = this.#plan;
    if (this.#matrix.changed(windows, steps, columnsOf(windows, features))) this.#memory.write('matrix', matrix);
    this.#memory.write('starts', starts);
    this.#memory.write('scales', shift);
    this.#memory.write('scales', gain, shift.byteLength);
  }

  /** Buffers at zero, weights packed. */
  async #begin(zeroed: readonly string[]): Promise<void> {
    this.#memory.clear(zeroed);
    if (this.#packed) return;
    const steps = this.#runner.stepsOf('pack', () => [packStep(this.#plan)]);
    await this.#runner.run(steps, 0);
    this.#packed = true;
  }

  async #chunks(steps: readonly Step[], room: number, of: ChunkSettings, windows: Windows): Promise<void> {
    const { scaleStride } = windows;
    const columns = columnsOf(windows, this.#plan.features);
    const batch = windows.starts.length;
    for (let first = 0; first < batch; first += room) {
      const count = Math.min(room, batch - first);
      const stride = Math.ceil(count / TILE) * TILE;
      const place = of.place + first;
      this.#memory.write('chunk', chunkWords({ ...of, count, stride, first, place, scaleStride, batch, columns }));
      this.#memory.write('count', Uint32Array.of(stride / TILE, 0, 0, 0));
      await this.#runner.run(steps, stride);
    }
  }
}
