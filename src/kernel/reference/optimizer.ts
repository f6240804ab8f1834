/**
 * Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019), in the one form that every kernel follows. With s the
 * gradient sums of n sequences, t the number of updates including this one, and w the weight before it:
 *
 *     g = s / n
 *     norm = sqrt(sum of g^2 over all parameters);  where clipNorm > 0 and norm > clipNorm: g = g clipNorm / norm
 *     m = beta1 m + (1 - beta1) g                    v = beta2 v + (1 - beta2) g^2
 *     w = w - learningRate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon) - learningRate weightDecay w
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
): void {
  const { learningRate, beta1, beta2, epsilon, weightDecay, clipNorm } = settings;
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
  let finite = true;
  for (let p = 0; p < parameters; p++) {
    const g = Number(sums[p]) * scale * clip;
    after.m[p] = beta1 * before.m[p] + (1 - beta1) * g;
    after.v[p] = beta2 * before.v[p] + (1 - beta2) * g * g;
    const w = before.weights[p];
    const direction = after.m[p] / correction1 / (Math.sqrt(after.v[p] / correction2) + epsilon);
    after.weights[p] = w - learningRate * direction - learningRate * weightDecay * w;
    finite &&= Number.isFinite(after.weights[p]) && Number.isFinite(after.v[p]);
  }
  if (!finite) {
    throw new BarcastError(
      'BARCAST_E_DIVERGED',
      'an update made a weight that is not finite',
      'lower the learning rate or clip the gradient',
    );
  }
}
