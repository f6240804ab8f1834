/** Adapters: how one is found, what it says of itself, and what `barcast doctor` says of it. */
import { missingVulkan } from './vulkan.ts';
import { DEVICE_TIMEOUT_MS, firstLine, within } from './wait.ts';

export interface DeviceOptions {
  /** Part of the adapter's name, as `barcast doctor` lists it; the system's first choice when absent. */
  readonly adapter?: string;
  /** Half precision in the LSTM layers: only where the adapter has `shader-f16`. */
  readonly half?: boolean;
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
    return {
      unavailable: `${which}: there is no GPU, or its driver is missing, broken, or too old for WebGPU (Vulkan, Metal, Direct3D 12)`,
    };
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

/** The GPU that the WebGPU kernel would take, or why there is none. */
export type AdapterReport = (AdapterFacts & { readonly name: string }) | { readonly unavailable: string };

/** @param adapter part of a name, as `BARCAST_ADAPTER` gives it */
export async function reportAdapter(adapter?: string): Promise<AdapterReport> {
  const found = await findAdapter({ adapter });
  return 'unavailable' in found ? found : { name: adapterName(found.facts), ...found.facts };
}

const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toLocaleString('en-US')} MiB`;

/** Lines for people. */
export function describeAdapter(report: AdapterReport): string[] {
  if ('unavailable' in report) return [`GPU: none (${report.unavailable})`];
  const { limits } = report;
  return [
    `GPU: ${report.name}${report.software ? ', in software: for tests alone' : ''}; ${report.description}`,
    `  workgroups of ${limits.maxComputeInvocationsPerWorkgroup} threads and ${limits.maxComputeWorkgroupStorageSize / 1024} KiB, ${limits.maxStorageBuffersPerShaderStage} buffers a shader of up to ${mebibytes(limits.maxStorageBufferBindingSize)}`,
    `  features: ${report.features.join(', ') || 'none'}`,
  ];
}
