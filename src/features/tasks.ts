/** What threads do block by block (see `blocks.ts`): finding runs, filling windows from them, scaling those. */
import type { MarketBars } from '../bars/index.ts';
import type { FitStep } from './fit-steps.ts';
import type { FlowStep } from './flow-rows.ts';
import type { RecordStep } from './market-record.ts';
import { type FillStep, marketFillWork } from './market-rows.ts';
import type { FittedScaler, RecipeName, WindowOptions, WindowSet } from './recipe.ts';
import { recipeOf } from './recipes.ts';
import { findRuns, RUN_FIELDS } from './runs.ts';
import { rangeOfWindows } from './window-selection.ts';
import { fillRuns, type WindowArrays } from './windows.ts';

/** Runs of symbols. Every array is over shared memory. */
export interface FindTask {
  readonly kind: 'find';
  readonly recipe: RecipeName;
  readonly bars: MarketBars;
  readonly options: WindowOptions;
  /** `[blocks + 1]` first symbol of each block. */
  readonly symbols: Int32Array;
  /** Receives the runs of a block, its rows counted from 0, from place `at[block]` on. */
  readonly fields: Int32Array;
  readonly at: Int32Array;
  /** `[blocks, 3]` receives its runs, its rows and its windows. */
  readonly sizes: Int32Array;
}

/** Rows and windows of runs. Every array is over shared memory. */
export interface FillTask {
  readonly kind: 'fill';
  readonly recipe: RecipeName;
  readonly bars: MarketBars;
  readonly options: WindowOptions;
  readonly runFields: Int32Array;
  /** `[blocks + 1]` first run of each block. */
  readonly runs: Int32Array;
  /** `[blocks]` number of its first window. */
  readonly firstWindow: Int32Array;
  readonly arrays: WindowArrays;
}

/** Scales and targets of windows. Every array is over shared memory. */
export interface ScaleTask {
  readonly kind: 'scale';
  readonly recipe: RecipeName;
  readonly windows: WindowSet;
  readonly scaler: FittedScaler;
  readonly windowsABlock: number;
  /** `[N, S]` */
  readonly scales: Float32Array;
  /** `[N]` */
  readonly targets: Float32Array;
}

/** A step of a recipe's fit. Every array is over shared memory. */
export interface FitTask {
  readonly kind: 'fit';
  readonly recipe: RecipeName;
  readonly step: FitStep;
}

export type Task = FindTask | FillTask | RecordStep | FillStep | FlowStep | ScaleTask | FitTask;

export function workOf(task: Task): (block: number) => void {
  switch (task.kind) {
    case 'find':
      return findWork(task);
    case 'fill':
      return fillRunsWork(task);
    case 'record':
    case 'market':
    case 'flows':
      return marketFillWork(task);
    case 'scale':
      return scaleWork(task);
    case 'fit':
      return recipeOf(task.recipe).fitWork!(task.step);
  }
}

function findWork({ recipe: name, bars, options, symbols, fields, at, sizes }: FindTask): (block: number) => void {
  const recipe = recipeOf(name);
  return (block) => {
    const runs = findRuns(bars, recipe, options, symbols[block], symbols[block + 1]);
    fields.set(runs.fields.subarray(0, runs.count * RUN_FIELDS), at[block]);
    sizes.set([runs.count, runs.rows, runs.windows], block * 3);
  };
}

function fillRunsWork(task: FillTask): (block: number) => void {
  const { bars, options, runFields, runs, firstWindow, arrays } = task;
  const recipe = recipeOf(task.recipe);
  return (block) =>
    fillRuns(bars, recipe, options, runFields, runs[block], runs[block + 1], arrays, firstWindow[block]);
}

/** A recipe's own functions work on this many windows at a time: what one writes and the next reads stays in the cache. */
const WINDOWS_AT_ONCE = 1024;

function scaleWork(task: ScaleTask): (block: number) => void {
  const { windows, scaler, windowsABlock, scales, targets } = task;
  const recipe = recipeOf(task.recipe);
  const N = windows.starts.length;
  const S = scales.length / N;
  return (block) => {
    const end = Math.min(N, (block + 1) * windowsABlock);
    for (let from = block * windowsABlock; from < end; from += WINDOWS_AT_ONCE) {
      const to = Math.min(end, from + WINDOWS_AT_ONCE);
      const scaled = recipe.scale(rangeOfWindows(windows, from, to), scaler, scales.subarray(from * S, to * S));
      recipe.targets(scaled, scaler, targets.subarray(from, to));
    }
  };
}
