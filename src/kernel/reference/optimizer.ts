/**
 * Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019), in the one form that every kernel follows. With s the
 * gradient sums of n sequences, t the number of updates including this one, and w the weight before it:
 *
 *     g = s / n
 *     norm = sqrt(sum of g^2 over all parameters);  where clipNorm > 0 and norm > clipNorm: g = g clipNorm / norm
 *     m = beta1 m + (1 - beta1) g                    v = beta2 v + (1 - beta2) g^2
 *     w = w - learningRate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon) - learningRate weightDecay w
 *
 * LAMB (You et al. 2020) scales that step for each tensor (a kernel or a bias, `parameters.ts`); with |.| the Euclidean
 * norm over the tensor and 1 for the ratio where either norm is 0:
 *
 *     r = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon) + weightDecay w
 *     w = w - learningRate (|w| / |r|) r
 *
 * LARS (You, Gitman & Ginsburg 2017) is momentum with a rate for each tensor; v stays as it is:
 *
 *     trust = 0.001 |w| / (|g| + weightDecay |w|)
 *     m = beta1 m + learningRate trust (g + weightDecay w)                  w = w - m
 *
 * Computed in float64; m, v and w are rounded to float32 where they are stored, and m and v are read back from there.
 */
import { BarcastError } from '../../base/index.ts';
import type { GradientSums, OptimizerSettings } from '../kernel.ts';
import { GRADIENT_SCALE } from '../kernel.ts';

/** What an update changes: `[P]` each. */
export interface Moments {
  readonly weights: Float32Array;
  readonly m: Float32Array;
  readonly v: Float32Array;
}

/** Where a tensor lies among the parameters. */
export interface TensorPlace {
  readonly offset: number;
  readonly length: number;
}

const LARS_TRUST = 0.001;

/**
 * Writes the state after update number `t` (from 1) to `after`; `before` stays as it is.
 * @throws BARCAST_E_DIVERGED when a weight or moment is no longer finite; `after` is then meaningless
 */
export function optimizerStep(
  before: Moments,
  after: Moments,
  gradient: GradientSums,
  settings: OptimizerSettings,
  t: number,
  tensors: readonly TensorPlace[],
): void {
  const { kind = 'adam', learningRate, beta1, beta2, epsilon, weightDecay, clipNorm } = settings;
  const { sums, sequences } = gradient;
  const parameters = before.weights.length;
  const scale = 1 / (GRADIENT_SCALE * sequences);
  let clip = 1;
  if (clipNorm > 0) {
    let squares = 0;
    for (let p = 0; p < parameters; p++) {
      const g = Number(sums[p]) * scale;
      squares += g * g;
    }
    const norm = Math.sqrt(squares);
    if (norm > clipNorm) clip = clipNorm / norm;
  }
  const correction1 = 1 - beta1 ** t;
  const correction2 = 1 - beta2 ** t;
  const gradientOf = (p: number) => Number(sums[p]) * scale * clip;
  /** Adam's direction at p, from the moments after the update. */
  const directionOf = (p: number) => after.m[p] / correction1 / (Math.sqrt(after.v[p] / correction2) + epsilon);
  const updateMoments = (p: number) => {
    const g = gradientOf(p);
    after.m[p] = beta1 * before.m[p] + (1 - beta1) * g;
    after.v[p] = beta2 * before.v[p] + (1 - beta2) * g * g;
  };
  for (const { offset, length } of tensors) {
    const end = offset + length;
    if (kind === 'adam') {
      for (let p = offset; p < end; p++) {
        updateMoments(p);
        const w = before.weights[p];
        after.weights[p] = w - learningRate * directionOf(p) - learningRate * weightDecay * w;
      }
      continue;
    }
    const norm = (at: (p: number) => number) => {
      let squares = 0;
      for (let p = offset; p < end; p++) squares += at(p) ** 2;
      return Math.sqrt(squares);
    };
    const weightNorm = norm((p) => before.weights[p]);
    if (kind === 'lamb') {
      for (let p = offset; p < end; p++) updateMoments(p);
      const decayed = (p: number) => directionOf(p) + weightDecay * before.weights[p];
      const directionNorm = norm(decayed);
      const ratio = weightNorm > 0 && directionNorm > 0 ? weightNorm / directionNorm : 1;
      for (let p = offset; p < end; p++) after.weights[p] = before.weights[p] - learningRate * ratio * decayed(p);
    } else {
      const bottom = norm(gradientOf) + weightDecay * weightNorm;
      const trust = weightNorm > 0 && bottom > 0 ? (LARS_TRUST * weightNorm) / bottom : 1;
      for (let p = offset; p < end; p++) {
        const pull = gradientOf(p) + weightDecay * before.weights[p];
        after.m[p] = beta1 * before.m[p] + learningRate * trust * pull;
        after.v[p] = before.v[p];
        after.weights[p] = before.weights[p] - after.m[p];
      }
    }
  }
  let finite = true;
  for (let p = 0; p < parameters; p++) {
    finite &&= Number.isFinite(after.weights[p]) && Number.isFinite(after.v[p]) && Number.isFinite(after.m[p]);
  }
  if (!finite) {
    throw new BarcastError(
      'BARCAST_E_DIVERGED',
      'an update made a weight that is not finite',
      'lower the learning rate or clip the gradient',
    );
  }
}
