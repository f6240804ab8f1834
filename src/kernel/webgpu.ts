/**
 * The WebGPU kernel: WGSL on any GPU that Vulkan, Metal or Direct3D 12 reaches, through Dawn (npm `webgpu`).
 *
 * One device's answers and gradients are the same bits however a batch is cut; another device's may differ in the last
 * ones, as compilers and units differ. In half precision (`half`) what LSTM layers keep is of float16, sums and weights
 * of record are of float32. The gradient is the native kernel's: tiles of 32 sequences in float32, added as
 * 64-bit integers, here as two words on the device.
 */
import { createHash } from 'node:crypto';
import { Random } from '../base/index.ts';
import { CallGuard } from './calls.ts';
import {
  FLOAT16_TOLERANCE,
  type Kernel,
  type KernelNetwork,
  type KernelTolerance,
  type NetworkShape,
  type TrainingBatch,
} from './kernel.ts';
import { initialWeights, outputsOf } from './parameters.ts';
import type { DeviceOptions } from './webgpu/adapters.ts';
import { type ChooseCut, type Cut, type CutFacts, type Direction, usualCut } from './webgpu/cut.ts';
import { type Device, openDevice } from './webgpu/device.ts';
import { type NetworkDevice, WebgpuNetwork } from './webgpu/network.ts';
import type { LstmPlan } from './webgpu/plan.ts';
import { Pipelines } from './webgpu/runner.ts';
import { Tuner } from './webgpu/tuner.ts';

/** Steps times units below which a network is too small for seconds of tuning. */
const LEAST_TUNED = 1024;

export interface WebgpuOptions extends DeviceOptions {
  /** How workgroups are cut; absent for what the tuner finds. */
  readonly cut?: (layer: LstmPlan, direction: Direction, facts: CutFacts) => Cut;
  /**
   * Times the cuts that are not known yet when a network is made; absent for those of a network of some size on a GPU,
   * and none in software.
   */
  readonly tune?: boolean;
  /** Where the tuner keeps its choices. */
  readonly tuningFile?: string;
  /** Memory that a chunk of a batch may take; absent for a share that suits the device. */
  readonly chunkBytes?: number;
}

/** The WebGPU kernel, or in one line why there is none. */
export async function offerWebgpu(
  options: WebgpuOptions = {},
): Promise<{ kernel: WebgpuKernel } | { unavailable: string }> {
  const opened = await openDevice(options);
  if ('unavailable' in opened) return opened;
  return { kernel: new WebgpuKernel(opened.device, options) };
}

export class WebgpuKernel implements Kernel {
  readonly name: 'webgpu' | 'webgpu-f16';
  readonly tolerance: KernelTolerance | undefined;
  /** Of the host: the device has thousands of its own. */
  readonly threads = 1;
  readonly description: string;
  readonly arithmetic: string;
  readonly software: boolean;
  readonly #device: Device;
  readonly #how: NetworkDevice;
  readonly #tuner: Tuner | undefined;
  readonly #leastTuned: number;
  readonly #guard = new CallGuard('this kernel');
  /** Networks that still use the device, and one for the kernel itself. */
  #users = 1;

  constructor(device: Device, { cut, chunkBytes, half = false, tune, tuningFile }: WebgpuOptions = {}) {
    const { facts } = device;
    const usual: ChooseCut = (layer, direction) =>
      cut ? cut(layer, direction, facts) : usualCut(layer, direction, facts);
    const tunes = tune ?? (cut === undefined && !facts.software);
    this.#leastTuned = tune ? 0 : LEAST_TUNED;
    this.#device = device;
    this.#tuner = tunes ? new Tuner(facts, usual, tuningFile) : undefined;
    this.#how = { device, pipelines: new Pipelines(device), cutOf: this.#tuner?.cutOf ?? usual, half, chunkBytes };
    this.name = half ? 'webgpu-f16' : 'webgpu';
    this.tolerance = half ? FLOAT16_TOLERANCE : undefined;
    this.software = facts.software;
    // The driver compiles: another version of it may round differently.
    this.arithmetic = `WGSL${half ? ' in half precision' : ''}, ${device.name}, ${facts.description}`;
    this.description = `WebGPU${half ? ' in half precision' : ''}, ${device.name}${facts.software ? ', in software' : ''}`;
  }

  createNetwork(shape: NetworkShape, weights: Float32Array): Promise<KernelNetwork> {
    return this.#guard.run('createNetwork', async () => {
      const worthwhile = shape.windowLength * Math.max(...shape.lstm) >= this.#leastTuned;
      if (worthwhile)
        await this.#tuner?.tune(shape, this.#how.half, (cutOf, direction) =>
          timeCuts({ ...this.#how, cutOf }, shape, direction),
        );
      const network = await WebgpuNetwork.create(this.#how, shape, weights, () => this.#release());
      this.#users++;
      return network;
    });
  }

  close(): void {
    if (this.#guard.close()) this.#release();
  }

  /** Takes the device away as a reset of the driver would: every call in flight and later ends in BARCAST_E_DEVICE. */
  loseDevice(): void {
    this.#device.close();
  }

  #release(): void {
    if (--this.#users === 0) this.#device.close();
  }
}

/**
 * Milliseconds of the better of two passes after one that compiles, and a digest of what they answered. A cut that the
 * driver does not compile takes for ever; a device that is lost by it is an error at its next use.
 */
async function timeCuts(how: NetworkDevice, shape: NetworkShape, direction: Direction) {
  const network = await WebgpuNetwork.create(how, shape, initialWeights(shape, 1), () => {});
  try {
    const batch = tuningBatch(shape, how.device.facts.software ? 64 : 2048);
    let best = Number.POSITIVE_INFINITY;
    const digest = createHash('sha256');
    for (let run = 0; run < 3; run++) {
      const before = performance.now();
      const answer = await (direction === 'forward'
        ? network.forward(batch)
        : network.gradient(batch).then(({ sums }) => sums));
      if (run > 0) best = Math.min(best, performance.now() - before);
      else digest.update(answer);
    }
    return { taken: best, answer: digest.digest('hex') };
  } catch {
    return { taken: Number.POSITIVE_INFINITY, answer: '' };
  } finally {
    network.close();
  }
}

/** Windows and targets at random, the same ones always. */
function tuningBatch(shape: NetworkShape, sequences: number): TrainingBatch {
  const { features, windowLength } = shape;
  const random = new Random(1, 0x2000);
  const numbers = (length: number) => Float32Array.from({ length }, () => random.normal());
  return {
    matrix: numbers((sequences + windowLength) * features),
    starts: Int32Array.from({ length: sequences }, (_, b) => b),
    shift: new Float32Array(features),
    gain: new Float32Array(features).fill(1),
    scaleStride: 0,
    targets: numbers(sequences * outputsOf(shape)),
    loss: { kind: 'mse' },
    dropoutSeed: 1,
    step: 1,
    firstSequence: 0,
  };
}
