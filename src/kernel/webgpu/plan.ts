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
 */
import type { NetworkShape } from '../kernel.ts';
import { TILE } from '../kernel.ts';
import { parameterCount, parametersOf } from '../parameters.ts';
import type { AdapterFacts } from './device.ts';

export interface LstmPlan {
  readonly inputs: number;
  readonly units: number;
  /** First of its parameters in the flat array: kernel, recurrent and bias follow each other. */
  readonly offset: number;
  /** First vec4 of `[K + 1, H]` in the packed weights: the four gates of (row, unit); the last row is the bias. */
  readonly packed: number;
  /** First vec4 of `[H, K]` in the packed weights: the transpose, without the bias. */
  readonly transposed: number;
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
  /** Kernels and biases in the flat array. */
  readonly tensors: readonly { readonly offset: number; readonly length: number }[];
}

export function planNetwork(shape: NetworkShape): NetworkPlan {
  const offsets = new Map(parametersOf(shape).map(({ name, offset }) => [name, offset]));
  let inputs = shape.features;
  let packed = 0;
  const lstm = shape.lstm.map((units, l) => {
    const rows = inputs + units;
    const transposed = packed + (rows + 1) * units;
    const layer = { inputs, units, offset: offsets.get(`lstm.${l}.kernel`)!, packed, transposed };
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
    tensors: parametersOf(shape),
  };
}

/** How a workgroup of the two LSTM passes is cut: what the tuner chooses. */
export interface Cut {
  /** Sequences a thread: 4 or 8. */
  readonly sequences: number;
  /** Groups of such threads in a workgroup, each H threads: 1, 2, 4 or 8. */
  readonly groups: number;
  /** The layer's weights in workgroup memory; otherwise they are read through the caches. */
  readonly resident: boolean;
}

export type Direction = 'forward' | 'backward';

/** Bytes of workgroup memory that a cut takes. */
export function workgroupBytes({ inputs, units }: LstmPlan, direction: Direction, cut: Cut): number {
  const vectors = (cut.sequences / 4) * cut.groups;
  const state = (direction === 'forward' ? inputs + units : 4 * units) * vectors;
  const weights = direction === 'forward' ? (inputs + units + 1) * units : units * units;
  return 16 * (state + (cut.resident ? weights : 0));
}

/** Every cut of a layer that the device takes. One always fits: 4 sequences of 256 units take 16 KiB, which WebGPU guarantees. */
export function possibleCuts(layer: LstmPlan, direction: Direction, limits: AdapterFacts['limits']): Cut[] {
  const cuts: Cut[] = [];
  for (const resident of [true, false]) {
    for (const sequences of [8, 4]) {
      for (const groups of [8, 4, 2, 1]) {
        const cut = { sequences, groups, resident };
        if (sequences * groups > TILE) continue;
        if (groups * layer.units > limits.maxComputeInvocationsPerWorkgroup) continue;
        if (workgroupBytes(layer, direction, cut) > limits.maxComputeWorkgroupStorageSize) continue;
        cuts.push(cut);
      }
    }
  }
  return cuts;
}

/**
 * The cut without a tuner's advice: weights at hand where they fit, 8 sequences a thread, about 64 threads. Software
 * compiles half of that in half the time.
 */
export function usualCut(layer: LstmPlan, direction: Direction, facts: Pick<AdapterFacts, 'limits' | 'software'>): Cut {
  const preferred = facts.software ? 4 : 8;
  const cost = ({ sequences, groups, resident }: Cut) =>
    (resident ? 0 : 100) + (sequences === preferred ? 0 : 10) + Math.abs(Math.log2((groups * layer.units) / 64));
  return possibleCuts(layer, direction, facts.limits).reduce((a, b) => (cost(b) < cost(a) ? b : a));
}

/** Bytes of each buffer of a chunk of n sequences; those of training only with `training`. */
export function chunkBytes(plan: NetworkPlan, n: number, training: boolean): Record<string, number> {
  const bytes: Record<string, number> = { head: 4 * n * plan.headRows };
  plan.lstm.forEach(({ inputs, units }, l) => {
    bytes[`inputs${l}`] = 4 * n * plan.steps * (inputs + units);
    if (!training) return;
    bytes[`gates${l}`] = 16 * n * plan.steps * units;
    bytes[`cells${l}`] = 4 * n * plan.steps * units;
    if (l > 0) bytes[`below${l}`] = 4 * n * plan.steps * inputs;
  });
  if (training) {
    bytes.headGradient = bytes.head;
    bytes.mask = 4 * n * plan.lstm[plan.lstm.length - 1].units;
    bytes.tiles = 4 * (n / TILE) * (plan.parameters + 1);
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
