/** A benchmark checks the answer before it times it: a kernel against the reference, on the network to be timed. */
import { BarcastError } from '../src/base/index.ts';
import {
  FLOAT32_TOLERANCE,
  GRADIENT_SCALE,
  initialWeights,
  type Kernel,
  type NetworkShape,
  referenceKernel,
} from '../src/kernel/index.ts';
import { batchOf, windowsOf } from './standard-model.ts';

const SEQUENCES = 33;

const largest = (values: ArrayLike<number>) =>
  Array.prototype.reduce.call(
    values,
    (most, value) => Math.max(most as number, Math.abs(value as number)),
    0,
  ) as number;

function differ(
  what: string,
  found: ArrayLike<number>,
  expected: ArrayLike<number>,
  scale: number,
  tolerance: number,
): number {
  const difference = largest(Float64Array.from(found, (value, i) => value - expected[i])) / scale;
  if (difference <= tolerance) return difference;
  throw new BarcastError(
    'BARCAST_E_KERNEL_UNAVAILABLE',
    `its ${what} differ from the reference's by ${difference.toExponential(1)}, more than ${tolerance}`,
    'nothing was timed; report this with the shape',
  );
}

/** The largest differences from the reference: outputs absolute, gradients relative to the largest one. @throws BARCAST_E_KERNEL_UNAVAILABLE */
export async function checkAgainstReference(
  kernel: Kernel,
  shape: NetworkShape,
): Promise<{ outputs: number; gradients: number }> {
  const { tolerance = FLOAT32_TOLERANCE } = kernel;
  const weights = initialWeights(shape, 1);
  // Keeps a ReLU output alive: one that answers 0 for every window has no gradient to compare.
  weights[weights.length - 1] = 1;
  const networks = await Promise.all([kernel, referenceKernel()].map((each) => each.createNetwork(shape, weights)));
  try {
    const windows = windowsOf(shape, SEQUENCES);
    const batch = batchOf(shape, SEQUENCES);
    const [found, expected] = await Promise.all(networks.map((network) => network.forward(windows)));
    const [gradient, exact] = (await Promise.all(networks.map((network) => network.gradient(batch)))).map(({ sums }) =>
      Float64Array.from(sums, (sum) => Number(sum) / GRADIENT_SCALE),
    );
    return {
      outputs: differ('outputs', found, expected, 1, tolerance.outputs),
      gradients: differ('gradients', gradient, exact, largest(exact.subarray(0, -1)), tolerance.gradients),
    };
  } finally {
    for (const network of networks) network.close();
  }
}
