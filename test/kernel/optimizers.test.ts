/** LAMB and LARS of each kernel against the papers' formulas, written out here tensor by tensor. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Random } from '../../src/base/index.ts';
import {
  chooseKernel,
  GRADIENT_SCALE,
  initialWeights,
  type NetworkShape,
  type OptimizerSettings,
  parameterCount,
  parametersOf,
} from '../../src/kernel/index.ts';
import { takeTestGpu } from './webgpu-support.ts';

const shape: NetworkShape = {
  windowLength: 5,
  features: 3,
  lstm: [7, 5],
  dropout: 0,
  dense: [
    { units: 4, activation: 'relu' },
    { units: 2, activation: 'linear' },
  ],
};
const base: OptimizerSettings = {
  learningRate: 0.03,
  beta1: 0.9,
  beta2: 0.99,
  epsilon: 1e-6,
  weightDecay: 0.02,
  clipNorm: 0,
};
const norm = (values: readonly number[]) => Math.hypot(...values);

/** Updates of one tensor, gradients given, as the papers have them. */
const papers = {
  lamb(w: number[], gradients: number[][], s: OptimizerSettings): number[] {
    let [m, v] = [w.map(() => 0), w.map(() => 0)];
    gradients.forEach((g, i) => {
      m = m.map((x, p) => s.beta1 * x + (1 - s.beta1) * g[p]);
      v = v.map((x, p) => s.beta2 * x + (1 - s.beta2) * g[p] ** 2);
      const r = m.map(
        (x, p) =>
          x / (1 - s.beta1 ** (i + 1)) / (Math.sqrt(v[p] / (1 - s.beta2 ** (i + 1))) + s.epsilon) +
          s.weightDecay * w[p],
      );
      const ratio = norm(w) > 0 && norm(r) > 0 ? norm(w) / norm(r) : 1;
      w = w.map((x, p) => x - s.learningRate * ratio * r[p]);
    });
    return w;
  },
  lars(w: number[], gradients: number[][], s: OptimizerSettings): number[] {
    let m = w.map(() => 0);
    for (const g of gradients) {
      const bottom = norm(g) + s.weightDecay * norm(w);
      const local = norm(w) > 0 && bottom > 0 ? (0.001 * norm(w)) / bottom : 1;
      m = m.map((x, p) => s.beta1 * x + local * s.learningRate * (g[p] + s.weightDecay * w[p]));
      w = w.map((x, p) => x - m[p]);
    }
    return w;
  },
};

describe('optimisers for large batches', () => {
  const P = parameterCount(shape);
  const random = new Random(4);
  const gradients = Array.from({ length: 5 }, () => Float64Array.from({ length: P }, () => 0.1 * random.normal()));
  const sumsOf = (gradient: Float64Array, sequences: number) =>
    BigInt64Array.from({ length: P + 1 }, (_, p) =>
      BigInt(Math.round((gradient[p] ?? 0) * sequences * GRADIENT_SCALE)),
    );

  for (const name of ['native', 'reference', 'webgpu'] as const) {
    for (const kind of ['lamb', 'lars'] as const) {
      it(`${kind} on the ${name} kernel`, async (t) => {
        if (name === 'webgpu') takeTestGpu();
        const kernel = await chooseKernel({ kernel: name, threads: 2 }).catch((error: Error) => t.skip(error.message));
        if (!kernel) return;
        const weights = initialWeights(shape, 2);
        const network = await kernel.createNetwork(shape, weights);
        try {
          for (const gradient of gradients)
            await network.update({ sums: sumsOf(gradient, 64), sequences: 64 }, { ...base, kind });
          const found = await network.readWeights();
          for (const { name: tensor, offset, length } of parametersOf(shape)) {
            const part = (all: ArrayLike<number>) => Array.from({ length }, (_, i) => all[offset + i]);
            const wanted = papers[kind](part(weights), gradients.map(part), base);
            const error = norm(part(found).map((x, i) => x - wanted[i])) / Math.max(norm(wanted), 1e-3);
            assert.ok(error < 1e-5, `${tensor}: ${error}`);
          }
          await assert.rejects(
            network.update({ sums: sumsOf(gradients[0], 1), sequences: 1 }, { ...base, kind: 'sgd' as never }),
            {
              code: 'BARCAST_E_USAGE',
            },
          );
        } finally {
          network.close();
          kernel.close();
        }
      });
    }
  }
});
