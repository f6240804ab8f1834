/**
 * The leakage audit: change the future, and see whether the past notices.
 *
 * At random minutes every bar from that minute on is given another price and volume, or is taken away. What was made
 * from the bars before (windows, their scales, the scaler's fit on the training part, targets that had come, a model's
 * forecasts) must keep every bit. And because an audit that looks at nothing finds nothing, it also changes bars that a
 * window does see and demands that the window notices.
 *
 * It cannot see what was leaked by hand: a choice made after looking at the test days.
 */
import type { MarketBars } from '../bars/index.ts';
import { BarcastError, epochMinute, hashText, isoOfMinute, lowerBound, Random } from '../base/index.ts';
import {
  buildWindows,
  chronologicalSplit,
  kernelWindows,
  type Recipe,
  randomSplit,
  rangeOfWindows,
  type Split,
  selectWindows,
  type WindowSet,
} from '../features/index.ts';
import type { Model } from '../model/index.ts';
import { sliceBars } from './market-slice.ts';
import { fitScalerBefore, scaledWindows } from './recipe-windows.ts';

export interface AuditOptions {
  readonly bars: MarketBars;
  /** The model's own when a model is given. */
  readonly recipe: Recipe;
  /** Its forecasts are held against changed futures too. */
  readonly model?: Pick<Model, 'predict' | 'windows'>;
  readonly seed?: number;
  /** Minutes at which the future is changed. Default 8. */
  readonly cuts?: number;
}

export type AuditCheckName = 'windows' | 'targets' | 'scaler' | 'split' | 'forecasts' | 'sensitivity';

export interface AuditCheck {
  readonly check: AuditCheckName;
  /** Things compared, and those that failed. */
  readonly compared: number;
  readonly failed: number;
  /** The first failure, in words. */
  readonly example?: string;
}

export interface AuditResult {
  readonly recipe: string;
  readonly bars: number;
  readonly windows: number;
  /** ISO 8601 UTC of the minutes at which the future was changed. */
  readonly cuts: readonly string[];
  readonly checks: readonly AuditCheck[];
  readonly passed: boolean;
}

type Future = 'changed' | 'removed';

/** The scaled windows of some bars. */
type WindowsOf = (bars: MarketBars) => WindowSet;

/** Windows compared at each cut: those that end last before it, where a leak shows first, and some of all others. */
const NEAREST = 4000;
const OTHERS = 1000;
/** Windows a model forecasts at each cut. */
const FORECASTS = 500;

/** @throws BARCAST_E_TOO_FEW_WINDOWS when the bars hold too few to audit on */
export async function auditLeakage(options: AuditOptions): Promise<AuditResult> {
  const { bars, recipe, model, seed = 1, cuts: wantedCuts = 8 } = options;
  const random = new Random(seed, hashText('evaluate.audit'));
  const scaler = model ? undefined : fitScalerBefore(bars, recipe, Number.POSITIVE_INFINITY);
  const windowsOf: WindowsOf = (some) => {
    const every = { requireTarget: false };
    return model ? model.windows(some, every) : scaledWindows(some, recipe, scaler!, every);
  };
  const windows = windowsOf(bars);
  const minutes = [...new Set(windows.asOf)].sort((a, b) => a - b);
  if (minutes.length < 30) {
    throw new BarcastError(
      'BARCAST_E_TOO_FEW_WINDOWS',
      `the bars hold windows at ${minutes.length} minutes, too few to audit`,
      'take more days or symbols',
    );
  }
  const tally = new Tally();
  // Cuts lie in the later three quarters, so that there is a past to compare.
  const quarter = Math.floor(minutes.length / 4);
  const cuts = Array.from({ length: wantedCuts }, () => minutes[quarter + random.below(minutes.length - quarter)]);
  for (const cut of cuts) {
    const kept = selectWindows(windows, windowsBefore(windows, cut, random));
    const predicted = model ? await model.predict(head(kept, FORECASTS)) : undefined;
    for (const future of ['changed', 'removed'] as const) {
      const other = windowsOf(withFuture(bars, cut, future, random));
      const places = placesOf(kept, other);
      compareWindows(kept, other, places, recipe, cut, future, tally);
      if (model && predicted) {
        const found = places.slice(0, FORECASTS).filter((place) => place >= 0);
        if (found.length === predicted.predictedReturn.length) {
          const again = await model.predict(selectWindows(other, Int32Array.from(found)));
          for (const column of ['predictedReturn', 'low', 'high'] as const) {
            for (let i = 0; i < found.length; i++) {
              const same = Object.is(predicted[column][i], again[column][i]);
              tally.add('forecasts', same, () => `${column} of ${nameOf(kept, i)} with the future ${future}`);
            }
          }
        }
      }
    }
    checkScaler(bars, recipe, cut, random, tally);
  }
  checkSplit(bars, recipe, seed, tally);
  checkSensitivity(bars, recipe, windows, windowsOf, minutes[minutes.length >> 1], random, tally);
  const checks = tally.checks();
  return {
    recipe: recipe.name,
    bars: bars.minute.length,
    windows: windows.starts.length,
    cuts: cuts.map((cut) => isoOfMinute(epochMinute(cut))),
    checks,
    passed: checks.every(({ failed }) => failed === 0),
  };
}

/** @throws BARCAST_E_LEAKAGE naming what leaked, unless the audit passed */
export function requireNoLeakage({ recipe, checks }: AuditResult): void {
  const failed = checks.filter((check) => check.failed > 0);
  if (failed.length === 0) return;
  const what = failed.map(({ check, failed: count, compared, example }) => {
    const counted = `${count.toLocaleString('en-US')} of ${compared.toLocaleString('en-US')}`;
    return `${check} (${counted}, first: ${example})`;
  });
  throw new BarcastError(
    'BARCAST_E_LEAKAGE',
    `recipe '${recipe}' fails the audit: ${what.join('; ')}`,
    'believe no score of it until what leaks is found and closed',
  );
}

class Tally {
  readonly #checks = new Map<AuditCheckName, { compared: number; failed: number; example?: string }>();

  add(check: AuditCheckName, passed: boolean, describe: () => string): void {
    const sums = this.#checks.get(check) ?? { compared: 0, failed: 0 };
    sums.compared++;
    if (!passed) {
      sums.failed++;
      sums.example ??= describe();
    }
    this.#checks.set(check, sums);
  }

  checks(): AuditCheck[] {
    return [...this.#checks].map(([check, sums]) => ({ check, ...sums }));
  }
}

const nameOf = (windows: WindowSet, i: number): string =>
  `${windows.symbols[windows.symbol[i]]} at ${isoOfMinute(epochMinute(windows.asOf[i]))}`;

const head = (windows: WindowSet, count: number): WindowSet =>
  selectWindows(
    windows,
    Int32Array.from({ length: Math.min(count, windows.starts.length) }, (_, i) => i),
  );

/** Indices of windows that end at or before the cut: the nearest first, then some of the others. */
function windowsBefore({ asOf }: WindowSet, cut: number, random: Random): Int32Array {
  const before: number[] = [];
  for (let i = 0; i < asOf.length; i++) if (asOf[i] <= cut) before.push(i);
  before.sort((a, b) => asOf[b] - asOf[a]);
  const others = before.slice(NEAREST);
  const drawn = Array.from({ length: Math.min(OTHERS, others.length) }, () => others[random.below(others.length)]);
  return Int32Array.from([...before.slice(0, NEAREST), ...new Set(drawn)]);
}

/** The bars with another future from the cut on. */
function withFuture(bars: MarketBars, cut: number, future: Future, random: Random): MarketBars {
  if (future === 'removed') return sliceBars(bars, Number.NEGATIVE_INFINITY, cut);
  return changeBars(bars, (minute) => minute >= cut, random);
}

/** The bars with prices and volumes of some of the minutes changed by random factors; low stays below high. */
function changeBars(bars: MarketBars, isChanged: (minute: number) => boolean, random: Random): MarketBars {
  const columns = ['open', 'high', 'low', 'close', 'volume'] as const;
  const changed = Object.fromEntries(columns.map((name) => [name, bars[name].slice()])) as Record<
    (typeof columns)[number],
    Float64Array
  >;
  for (let row = 0; row < bars.minute.length; row++) {
    if (!isChanged(bars.minute[row])) continue;
    const factor = Math.exp(0.2 * random.normal());
    for (const name of ['open', 'high', 'low', 'close'] as const) changed[name][row] *= factor;
    changed.volume[row] = Math.round(changed.volume[row] * Math.exp(random.normal())) + 1;
  }
  return { ...bars, ...changed };
}

/** For each window its place in another set, found by symbol and asOf; -1 where it is missing. */
function placesOf(windows: WindowSet, other: WindowSet): Int32Array {
  const keyOf = (set: WindowSet, i: number) => `${set.symbols[set.symbol[i]]} ${set.asOf[i]}`;
  const wanted = new Map<string, number>();
  for (let i = 0; i < windows.asOf.length; i++) wanted.set(keyOf(windows, i), i);
  const places = new Int32Array(windows.asOf.length).fill(-1);
  for (let j = 0; j < other.asOf.length; j++) {
    const i = wanted.get(keyOf(other, j));
    if (i !== undefined) places[i] = j;
  }
  return places;
}

function compareWindows(
  windows: WindowSet,
  other: WindowSet,
  places: Int32Array,
  recipe: Recipe,
  cut: number,
  future: Future,
  tally: Tally,
): void {
  for (let i = 0; i < places.length; i++) {
    const j = places[i];
    const found = j >= 0;
    const same =
      found &&
      Object.is(windows.lastClose[i], other.lastClose[j]) &&
      Object.is(windows.volatility[i], other.volatility[j]) &&
      sameInputs(windows, i, other, j, recipe);
    tally.add('windows', same, () => {
      const what = found ? 'has other inputs' : 'is missing';
      return `${nameOf(windows, i)} ${what} with the bars from ${isoOfMinute(epochMinute(cut))} on ${future}`;
    });
    // A target that had come by the cut stays. A run ends at its last bar, so taking bars away may make it unknown.
    if (found && windows.asOf[i] + recipe.horizonMinutes <= cut) {
      const kept =
        Object.is(windows.targetClose[i], other.targetClose[j]) ||
        (future === 'removed' && Number.isNaN(other.targetClose[j]));
      tally.add('targets', kept, () => `the target of ${nameOf(windows, i)} with the future ${future}`);
    }
  }
}

/** Whether two windows feed the network the same bits. */
function sameInputs(a: WindowSet, i: number, b: WindowSet, j: number, recipe: Recipe): boolean {
  const F = recipe.features.length;
  const [ofA, ofB] = [kernelWindows(rangeOfWindows(a, i, i + 1)), kernelWindows(rangeOfWindows(b, j, j + 1))];
  for (let f = 0; f < F; f++)
    if (!Object.is(ofA.shift[f], ofB.shift[f]) || !Object.is(ofA.gain[f], ofB.gain[f])) return false;
  const length = recipe.windowLength * recipe.columns;
  const [fromA, fromB] = [a.starts[i] * recipe.columns, b.starts[j] * recipe.columns];
  for (let k = 0; k < length; k++) if (!Object.is(a.matrix[fromA + k], b.matrix[fromB + k])) return false;
  return true;
}

function checkScaler(bars: MarketBars, recipe: Recipe, cut: number, random: Random, tally: Tally): void {
  const before = JSON.stringify(fitScalerBefore(bars, recipe, cut));
  const after = JSON.stringify(fitScalerBefore(withFuture(bars, cut, 'changed', random), recipe, cut));
  tally.add('scaler', before === after, () => {
    const when = isoOfMinute(epochMinute(cut));
    return `fitted on windows before ${when}, it changes with the bars after (${before} became ${after})`;
  });
}

/** No minute of a validation window or its target may lie in a training window or its target of the same symbol. */
function checkSplit(bars: MarketBars, recipe: Recipe, seed: number, tally: Tally): void {
  const windows = buildWindows(bars, recipe, { requireTarget: true });
  const { validationSplit, validationShare } = recipe.training;
  let split: Split;
  try {
    split =
      validationSplit === 'random'
        ? randomSplit(windows, validationShare, seed)
        : chronologicalSplit(windows, validationShare);
  } catch (error) {
    // Too few bars to split says nothing about leakage.
    if (error instanceof BarcastError && error.code === 'BARCAST_E_TOO_FEW_WINDOWS') return;
    throw error;
  }
  const { windowLength, horizonMinutes } = recipe;
  const trainedOn = new Map<number, number[]>();
  for (const i of split.training) {
    const list = trainedOn.get(windows.symbol[i]);
    if (list) list.push(windows.asOf[i]);
    else trainedOn.set(windows.symbol[i], [windows.asOf[i]]);
  }
  for (const list of trainedOn.values()) list.sort((a, b) => a - b);
  const reach = windowLength + horizonMinutes;
  for (const i of split.validation) {
    const list = trainedOn.get(windows.symbol[i]) ?? [];
    // Windows [asOf - length, asOf + horizon) overlap when their ends are less than a length and a horizon apart.
    const overlaps = anyWithin(list, windows.asOf[i] - reach + 1, windows.asOf[i] + reach - 1);
    tally.add('split', !overlaps, () => {
      return `validation window ${nameOf(windows, i)} shares minutes with a training window (split: ${validationSplit})`;
    });
  }
}

function anyWithin(sorted: readonly number[], low: number, high: number): boolean {
  const from = lowerBound(sorted, low);
  return from < sorted.length && sorted[from] <= high;
}

/** Changes the bars of one minute: windows that end with it must notice, or this audit compares nothing. */
function checkSensitivity(
  bars: MarketBars,
  recipe: Recipe,
  windows: WindowSet,
  windowsOf: WindowsOf,
  asOf: number,
  random: Random,
  tally: Tally,
): void {
  const at = Array.from(windows.asOf.keys()).filter((i) => windows.asOf[i] === asOf);
  const ending = selectWindows(windows, Int32Array.from(at));
  const other = windowsOf(changeBars(bars, (minute) => minute === asOf - 1, random));
  const places = placesOf(ending, other);
  for (let i = 0; i < places.length; i++) {
    const noticed = places[i] < 0 || !sameInputs(ending, i, other, places[i], recipe);
    tally.add('sensitivity', noticed, () => `${nameOf(ending, i)} does not notice its own last bar`);
  }
}
