/**
 * A WebGPU device through Dawn (npm `webgpu`): opened with a reason where there is none, waited for with a timeout,
 * and given back so that nothing keeps the process alive.
 *
 * A wait on the device ends in one of three ways: its answer, BARCAST_E_DEVICE when the device is lost, or
 * BARCAST_E_DEVICE when it is silent for longer than the timeout. After the last two the device is not used again.
 */
import { BarcastError } from '../../base/index.ts';
import { missingVulkan } from './vulkan.ts';

/** WebGPU's buffer usages (https://www.w3.org/TR/webgpu/#namespacedef-gpubufferusage). */
export const USAGE = { mapRead: 0x1, copySource: 0x4, copyTarget: 0x8, uniform: 0x40, storage: 0x80 } as const;
const MAP_MODE_READ = 1;

/** How long one wait on the device may take. */
export const DEVICE_TIMEOUT_MS = 60_000;

export interface DeviceOptions {
  /** Part of the adapter's name, as `barcast doctor` lists it; the system's first choice when absent. */
  readonly adapter?: string;
  /** Longest wait for one answer of the device. */
  readonly timeoutMs?: number;
}

/** What an adapter says of itself. */
export interface AdapterFacts {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** It computes on the processor: for tests, never faster than the native kernel. */
  readonly software: boolean;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<(typeof LIMITS)[number], number>>;
}

/** The limits that decide what fits; the device is asked for all that the adapter has of each. */
export const LIMITS = [
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupsPerDimension',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxBufferSize',
] as const;

const firstLine = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause)).split('\n', 1)[0];

function deviceError(what: string, cause?: unknown): BarcastError {
  return new BarcastError(
    'BARCAST_E_DEVICE',
    what,
    "go on from the last checkpoint (train --resume) with another kernel or device; 'barcast doctor' lists them",
    { cause },
  );
}

/** Rejects with BARCAST_E_DEVICE when `promise` takes longer. A promise that is late is left to itself, after a call of `late`. */
async function within<T>(
  promise: Promise<T>,
  timeoutMs: number,
  what: string,
  late: () => void = () => {},
): Promise<T> {
  promise.catch(() => {});
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      late();
      reject(deviceError(`${what} took longer than ${timeoutMs} ms`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** Every shader here writes its workgroup memory before it reads it; SwiftShader compiles zeros of 20 KiB for seconds. */
const DAWN = 'enable-dawn-features=disable_workgroup_init';

/**
 * Dawn's doors, by the adapter asked for. Kept for good: one that is collected takes the process down while the driver's
 * threads still run (seen with Dawn of webgpu 0.6.2); kept ones do not hinder its end.
 */
const doors = new Map<string | undefined, GPU>();

/** An adapter and what it says, or why there is none. */
export async function findAdapter({
  adapter: name,
  timeoutMs = DEVICE_TIMEOUT_MS,
}: DeviceOptions = {}): Promise<{ adapter: GPUAdapter; facts: AdapterFacts } | { unavailable: string }> {
  const missing = await missingVulkan();
  if (missing !== undefined) return { unavailable: missing };
  let gpu = doors.get(name);
  try {
    const { create } = await import('webgpu');
    gpu ??= create([DAWN, ...(name === undefined ? [] : [`adapter=${name}`])]);
    doors.set(name, gpu);
  } catch (cause) {
    return { unavailable: `the package 'webgpu' (Dawn) does not load: ${firstLine(cause)}` };
  }
  let adapter: GPUAdapter | null;
  try {
    const asked = gpu.requestAdapter({ powerPreference: 'high-performance' });
    adapter = await within(asked, timeoutMs, 'finding a GPU');
  } catch (cause) {
    return { unavailable: firstLine(cause) };
  }
  if (adapter === null) {
    const which = name === undefined ? 'no GPU adapter' : `no GPU adapter called '${name}'`;
    return { unavailable: `${which}: there is no GPU, or its driver has no Vulkan, Metal or Direct3D 12` };
  }
  return { adapter, facts: factsOf(adapter) };
}

function factsOf(adapter: GPUAdapter): AdapterFacts {
  const { vendor, architecture, device, description } = adapter.info;
  const fallback = (adapter.info as { isFallbackAdapter?: boolean }).isFallbackAdapter === true;
  const limits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])) as AdapterFacts['limits'];
  return {
    vendor,
    architecture,
    device: device.trim(),
    description: description.trim(),
    software:
      fallback || /swiftshader|llvmpipe|lavapipe|basic render/i.test(`${architecture} ${device} ${description}`),
    features: [...adapter.features].sort(),
    limits,
  };
}

/** The device for people: 'NVIDIA H200 (nvidia hopper)'. */
export const adapterName = ({ vendor, architecture, device, description }: AdapterFacts): string =>
  `${device || description || 'unnamed'} (${[vendor, architecture].filter(Boolean).join(' ') || 'unknown vendor'})`;

/** Opens a device, or tells in one line why there is none. */
export async function openDevice(options: DeviceOptions = {}): Promise<{ device: Device } | { unavailable: string }> {
  const { timeoutMs = DEVICE_TIMEOUT_MS } = options;
  const found = await findAdapter(options);
  if ('unavailable' in found) return found;
  const { adapter, facts } = found;
  try {
    const asked = adapter.requestDevice({ requiredLimits: { ...facts.limits } });
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

  /** A compute pipeline whose bindings follow from the code's. */
  async pipeline(label: string, code: string): Promise<GPUComputePipeline> {
    this.#refuseFailed();
    const module = this.#device.createShaderModule({ label, code });
    const made = this.#device.createComputePipelineAsync({ label, layout: 'auto', compute: { module } });
    return await this.wait(made, `compiling ${label}`);
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
