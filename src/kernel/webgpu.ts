/**
 * The WebGPU kernel: WGSL on any GPU that Vulkan, Metal or Direct3D 12 reaches, through Dawn (npm `webgpu`).
 *
 * One device's answers and gradients are the same bits however a batch is cut; another device's may differ in the last
 * ones, as compilers and units differ. The gradient is the native kernel's: tiles of 32 sequences in float32, added as
 * 64-bit integers, here as two words on the device.
 */
import { CallGuard } from './calls.ts';
import type { Kernel, KernelNetwork, NetworkShape, TrainingBatch } from './kernel.ts';
import { initialWeights, outputsOf } from './parameters.ts';
import { type AdapterFacts, type Device, type DeviceOptions, openDevice } from './webgpu/device.ts';
import { type NetworkDevice, Pipelines, WebgpuNetwork } from './webgpu/network.ts';
import { type Cut, type Direction, type LstmPlan, usualCut } from './webgpu/plan.ts';
import type { ChooseCut } from './webgpu/steps.ts';
import { Tuner } from './webgpu/tuner.ts';

/** Steps times units below which a network is too small for seconds of tuning. */
const LEAST_TUNED = 1024;

export interface WebgpuOptions extends DeviceOptions {
  /** How workgroups are cut; absent for what the tuner finds. */
  readonly cut?: (layer: LstmPlan, direction: Direction, limits: AdapterFacts['limits']) => Cut;
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
  readonly name = 'webgpu';
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

  constructor(device: Device, { cut, chunkBytes, tune, tuningFile }: WebgpuOptions = {}) {
    const { facts } = device;
    const usual: ChooseCut = (layer, direction) =>
      cut ? cut(layer, direction, facts.limits) : usualCut(layer, direction, facts);
    const tunes = tune ?? (cut === undefined && !facts.software);
    this.#leastTuned = tune ? 0 : LEAST_TUNED;
    this.#device = device;
    this.#tuner = tunes ? new Tuner(facts, usual, tuningFile) : undefined;
    this.#how = { device, pipelines: new Pipelines(device), cutOf: this.#tuner?.cutOf ?? usual, chunkBytes };
    this.software = facts.software;
    // The driver compiles: another version of it may round differently.
    this.arithmetic = `WGSL, ${device.name}, ${facts.description}`;
    this.description = `WebGPU, ${device.name}${facts.software ? ', in software' : ''}`;
  }

  createNetwork(shape: NetworkShape, weights: Float32Array): Promise<KernelNetwork> {
    return this.#guard.run('createNetwork', async () => {
      const worthwhile = shape.windowLength * Math.max(...shape.lstm) >= this.#leastTuned;
      if (worthwhile)
        await this.#tuner?.tune(shape, (cutOf, direction) => timeCuts({ ...this.#how, cutOf }, shape, direction));
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

/** Milliseconds of the better of two passes, after one that compiles. */
async function timeCuts(how: NetworkDevice, shape: NetworkShape, direction: Direction): Promise<number> {
  const network = await WebgpuNetwork.create(how, shape, initialWeights(shape, 1), () => {});
  try {
    const batch = tuningBatch(shape, how.device.facts.software ? 64 : 2048);
    let best = Number.POSITIVE_INFINITY;
    for (let run = 0; run < 3; run++) {
      const before = performance.now();
      await (direction === 'forward' ? network.forward(batch) : network.gradient(batch));
      if (run > 0) best = Math.min(best, performance.now() - before);
    }
    return best;
  } finally {
    network.close();
  }
}

/** Windows of zeros: what they hold changes no time. */
function tuningBatch(shape: NetworkShape, sequences: number): TrainingBatch {
  const { features, windowLength } = shape;
  return {
    matrix: new Float32Array((sequences + windowLength) * features),
    starts: Int32Array.from({ length: sequences }, (_, b) => b),
    shift: new Float32Array(features),
    gain: new Float32Array(features).fill(1),
    scaleStride: 0,
    targets: new Float32Array(sequences * outputsOf(shape)),
    loss: { kind: 'mse' },
    dropoutSeed: 1,
    step: 1,
    firstSequence: 0,
  };
}
