/**
 * Walk-forward: in each fold a model is trained from scratch by `trainModel` on that fold's past (scalers, early
 * stopping and intervals included) and scored on what came next; then all test windows are scored together.
 *
 * A fold's model stays in the registry it is given, with a note of what it was trained on. A walk-forward that was
 * interrupted goes on: folds that are done are not trained again, and the one in progress takes up its checkpoint.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MarketBars } from '../bars/index.ts';
import { isoOfMinute, type Progress, writeFileAtomic } from '../base/index.ts';
import type { Recipe } from '../features/index.ts';
import type { Kernel } from '../kernel/index.ts';
import type { Registry } from '../model/index.ts';
import { type TrainOptions, trainModel } from '../train/index.ts';
import { forecastWindows, type ScoredForecasts } from './evaluate-model.ts';
import { type Evaluation, type EvaluationInput, evaluateForecasts, type Verdict, verdictOf } from './evaluation.ts';
import { type FoldPlan, planFolds } from './folds.ts';
import { turnoverPerMinute } from './liquidity.ts';
import { sessionsOf, sliceBars } from './market-slice.ts';
import { type Score, scoreForecasts } from './scores.ts';

export interface WalkForwardOptions {
  readonly bars: MarketBars;
  readonly recipe: Recipe;
  readonly kernel: Kernel;
  /** Keeps the folds' models, `fold-1` and so on. */
  readonly registry: Registry;
  readonly plan: FoldPlan;
  readonly seed: number;
  readonly overrides?: TrainOptions['overrides'];
  readonly version: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

export interface FoldResult {
  readonly fold: number;
  /** ISO 8601 UTC, half-open. */
  readonly trainFrom: string;
  readonly trainTo: string;
  readonly testFrom: string;
  readonly testTo: string;
  readonly weightsHash: string;
  readonly model: Score;
  readonly ridge: Score | null;
  readonly verdict: Verdict;
}

export interface WalkForwardResult {
  readonly recipe: string;
  readonly plan: FoldPlan;
  readonly folds: readonly FoldResult[];
  /** Folds whose scaled skill is above 0. */
  readonly foldsAbovePersistence: number;
  /** All test windows together, each forecast by the model of its fold. */
  readonly pooled: Evaluation;
}

/**
 * @throws BARCAST_E_USAGE, BARCAST_E_TOO_FEW_WINDOWS, BARCAST_E_INTERRUPTED (the same call goes on), and what
 * `trainModel` throws
 */
export async function walkForward(options: WalkForwardOptions): Promise<WalkForwardResult> {
  const { bars, recipe, kernel, registry, plan, progress } = options;
  const { horizonMinutes } = recipe;
  const folds = planFolds(sessionsOf(bars), plan);
  const results: FoldResult[] = [];
  const parts: ScoredForecasts[] = [];
  for (const fold of folds) {
    const span = `${isoOfMinute(fold.testFrom).slice(0, 10)} to ${isoOfMinute(fold.testTo).slice(0, 10)}`;
    progress.say(`fold ${fold.number} of ${folds.length}: test ${span}`);
    const trainingBars = sliceBars(bars, fold.trainFrom, fold.trainTo);
    const name = `fold-${fold.number}`;
    const version = await trainedVersion(options, trainingBars, name);
    const model = await registry.load(`${name}@${version}`, kernel);
    try {
      const testBars = sliceBars(bars, fold.testFrom, fold.testTo);
      const forecasts = await forecastWindows({ model, bars: testBars, trainingBars });
      const score = scoreForecasts({ ...forecasts.windows, ...forecasts }, { horizonMinutes });
      const { ridgeReturn } = forecasts;
      results.push({
        fold: fold.number,
        trainFrom: isoOfMinute(fold.trainFrom),
        trainTo: isoOfMinute(fold.trainTo),
        testFrom: isoOfMinute(fold.testFrom),
        testTo: isoOfMinute(fold.testTo),
        weightsHash: model.weightsHash,
        model: score,
        ridge:
          ridgeReturn && scoreForecasts({ ...forecasts.windows, predictedReturn: ridgeReturn }, { horizonMinutes }),
        verdict: verdictOf(score),
      });
      parts.push(withoutInputs(forecasts));
    } finally {
      model.close();
    }
  }
  const tested = sliceBars(bars, folds[0].testFrom, folds[folds.length - 1].testTo);
  return {
    recipe: recipe.name,
    plan,
    folds: results,
    foldsAbovePersistence: results.filter(({ model }) => (model.skillScaled ?? 0) > 0).length,
    pooled: evaluateForecasts({ ...pool(parts), liquidity: turnoverPerMinute(tested) }, { horizonMinutes }),
  };
}

/** What a fold was trained on, beside its model. */
interface FoldNote {
  readonly fingerprint: string;
  readonly version: string;
}

/** The version of a fold's model: the one that is there, if it was trained on the same, or a new training. */
async function trainedVersion(options: WalkForwardOptions, bars: MarketBars, name: string): Promise<string> {
  const { recipe, kernel, registry, seed, overrides, version, progress, signal } = options;
  const folder = join(registry.directory, name);
  const notePath = join(folder, 'fold.json');
  const fingerprint = fingerprintOf(options, bars);
  const note = readNote(notePath);
  if (note?.fingerprint === fingerprint && existsSync(join(folder, 'versions', note.version))) {
    progress.say(`${name} is trained already`);
    return note.version;
  }
  const answer = await trainModel({ bars, recipe, kernel, registry, name, seed, overrides, version, progress, signal });
  mkdirSync(folder, { recursive: true });
  const fresh: FoldNote = { fingerprint, version: answer.version };
  writeFileAtomic(notePath, `${JSON.stringify(fresh, null, 2)}\n`);
  return answer.version;
}

/** A note that cannot be read is none: the fold is trained again. */
function readNote(path: string): FoldNote | undefined {
  if (!existsSync(path)) return undefined;
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as FoldNote;
  } catch {
    return undefined;
  }
}

function fingerprintOf(options: WalkForwardOptions, bars: MarketBars): string {
  const { recipe, kernel, seed, overrides, version } = options;
  const hash = createHash('sha256');
  const { name, version: recipeVersion, network, training } = recipe;
  hash.update(JSON.stringify([name, recipeVersion, network, training, seed, overrides, kernel.name, version]));
  hash.update(bars.symbols.join());
  for (const column of [bars.offsets, bars.minute, bars.open, bars.high, bars.low, bars.close, bars.volume]) {
    hash.update(new Uint8Array(column.buffer, column.byteOffset, column.byteLength));
  }
  return hash.digest('hex');
}

/** What scores are made of; the inputs of many folds would fill the memory. */
function withoutInputs(forecasts: ScoredForecasts): ScoredForecasts {
  const none = new Float32Array(0);
  return { ...forecasts, windows: { ...forecasts.windows, matrix: none, flows: none, scales: none } };
}

/** The folds' windows one after the other; they share their list of symbols. */
function pool(parts: readonly ScoredForecasts[]): EvaluationInput {
  const floats = (pick: (part: ScoredForecasts) => Float64Array) => joined(parts.map(pick), (n) => new Float64Array(n));
  const ints = (pick: (part: ScoredForecasts) => Int32Array) => joined(parts.map(pick), (n) => new Int32Array(n));
  const ridges = parts.every(({ ridgeReturn }) => ridgeReturn !== null);
  return {
    windows: {
      symbols: parts[0].windows.symbols,
      symbol: ints((part) => part.windows.symbol),
      asOf: ints((part) => part.windows.asOf),
      lastClose: floats((part) => part.windows.lastClose),
      targetClose: floats((part) => part.windows.targetClose),
      volatility: floats((part) => part.windows.volatility),
    },
    predictedReturn: floats((part) => part.predictedReturn),
    low: floats((part) => part.low),
    high: floats((part) => part.high),
    ridgeReturn: ridges ? floats((part) => part.ridgeReturn!) : null,
  };
}

function joined<A extends Int32Array | Float64Array>(arrays: readonly A[], make: (length: number) => A): A {
  const all = make(arrays.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const array of arrays) {
    all.set(array, at);
    at += array.length;
  }
  return all;
}
