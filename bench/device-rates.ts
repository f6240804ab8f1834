/** The arithmetic beside a GPU's times: what its units and its memory must have delivered. */
import type { DeviceWork } from '../src/kernel/index.ts';

/** @param perSecond sequences a second */
export const deviceRates = (work: DeviceWork, perSecond: number) => ({
  ...work,
  teraflops: (work.flops * perSecond) / 1e12,
  memoryGigabytesPerSecond: (work.memoryBytes * perSecond) / 1e9,
  requestedGigabytesPerSecond: (work.requestedBytes * perSecond) / 1e9,
});

const kibibytes = (bytes: number) => `${(bytes / 1024).toFixed(bytes < 10_240 ? 1 : 0)} KiB`;

/** One line for people. */
export const describeRates = (rates: ReturnType<typeof deviceRates> | null): string[] =>
  rates === null
    ? []
    : [
        `counted: ${(rates.flops / 1e6).toFixed(2)} MFLOP a sequence, ${rates.teraflops.toFixed(3)} TFLOP/s`,
        `memory: ${kibibytes(rates.memoryBytes)} a sequence, ${rates.memoryGigabytesPerSecond.toFixed(1)} GB/s; with what caches repeat ${kibibytes(rates.requestedBytes)}, ${rates.requestedGigabytesPerSecond.toFixed(1)} GB/s`,
      ];
