/**
 * A WebGPU device through Dawn (npm `webgpu`): opened with a reason where there is none, waited for with a timeout,
 * and given back so that nothing keeps the process alive.
 *
 * A wait on the device ends in one of three ways: its answer, BARCAST_E_DEVICE when the device is lost, or
 * BARCAST_E_DEVICE when it is silent for longer than the timeout. After the last two the device is not used again.
 */
import { BarcastError } from '../../base/index.ts';
import { type AdapterFacts, adapterName, type DeviceOptions, findAdapter } from './adapters.ts';
import { DEVICE_TIMEOUT_MS, deviceError, firstLine, within } from './wait.ts';

/** WebGPU's buffer usages (https://www.w3.org/TR/webgpu/#namespacedef-gpubufferusage). */
export const USAGE = { mapRead: 0x1, copySource: 0x4, copyTarget: 0x8, uniform: 0x40, storage: 0x80 } as const;
const MAP_MODE_READ = 1;

/** Opens a device, or tells in one line why there is none. */
export async function openDevice(options: DeviceOptions = {}): Promise<{ device: Device } | { unavailable: string }> {
  const { timeoutMs = DEVICE_TIMEOUT_MS, half = false } = options;
  const found = await findAdapter(options);
  if ('unavailable' in found) return found;
  const { adapter, facts } = found;
  if (half && !facts.features.includes('shader-f16'))
    return { unavailable: `${adapterName(facts)} has no half precision (shader-f16)` };
  const wanted: GPUFeatureName[] = ['subgroups', ...(half ? (['shader-f16'] as const) : [])];
  try {
    const requiredFeatures = wanted.filter((feature) => facts.features.includes(feature));
    const asked = adapter.requestDevice({ requiredFeatures, requiredLimits: { ...facts.limits } });
    return { device: new Device(await within(asked, timeoutMs, 'opening the GPU'), facts, timeoutMs) };
  } catch (cause) {
    return { unavailable: `${adapterName(facts)} gives no device: ${firstLine(cause)}` };
  }
}

/** An open device. */
export class Device {
  readonly facts: AdapterFacts;
  readonly timeoutMs: number;
  readonly #device: GPUDevice;
  /** Ends the waits in progress. No race with `lost` itself: it would keep what each of a million waits answered. */
  readonly #waiting = new Set<(failure: BarcastError) => void>();
  #failure: BarcastError | undefined;
  #silent = false;
  #closed = false;

  constructor(device: GPUDevice, facts: AdapterFacts, timeoutMs: number) {
    this.#device = device;
    this.facts = facts;
    this.timeoutMs = timeoutMs;
    void device.lost.then(({ reason, message }) => {
      this.#failure ??= deviceError(
        this.#closed
          ? 'the GPU was closed while it computed'
          : `the GPU was lost (${reason || 'unknown'}): ${firstLine(message)}`,
      );
      for (const reject of this.#waiting) reject(this.#failure);
    });
    device.addEventListener('uncapturederror', (event) => {
      const { error } = event as GPUUncapturedErrorEvent;
      this.#failure ??= deviceError(`the GPU refused a command: ${firstLine(error.message)}`, error);
    });
  }

  get name(): string {
    return adapterName(this.facts);
  }

  get limits(): AdapterFacts['limits'] {
    return this.facts.limits;
  }

  /** @throws BARCAST_E_DEVICE when it was lost or refused a command before */
  get queue(): GPUQueue {
    this.#refuseFailed();
    return this.#device.queue;
  }

  encoder(): GPUCommandEncoder {
    this.#refuseFailed();
    return this.#device.createCommandEncoder();
  }

  /** @throws BARCAST_E_DEVICE when it is lost, silent for too long, or refused a command */
  async wait<T>(promise: Promise<T>, what: string): Promise<T> {
    let end: (failure: BarcastError) => void = () => {};
    const orLost = new Promise<T>((resolve, reject) => {
      end = reject;
      promise.then(resolve, reject);
    });
    this.#waiting.add(end);
    try {
      const answer = await within(orLost, this.timeoutMs, `the GPU (${this.name}): ${what}`, () => {
        this.#silent = true;
      });
      this.#refuseFailed();
      return answer;
    } catch (cause) {
      this.#failure ??= cause instanceof BarcastError ? cause : deviceError(`${what}: ${firstLine(cause)}`, cause);
      throw this.#failure;
    } finally {
      this.#waiting.delete(end);
    }
  }

  /**
   * Buffers of so many bytes each, all or none.
   * @throws BARCAST_E_SHAPE when one is larger than the device allows, BARCAST_E_DEVICE when its memory is full
   */
  async buffers<K extends string>(sizes: Readonly<Record<K, number>>, usage: number): Promise<Record<K, GPUBuffer>> {
    this.#refuseFailed();
    const most = Math.min(this.limits.maxBufferSize, this.limits.maxStorageBufferBindingSize);
    for (const [name, bytes] of Object.entries<number>(sizes)) {
      if (bytes > most) {
        throw new BarcastError(
          'BARCAST_E_SHAPE',
          `${name} takes ${bytes} bytes; the GPU (${this.name}) has at most ${most} in one buffer`,
          'give a smaller batch or matrix, or choose --kernel native',
        );
      }
    }
    this.#device.pushErrorScope('out-of-memory');
    const made = Object.entries<number>(sizes).map(([label, bytes]) => {
      const size = Math.max(16, Math.ceil(bytes / 16) * 16);
      return [label, this.#device.createBuffer({ label, size, usage })] as const;
    });
    const error = await this.wait(this.#device.popErrorScope(), 'making buffers');
    if (error !== null) {
      for (const [, buffer] of made) buffer.destroy();
      throw deviceError(`the GPU (${this.name}) has no memory left for this network and batch`, error);
    }
    return Object.fromEntries(made) as Record<K, GPUBuffer>;
  }

  /** A compute pipeline whose bindings follow from the code's. @throws BARCAST_E_DEVICE where the driver refuses it; the device stays good */
  async pipeline(label: string, code: string): Promise<GPUComputePipeline> {
    this.#refuseFailed();
    const module = this.#device.createShaderModule({ label, code });
    const made = this.#device.createComputePipelineAsync({ label, layout: 'auto', compute: { module } });
    const refused = (cause: unknown) => deviceError(`compiling ${label}: ${firstLine(cause)}`, cause);
    const answer = await this.wait(made.catch(refused), `compiling ${label}`);
    if (answer instanceof BarcastError) throw answer;
    return answer;
  }

  bindGroup(pipeline: GPUComputePipeline, buffers: readonly GPUBuffer[]): GPUBindGroup {
    return this.#device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
  }

  /** The first `bytes` of a buffer made with `USAGE.mapRead`. */
  async read(buffer: GPUBuffer, bytes: number, what: string): Promise<ArrayBuffer> {
    const size = Math.ceil(bytes / 4) * 4;
    await this.wait(buffer.mapAsync(MAP_MODE_READ, 0, size), what);
    const copy = buffer.getMappedRange(0, size).slice(0, bytes);
    buffer.unmap();
    return copy;
  }

  /** Takes the device away at once, as a driver's reset would: what runs ends in BARCAST_E_DEVICE. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // A driver takes a device away once its work is done: one that fell silent would keep the process waiting.
    if (!this.#silent) this.#device.destroy();
  }

  #refuseFailed(): void {
    if (this.#failure) throw this.#failure;
    if (this.#closed) throw deviceError('the GPU was closed');
  }
}
