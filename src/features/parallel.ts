/**
 * Windows of a large market on several threads: the same functions as `buildWindows` and the recipe's own, block by
 * block, with the same bits. What is small, or not over shared memory, is done in place.
 */
import type { MarketBars } from '../bars/index.ts';
import { type Allocate, freshShared } from '../base/index.ts';
import { doBlocks } from './blocks.ts';
import { fillingMarket, fillMarket } from './market-rows.ts';
import type { FittedScaler, Recipe, WindowOptions, WindowSet } from './recipe.ts';
import { RECIPE_NAMES, recipeOf } from './recipes.ts';
import { FIRST_ROW, RUN_FIELDS, type Runs, WINDOWS } from './runs.ts';
import { rangeOfWindows, selectWindows } from './window-selection.ts';
import { buildWindows, windowArrays, windowSetOf } from './windows.ts';

/** Below this many bars or windows threads cost more than they save. */
const LEAST_ITEMS = 100_000;
const BLOCKS = 64;
const WINDOWS_A_BLOCK = 32 * 1024;

const share = freshShared;
const isShared = (array: { readonly buffer: ArrayBufferLike }) => array.buffer instanceof SharedArrayBuffer;
/** Worker threads know a recipe by its name. */
const isNamed = (recipe: Recipe) => RECIPE_NAMES.includes(recipe.name) && recipeOf(recipe.name) === recipe;

export interface ThreadOptions {
  /** Leaves the calling thread free for other work meanwhile. */
  readonly apart?: boolean;
  /** Memory for what is made; fresh shared memory by default. */
  readonly allocate?: Allocate;
}

/** `buildWindows` on all cores when the bars are many and over shared memory, as the store reads them. */
export async function buildWindowsOnThreads(
  bars: MarketBars,
  recipe: Recipe,
  options: WindowOptions,
  { apart = false, allocate = freshShared }: ThreadOptions = {},
): Promise<WindowSet> {
  if (bars.minute.length < LEAST_ITEMS || !isShared(bars.minute) || !isNamed(recipe))
    return buildWindows(bars, recipe, options);
  const shared = { ...bars, symbols: [], offsets: copyShared(bars.offsets) };
  const found = await findRunsOnThreads(shared, recipe, options, apart);
  const { runs, firstWindow } = cutRuns(found);
  const arrays = windowArrays(found, recipe, allocate);
  const runFields = found.fields;
  const task = {
    kind: 'fill',
    recipe: recipe.name,
    bars: shared,
    options,
    runFields,
    runs,
    firstWindow,
    arrays,
  } as const;
  await doBlocks(task, firstWindow.length, apart);
  return windowSetOf(bars, recipe, found, arrays);
}

function copyShared(array: Int32Array): Int32Array {
  const copy = new Int32Array(share(array.byteLength));
  copy.set(array);
  return copy;
}

/** `findRuns` on groups of symbols. */
async function findRunsOnThreads(
  bars: MarketBars,
  recipe: Recipe,
  options: WindowOptions,
  apart: boolean,
): Promise<Runs> {
  const symbols = cutSymbols(bars.offsets);
  const blocks = symbols.length - 1;
  // A run has a bar at least after every longest run of quiet minutes.
  const fewestBars = Math.max(1, Math.floor(recipe.windowLength / (recipe.quiet.longestRun + 1)));
  const at = new Int32Array(share(4 * (blocks + 1)));
  for (let block = 0; block < blocks; block++) {
    const barsOfIt = bars.offsets[symbols[block + 1]] - bars.offsets[symbols[block]];
    at[block + 1] = at[block] + RUN_FIELDS * Math.ceil(barsOfIt / fewestBars);
  }
  const room = new Int32Array(share(4 * at[blocks]));
  const sizes = new Int32Array(share(4 * 3 * blocks));
  const task = { kind: 'find', recipe: recipe.name, bars, options, symbols, fields: room, at, sizes } as const;
  await doBlocks(task, blocks, apart);
  const count = sizes.filter((_, i) => i % 3 === 0).reduce((sum, n) => sum + n, 0);
  const fields = new Int32Array(share(4 * RUN_FIELDS * count));
  let run = 0;
  let rows = 0;
  let windows = 0;
  for (let block = 0; block < blocks; block++) {
    const [ofBlock, rowsOfBlock, windowsOfBlock] = sizes.subarray(3 * block);
    for (let i = 0; i < ofBlock; i++, run++) {
      const from = at[block] + i * RUN_FIELDS;
      fields.set(room.subarray(from, from + RUN_FIELDS), run * RUN_FIELDS);
      fields[run * RUN_FIELDS + FIRST_ROW] += rows;
    }
    rows += rowsOfBlock;
    windows += windowsOfBlock;
  }
  return { fields, count, rows, windows };
}

/** Symbols in blocks of about equal bars: the first symbol of each, and the end. */
function cutSymbols(offsets: Int32Array): Int32Array {
  const end = offsets.length - 1;
  const firsts: number[] = [];
  for (let s = 0, block = -1; s < end; s++) {
    const due = Math.floor((offsets[s] / offsets[end]) * BLOCKS);
    if (due > block) firsts.push(s);
    block = Math.max(block, due);
  }
  return copyShared(Int32Array.of(...firsts, end));
}

/** Runs in blocks of about equal length, and the number of the first window that each block has. */
function cutRuns({ fields, count, rows }: Runs) {
  const firsts: number[] = [];
  const windows: number[] = [];
  let block = -1;
  let window = 0;
  for (let run = 0; run < count; run++) {
    const due = Math.floor((fields[run * RUN_FIELDS + FIRST_ROW] / rows) * BLOCKS);
    if (due > block) {
      firsts.push(run);
      windows.push(window);
      block = due;
    }
    window += fields[run * RUN_FIELDS + WINDOWS];
  }
  return { runs: Int32Array.of(...firsts, count), firstWindow: Int32Array.from(windows) };
}

/** `fillMarket` on all cores when the rows are many and over shared memory. */
export async function fillMarketOnThreads(
  windows: WindowSet,
  recipe: Recipe,
  scaler: FittedScaler,
  bars: MarketBars,
  { apart = false }: ThreadOptions = {},
): Promise<void> {
  const runs = windows.runs?.firstRow.length ?? 0;
  if (recipe.market === undefined || runs === 0) return;
  const shared = isShared(windows.matrix) && isShared(bars.minute) && isNamed(recipe);
  if (!shared || windows.starts.length < LEAST_ITEMS) return fillMarket(windows, recipe, scaler, bars);
  for (const step of fillingMarket(windows, recipe, scaler, bars)) await doBlocks(step, step.blocks, apart);
}

/**
 * The recipe's `fit` on some of the windows, on all cores when they are many and over shared memory.
 * @param training which of them
 */
export async function fitOnThreads(
  windows: WindowSet,
  training: Int32Array,
  recipe: Recipe,
  bars: MarketBars,
  { apart = false }: ThreadOptions = {},
): Promise<FittedScaler> {
  const steps = recipe.fitting?.(windows, training, bars);
  const shared = isShared(windows.matrix) && isShared(bars.minute) && isNamed(recipe);
  if (steps === undefined || !shared || training.length < LEAST_ITEMS)
    return recipe.fit(selectWindows(windows, training), bars);
  for (;;) {
    const next = steps.next();
    if (next.done) return next.value;
    await doBlocks({ kind: 'fit', recipe: recipe.name, step: next.value }, next.value.blocks, apart);
  }
}

/** A scaled window set and its targets. */
export interface ScaledWindows {
  readonly windows: WindowSet;
  /** `[N]` in the network's output units. */
  readonly targets: Float32Array;
}

/** The recipe's `scale` and `targets`, on all cores when the windows are many and over shared memory. */
export async function scaleOnThreads(
  windows: WindowSet,
  recipe: Recipe,
  scaler: FittedScaler,
  { apart = false, allocate = freshShared }: ThreadOptions = {},
): Promise<ScaledWindows> {
  const N = windows.starts.length;
  if (N < LEAST_ITEMS || !isShared(windows.starts) || !isNamed(recipe)) {
    const scaled = recipe.scale(windows, scaler);
    return { windows: scaled, targets: recipe.targets(scaled, scaler) };
  }
  const { scaling } = recipe.scale(rangeOfWindows(windows, 0, 1), scaler);
  const numbers = N * scaling.width;
  const targets = new Float32Array(allocate(4 * N, true), 0, N);
  const scales = new Float32Array(allocate(4 * numbers, true), 0, numbers);
  const task = {
    kind: 'scale',
    recipe: recipe.name,
    windows: { ...windows, symbols: [] },
    scaler,
    windowsABlock: WINDOWS_A_BLOCK,
    scales,
    targets,
  } as const;
  await doBlocks(task, Math.ceil(N / WINDOWS_A_BLOCK), apart);
  return { windows: { ...windows, scaling, scales }, targets };
}
