/**
 * How a network lies in the memory of a device. Glossary: T steps, I inputs and H units of a layer, K = I + H,
 * n sequences of a chunk (a multiple of 32), P parameters.
 *
 * Four sequences share one vec4, and rows lie next to each other, so that the threads of neighbouring units read and
 * write neighbouring memory:
 *
 *     inputs l   [T, n/4, K]       x_t in rows 0 to I, h_{t-1} in rows I to K
 *     gates l    [T, n/4, 4, H]    i, f, g, o after the forward pass; their gradients after the backward pass
 *     cells l    [T, n/4, H]       c_t
 *     below l    [T, n/4, H_{l-1}] gradient of the hidden states of layer l - 1, for l > 0
 *     head       [n/4, R]          the last hidden state after dropout, then every dense layer's outputs
 *     headGradient, mask           the same for gradients; [n/4, H] for the dropout multipliers
 *     tiles      [n/32, P + 1]     each tile's gradient and loss
 *
 * In half precision, inputs, gates, cells, below and the packed weights are of float16, all else of float32.
 */
import type { NetworkShape } from '../kernel.ts';
import { TILE } from '../kernel.ts';
import { parameterCount, parametersOf } from '../parameters.ts';
import type { AdapterFacts } from './adapters.ts';

export interface LstmPlan {
  readonly inputs: number;
  readonly units: number;
  /** First of its parameters in the flat array: kernel, recurrent and bias follow each other. */
  readonly offset: number;
  /** First vec4 of `[K + 1, H]` in the packed weights: the four gates of (row, unit); the last row is the bias. */
  readonly packed: number;
  /** First vec4 of `[H, K]` in the packed weights: the transpose, without the bias. */
  readonly transposed: number;
  /** As the network's. */
  readonly half: boolean;
}

export interface DensePlan {
  readonly inputs: number;
  readonly units: number;
  readonly relu: boolean;
  readonly offset: number;
  /** Its rows in `head`, and those of what it reads. */
  readonly row: number;
  readonly inputRow: number;
}

export interface NetworkPlan {
  readonly steps: number;
  readonly features: number;
  readonly parameters: number;
  readonly outputs: number;
  readonly lstm: readonly LstmPlan[];
  readonly dense: readonly DensePlan[];
  /** R */
  readonly headRows: number;
  /** vec4s of the packed weights */
  readonly packed: number;
  readonly dropout: number;
  /** What LSTM layers keep is of float16. */
  readonly half: boolean;
  /** Kernels and biases in the flat array. */
  readonly tensors: readonly { readonly offset: number; readonly length: number }[];
}

export function planNetwork(shape: NetworkShape, half = false): NetworkPlan {
  const offsets = new Map(parametersOf(shape).map(({ name, offset }) => [name, offset]));
  let inputs = shape.features;
  let packed = 0;
  const lstm = shape.lstm.map((units, l) => {
    const rows = inputs + units;
    const transposed = packed + (rows + 1) * units;
    const layer = { inputs, units, offset: offsets.get(`lstm.${l}.kernel`)!, packed, transposed, half };
    packed = transposed + rows * units;
    inputs = units;
    return layer;
  });
  let inputRow = 0;
  let row = inputs;
  const dense = shape.dense.map(({ units, activation }, d) => {
    const offset = offsets.get(`dense.${d}.kernel`)!;
    const layer = { inputs, units, relu: activation === 'relu', offset, row, inputRow };
    inputRow = row;
    row += units;
    inputs = units;
    return layer;
  });
  return {
    steps: shape.windowLength,
    features: shape.features,
    parameters: parameterCount(shape),
    outputs: inputs,
    lstm,
    dense,
    headRows: row,
    packed,
    dropout: shape.dropout,
    half,
    tensors: parametersOf(shape),
  };
}

/** Bytes of each buffer of a chunk of n sequences; those of training only with `training`. */
export function chunkBytes(plan: NetworkPlan, n: number, training: boolean): Record<string, number> {
  const bytes: Record<string, number> = { head: 4 * n * plan.headRows };
  const numbers = (plan.half ? 2 : 4) * n * plan.steps;
  plan.lstm.forEach(({ inputs, units }, l) => {
    bytes[`inputs${l}`] = numbers * (inputs + units);
    if (!training) return;
    bytes[`gates${l}`] = numbers * 4 * units;
    bytes[`cells${l}`] = numbers * units;
    if (l > 0) bytes[`below${l}`] = numbers * inputs;
  });
  if (training) {
    bytes.headGradient = bytes.head;
    bytes.mask = 4 * n * plan.lstm[plan.lstm.length - 1].units;
    bytes.tiles = 4 * (n / TILE) * (plan.parameters + 1);
    if (plan.half) bytes.lossScale = 8 * (n / TILE);
  }
  return bytes;
}

/** Sequences of a chunk, a multiple of 32: as many as are needed, within the limits and a share of the memory. */
export function chunkSequences(
  plan: NetworkPlan,
  needed: number,
  training: boolean,
  facts: Pick<AdapterFacts, 'limits' | 'software'>,
  memory: number = facts.software ? 2 ** 27 : 2 ** 31,
): number {
  const { limits } = facts;
  const largest = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
  const sizes = Object.values(chunkBytes(plan, TILE, training));
  const tilesByBuffer = Math.floor(largest / Math.max(...sizes));
  const tilesInAll = Math.floor(memory / sizes.reduce((a, b) => a + b));
  // A dispatch has at most maxComputeWorkgroupsPerDimension groups of four sequences.
  const tilesByGrid = Math.floor(limits.maxComputeWorkgroupsPerDimension / (TILE / 4));
  const tiles = Math.min(Math.ceil(needed / TILE), tilesByBuffer, tilesByGrid, Math.max(1, tilesInAll));
  return Math.max(1, tiles) * TILE;
}
