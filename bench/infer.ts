/** One inference of a whole market: milliseconds for one window of every symbol. */
import { deviceWork, initialWeights, type Kernel } from '../src/kernel/index.ts';
import { checkAgainstReference } from './check.ts';
import { deviceRates } from './device-rates.ts';
import { forwardFlops, standardShape, windowsOf } from './standard-model.ts';
import { circumstances, time } from './timing.ts';

export async function benchInfer(
  kernel: Kernel,
  options: { units: number; symbols: number; seconds: number; peakGflops: number | null },
) {
  const { units, symbols, peakGflops } = options;
  const shape = standardShape(units);
  const differences = await checkAgainstReference(kernel, shape);
  const network = await kernel.createNetwork(shape, initialWeights(shape, 1));
  const windows = windowsOf(shape, symbols);
  const timing = await time(() => network.forward(windows), options.seconds);
  network.close();
  const gflops = (forwardFlops(shape) * symbols) / (timing.median * 1e6);
  return {
    kernel: kernel.name,
    description: kernel.description,
    threads: kernel.threads,
    units,
    symbols,
    p50Ms: timing.median,
    p99Ms: timing.p99,
    windowsPerSecond: Math.round((1000 * symbols) / timing.median),
    gflops,
    peakGflops,
    shareOfPeak: peakGflops === null ? null : gflops / peakGflops,
    work: kernel.name.startsWith('webgpu')
      ? deviceRates(deviceWork(shape, 'inference', kernel.name === 'webgpu-f16'), (1000 * symbols) / timing.median)
      : null,
    timing,
    differencesFromReference: differences,
    ...circumstances(),
  };
}
