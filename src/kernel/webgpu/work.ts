/**
 * What one sequence costs the device, counted from the shaders: multiply-adds as two operations, and bytes. Weights,
 * head and tile sums are left out: over a batch they are hundreds of times smaller. Element-wise functions are not
 * counted, as nowhere in this project.
 */
import type { NetworkShape } from '../kernel.ts';
import { type NetworkPlan, planNetwork } from './plan.ts';
import { GRADIENT_ROWS } from './shaders-backward.ts';

export interface DeviceWork {
  readonly flops: number;
  /** Bytes between the chip and its memory when every dispatch's own repeats stay in the caches. */
  readonly memoryBytes: number;
  /** Bytes that the shaders ask for in storage, repeats included: what the caches must deliver. */
  readonly requestedBytes: number;
}

/** Of a training sequence (gradient) or of an inference. @param half as the kernel `webgpu-f16` keeps its numbers */
export function deviceWork(shape: NetworkShape, kind: 'training' | 'inference', half = false): DeviceWork {
  const plan = planNetwork(shape, half);
  const layers = plan.lstm.map((_, l) => layerWork(plan, l, kind === 'training'));
  const dense = plan.dense.reduce((sum, { inputs, units }) => sum + 2 * inputs * units, 0);
  // Windows gathered: a read of the matrix, here one of all features, and a write.
  const gathered = (4 + (half ? 2 : 4)) * plan.steps * plan.features;
  const total = (of: (layer: DeviceWork) => number) => layers.reduce((sum, layer) => sum + of(layer), 0);
  return {
    flops: total(({ flops }) => flops) + (kind === 'training' ? 3 : 1) * dense,
    memoryBytes: gathered + total(({ memoryBytes }) => memoryBytes),
    requestedBytes: gathered + total(({ requestedBytes }) => requestedBytes),
  };
}

function layerWork({ steps: T, lstm, half }: NetworkPlan, l: number, training: boolean): DeviceWork {
  const { inputs: I, units: H } = lstm[l];
  const K = I + H;
  const top = l === lstm.length - 1;
  // Bytes of one number a unit over all steps.
  const kept = (half ? 2 : 4) * T;
  const forwardFlops = 2 * T * 4 * H * K;
  const forward = kept * (I + (top ? 0 : H));
  if (!training) return { flops: forwardFlops, memoryBytes: forward, requestedBytes: forward };
  const gates = 4 * kept * H;
  const cells = kept * H;
  const written = kept * H + gates + cells;
  // Gates read and written, each cell read as c_t and as c_{t-1}; what comes from above where it comes at every step.
  const backward = (reads: number) => 2 * gates + reads * cells + (top ? 0 : kept * H);
  const below = (reads: number) => (l > 0 ? reads * gates + kept * I : 0);
  const blocks = Math.ceil((K + 1) / GRADIENT_ROWS);
  return {
    // Forward; back through the recurrent weights, and the inputs' where a layer is below; the weights' gradient.
    flops: forwardFlops + 2 * T * 4 * H * (H + (l > 0 ? I : 0)) + 2 * T * 4 * H * (K + 1),
    memoryBytes: forward + written + backward(1) + below(1) + gates + kept * K,
    requestedBytes: forward + written + backward(2) + below(I) + blocks * gates + kept * K * H,
  };
}
