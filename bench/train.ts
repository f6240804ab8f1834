/** Training steps of the standard model: sequences a second at each batch size. */
import { deviceWork, initialWeights, type Kernel } from '../src/kernel/index.ts';
import { checkAgainstReference } from './check.ts';
import { deviceRates } from './device-rates.ts';
import { adam, batchOf, forwardFlops, standardShape } from './standard-model.ts';
import { circumstances, type Timing, time } from './timing.ts';

export interface BatchFigure {
  readonly batch: number;
  readonly sequencesPerSecond: number;
  readonly gflops: number;
  /** Milliseconds a step. */
  readonly step: Timing;
}

/** `gflops` counts 3 forward passes a sequence; `shareOfPeak` is of the FMA peak measured beside it, null without one. */
export async function benchTrain(
  kernel: Kernel,
  options: { units: number; batches: readonly number[]; seconds: number; peakGflops: number | null },
) {
  const shape = standardShape(options.units);
  const differences = await checkAgainstReference(kernel, shape);
  const figures: BatchFigure[] = [];
  for (const size of options.batches) {
    const network = await kernel.createNetwork(shape, initialWeights(shape, 1));
    let step = 0;
    const batch = batchOf(shape, size);
    const timing = await time(() => network.trainStep({ ...batch, step: step++ }, adam), options.seconds);
    network.close();
    const sequencesPerSecond = Math.round((1000 * size) / timing.median);
    figures.push({
      batch: size,
      sequencesPerSecond,
      gflops: (3 * forwardFlops(shape) * sequencesPerSecond) / 1e9,
      step: timing,
    });
  }
  const best = figures.reduce((a, b) => (b.sequencesPerSecond > a.sequencesPerSecond ? b : a));
  const { peakGflops } = options;
  return {
    kernel: kernel.name,
    description: kernel.description,
    threads: kernel.threads,
    units: options.units,
    batch: best.batch,
    sequencesPerSecond: best.sequencesPerSecond,
    gflops: best.gflops,
    peakGflops,
    shareOfPeak: peakGflops === null ? null : best.gflops / peakGflops,
    /** Of a sequence, and their rates at the best batch; null but for a GPU. */
    work: kernel.name.startsWith('webgpu')
      ? deviceRates(deviceWork(shape, 'training', kernel.name === 'webgpu-f16'), best.sequencesPerSecond)
      : null,
    batches: figures,
    differencesFromReference: differences,
    ...circumstances(),
  };
}
