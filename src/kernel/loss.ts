/**
 * The losses of one output p against its target y, with e = p - y, and their slopes in p:
 *
 *     mse       e^2                                       2 e
 *     huber     e^2 / 2                                   e                where |e| <= delta
 *               delta (|e| - delta / 2)                   delta sign(e)    beyond
 *     pinball   -level e                                  -level           where e < 0
 *               (1 - level) e                             1 - level        where e > 0, and 0 at e = 0
 *
 * Huber (1964); Koenker & Bassett (1978). A sequence's loss is the mean over its outputs.
 */
import { BarcastError } from '../base/index.ts';
import type { Loss } from './kernel.ts';

/** Loss of output `output` (its place picks the quantile level). */
export function outputLoss(loss: Loss, output: number, predicted: number, target: number): number {
  const error = predicted - target;
  if (loss.kind === 'mse') return error * error;
  if (loss.kind === 'huber') {
    const size = Math.abs(error);
    return size <= loss.delta ? 0.5 * error * error : loss.delta * (size - 0.5 * loss.delta);
  }
  const level = loss.levels[output];
  return error < 0 ? -level * error : (1 - level) * error;
}

/** d(loss)/d(predicted) of {@link outputLoss}. */
export function outputSlope(loss: Loss, output: number, predicted: number, target: number): number {
  const error = predicted - target;
  if (loss.kind === 'mse') return 2 * error;
  if (loss.kind === 'huber') return Math.abs(error) <= loss.delta ? error : loss.delta * Math.sign(error);
  const level = loss.levels[output];
  if (error === 0) return 0;
  return error < 0 ? -level : 1 - level;
}

/**
 * Mean loss of `predicted [B, O]` against `targets [B, O]`; NaN when B is 0.
 * @throws BARCAST_E_SHAPE when the two differ in length, or do not fill whole rows of a pinball loss's levels
 */
export function meanLoss(loss: Loss, predicted: Float32Array, targets: Float32Array): number {
  const outputs = loss.kind === 'pinball' ? loss.levels.length : 1;
  if (predicted.length !== targets.length || predicted.length % outputs !== 0) {
    throw new BarcastError(
      'BARCAST_E_SHAPE',
      `${predicted.length} predictions stand against ${targets.length} targets of ${outputs} outputs`,
      'give one target a prediction',
    );
  }
  let sum = 0;
  for (let i = 0; i < predicted.length; i++) sum += outputLoss(loss, i % outputs, predicted[i], targets[i]);
  return sum / predicted.length;
}
