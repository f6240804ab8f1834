/**
 * The WebGPU kernel: WGSL on any GPU that Vulkan, Metal or Direct3D 12 reaches, through Dawn (npm `webgpu`).
 *
 * One device's answers and gradients are the same bits however a batch is cut; another device's may differ in the last
 * ones, as compilers and units differ. The gradient is the native kernel's: tiles of 32 sequences in float32, added as
 * 64-bit integers, here as two words on the device.
 */
import { CallGuard } from './calls.ts';
import type { Kernel, KernelNetwork, NetworkShape } from './kernel.ts';
import { type AdapterFacts, type Device, type DeviceOptions, openDevice } from './webgpu/device.ts';
import { Pipelines, WebgpuNetwork } from './webgpu/network.ts';
import { type Cut, type Direction, type LstmPlan, usualCut } from './webgpu/plan.ts';
import type { ChooseCut } from './webgpu/steps.ts';

export interface WebgpuOptions extends DeviceOptions {
  /** How workgroups are cut; absent for what the tuner found, or the usual one. */
  readonly cut?: (layer: LstmPlan, direction: Direction, limits: AdapterFacts['limits']) => Cut;
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
  readonly facts: AdapterFacts;
  readonly #device: Device;
  readonly #pipelines: Pipelines;
  readonly #cutOf: ChooseCut;
  readonly #chunkBytes: number | undefined;
  readonly #guard = new CallGuard('this kernel');
  /** Networks that still use the device, and one for the kernel itself. */
  #users = 1;

  constructor(device: Device, { cut, chunkBytes }: WebgpuOptions = {}) {
    this.#device = device;
    this.#pipelines = new Pipelines(device);
    this.#cutOf = (layer, direction) =>
      cut?.(layer, direction, device.limits) ?? usualCut(layer, direction, device.facts);
    this.#chunkBytes = chunkBytes;
    this.facts = device.facts;
    this.software = device.facts.software;
    this.arithmetic = `WGSL, ${device.name}`;
    this.description = `WebGPU, ${device.name}${device.facts.software ? ', in software' : ''}`;
  }

  createNetwork(shape: NetworkShape, weights: Float32Array): Promise<KernelNetwork> {
    return this.#guard.run('createNetwork', async () => {
      const how = {
        device: this.#device,
        pipelines: this.#pipelines,
        cutOf: this.#cutOf,
        chunkBytes: this.#chunkBytes,
      };
      const network = await WebgpuNetwork.create(how, shape, weights, () => this.#release());
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
