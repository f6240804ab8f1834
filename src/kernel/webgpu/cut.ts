/**
 * How the two passes over an LSTM layer's steps are cut into threads and workgroups: what the tuner chooses. Every cut
 * sums in the same order, so that none changes a bit of an answer.
 */
import { TILE } from '../kernel.ts';
import type { AdapterFacts } from './adapters.ts';
import type { LstmPlan } from './plan.ts';

export interface Cut {
  /** Sequences a thread: 4, 8 or 16. */
  readonly sequences: number;
  /** Units a thread, 1 or 2: with two, a number of the others' states is read once for both. */
  readonly units: number;
  /** Groups of such threads in a workgroup, each of H / units threads: 1, 2, 4 or 8. */
  readonly groups: number;
  /** The layer's weights in workgroup memory; otherwise they are read through the caches. */
  readonly resident: boolean;
  /**
   * States cross from thread to thread within a subgroup; otherwise each thread reads them from workgroup memory.
   * Where a register of another lane costs nothing (AMD, Intel) this spares the reads; one group alone, for then all
   * lanes have the same sequences.
   */
  readonly shuffled: boolean;
}

export type Direction = 'forward' | 'backward';
/** What a cut must fit. */
export type CutFacts = Pick<AdapterFacts, 'limits' | 'features'>;
export type ChooseCut = (layer: LstmPlan, direction: Direction) => Cut;

export const sameCut = (a: Cut, b: Cut): boolean =>
  a.sequences === b.sequences &&
  a.units === b.units &&
  a.groups === b.groups &&
  a.resident === b.resident &&
  a.shuffled === b.shuffled;

/** Bytes of workgroup memory that a cut takes. */
export function workgroupBytes({ inputs, units, half }: LstmPlan, direction: Direction, cut: Cut): number {
  const vectors = (cut.sequences / 4) * cut.groups;
  const state = (direction === 'forward' ? inputs + units : 4 * units) * vectors;
  const weights = direction === 'forward' ? (inputs + units + 1) * units : units * units;
  return (half ? 8 : 16) * (state + (cut.resident ? weights : 0));
}

/** Every cut of a layer that the device takes. One always fits: 4 sequences of 256 units take 16 KiB, which WebGPU guarantees. */
export function possibleCuts(layer: LstmPlan, direction: Direction, { limits, features }: CutFacts): Cut[] {
  const cuts: Cut[] = [];
  for (const shuffled of features.includes('subgroups') ? [false, true] : [false]) {
    for (const resident of [true, false]) {
      for (const [sequences, units] of [
        [8, 1],
        [4, 1],
        [16, 1],
        [8, 2],
      ]) {
        for (const groups of shuffled ? [1] : [8, 4, 2, 1]) {
          const cut = { sequences, units, groups, resident, shuffled };
          if (sequences * groups > TILE || layer.units % units !== 0) continue;
          if ((groups * layer.units) / units > limits.maxComputeInvocationsPerWorkgroup) continue;
          if (workgroupBytes(layer, direction, cut) > limits.maxComputeWorkgroupStorageSize) continue;
          cuts.push(cut);
        }
      }
    }
  }
  return cuts;
}

/**
 * The cut without a tuner's advice: weights at hand where they fit, 8 sequences of one unit a thread, about 64 threads.
 * Software compiles half of that in half the time.
 */
export function usualCut(layer: LstmPlan, direction: Direction, facts: CutFacts & { readonly software: boolean }): Cut {
  const preferred = facts.software ? 4 : 8;
  const cost = ({ sequences, units, groups, resident, shuffled }: Cut) =>
    (shuffled || units > 1 ? 1000 : 0) +
    (resident ? 0 : 100) +
    (sequences === preferred ? 0 : 10) +
    Math.abs(Math.log2((groups * layer.units) / 64));
  return possibleCuts(layer, direction, facts).reduce((a, b) => (cost(b) < cost(a) ? b : a));
}
