/** What the conformance suite of kernels is written with. */
import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { Random } from '../../src/base/index.ts';
import {
  GRADIENT_SCALE,
  type GradientSums,
  type Kernel,
  type KernelNetwork,
  type KernelOffer,
  type NetworkShape,
  type OptimizerSettings,
  parameterCount,
} from '../../src/kernel/index.ts';
import { exampleWeights } from './examples.ts';

export type OfferKernel = () => KernelOffer | Promise<KernelOffer>;
export type KernelTest = (kernel: Kernel, t: TestContext) => void | Promise<void>;

/** A describe block whose cases get the offered kernel, or are skipped with the reason why there is none. */
export function describeKernel(
  title: string,
  offer: OfferKernel,
  define: (test: (name: string, run: KernelTest) => void) => void,
): void {
  describe(title, () => {
    let offered: KernelOffer;
    before(async () => {
      offered = await offer();
    });
    after(() => {
      if ('kernel' in offered) offered.kernel.close();
    });
    define((name, run) => {
      it(name, async (t) => {
        if ('unavailable' in offered) t.skip(`no kernel: ${offered.unavailable}`);
        else await run(offered.kernel, t);
      });
    });
  });
}

/** Creates a network with example weights, and closes it whatever happens. */
export async function withNetwork<T>(
  kernel: Kernel,
  shape: NetworkShape,
  seed: number,
  work: (network: KernelNetwork) => Promise<T>,
): Promise<T> {
  const network = await kernel.createNetwork(shape, exampleWeights(shape, seed));
  try {
    return await work(network);
  } finally {
    network.close();
  }
}

export const adam: OptimizerSettings = {
  learningRate: 0.01,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-7,
  weightDecay: 0,
  clipNorm: 0,
};

/** Bits, not values: 0 and -0 differ, and NaN would be seen. */
export const bitsOf = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length);

export async function stateBits(network: KernelNetwork) {
  const { m, v, updates } = await network.readOptimizer();
  return { weights: bitsOf(await network.readWeights()), m: bitsOf(m), v: bitsOf(v), updates };
}

/** Sums as a batch could give them, at a scale of `size` a sequence. */
export function exampleSums(shape: NetworkShape, sequences: number, seed: number, size: number): GradientSums {
  const random = new Random(seed, 80);
  const sums = BigInt64Array.from({ length: parameterCount(shape) + 1 }, () =>
    BigInt(Math.round(random.normal() * size * sequences * GRADIENT_SCALE)),
  );
  return { sums, sequences };
}

/** The call is refused with the code, and tells so in one clean line. */
export const refuses = (code: string, call: () => Promise<unknown>) =>
  assert.rejects(call, (error: Error & { code?: string; line?: string }) => {
    assert.equal(error.code, code, `${error.message}\n${error.stack}`);
    assert.doesNotMatch(error.line ?? '', /\n|undefined/);
    return true;
  });

export function assertNear(actual: number, expected: number, tolerance: number, what: string): void {
  assert.ok(
    Math.abs(actual - expected) <= tolerance,
    `${what}: ${actual} instead of ${expected} (within ${tolerance})`,
  );
}

/** Every number within `tolerance` of the largest absolute one expected (and of 1e-6 at least). */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what: string,
): void {
  assert.equal(actual.length, expected.length, what);
  let largest = 1e-6;
  for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(expected[i]));
  for (let i = 0; i < expected.length; i++) assertNear(actual[i], expected[i], tolerance * largest, `${what}[${i}]`);
}
