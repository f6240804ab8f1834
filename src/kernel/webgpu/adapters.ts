/** What `barcast doctor` says of GPUs. */
import { type AdapterFacts, adapterName, findAdapter } from './device.ts';

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
