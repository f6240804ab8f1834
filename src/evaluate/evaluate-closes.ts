/**
 * A recipe on a table of closes without times: trained on the first four fifths of the rows, scored on the last, beside
 * persistence and the ridge, and on the measure that publications use for such tables.
 */
import { isoOfMinute, type Progress } from '../base/index.ts';
import type { Recipe } from '../features/index.ts';
import type { Kernel } from '../kernel/index.ts';
import type { Registry } from '../model/index.ts';
import { type TrainOptions, trainModel } from '../train/index.ts';
import { leadsOf } from './closes-leads.ts';
import {
  barsOfCloses,
  type ClosesTable,
  minutesOfRows,
  nightRatio,
  normalizeByRange,
  persistenceOfRows,
  type RangeNormalized,
  startOfLast,
} from './closes-table.ts';
import { fitRidgeOn, ridgeReturnsOf } from './evaluate-model.ts';
import { type Evaluation, evaluateForecasts } from './evaluation.ts';
import { endOfTraining } from './folds.ts';
import { sessionsOf, sliceBars } from './market-slice.ts';
import { scaledWindows } from './recipe-windows.ts';
import type { ScoredWindows } from './scores.ts';

export interface ClosesOptions {
  readonly table: ClosesTable;
  /** First minute at or after which the table's first session opens. */
  readonly from: Parameters<typeof barsOfCloses>[1];
  readonly recipe: Recipe;
  /** Minutes ahead; in place of the recipe's own. */
  readonly horizonMinutes: number;
  readonly kernel: Kernel;
  /** Holds the model while it trains. */
  readonly registry: Registry;
  readonly seed: number;
  /** Takes the rows as they stand, with columns that are ahead of the others (`leadsOf`): for comparison. */
  readonly asRowsStand?: boolean;
  readonly overrides?: TrainOptions['overrides'];
  readonly version: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

export interface ClosesEvaluation {
  readonly recipe: string;
  readonly horizonMinutes: number;
  readonly rows: number;
  /** ISO 8601 UTC: minutes of the first row, the end of the training, the first row of the test, and the last row. */
  readonly firstRow: string;
  readonly trainTo: string;
  readonly testFrom: string;
  readonly lastRow: string;
  /** See `nightRatio`. */
  readonly nightRatio: number;
  /** Rows that columns were ahead of the others, and were put back by; none when rows were taken as they stand. */
  readonly leads: Readonly<Record<string, number>>;
  /** All rows of the table, one after another as they stand. */
  readonly persistenceWhole: RangeNormalized;
  /** On the windows of the last fifth. */
  readonly persistence: RangeNormalized;
  readonly ridge: RangeNormalized;
  readonly model: RangeNormalized;
  readonly weightsHash: string;
  readonly evaluation: Evaluation;
}

const TEST_SHARE = 0.2;

/** @throws what `trainModel` throws; the same call goes on after BARCAST_E_INTERRUPTED */
export async function evaluateCloses(options: ClosesOptions): Promise<ClosesEvaluation> {
  const { table, from, horizonMinutes, kernel, registry, seed, overrides, version, progress, signal } = options;
  const recipe: Recipe = { ...options.recipe, horizonMinutes };
  const minutes = minutesOfRows(table.rows, from);
  const trainingRows = Math.floor((1 - TEST_SHARE) * table.rows);
  const leads = options.asRowsStand ? table.symbols.map(() => 0) : leadsOf(table, minutes, trainingRows);
  const bars = barsOfCloses(table, from, leads);
  const testFrom = startOfLast(minutes, TEST_SHARE);
  const before = sliceBars(bars, Number.NEGATIVE_INFINITY, testFrom);
  const trainTo = endOfTraining(sessionsOf(before), recipe.windowLength + horizonMinutes, testFrom)!;
  const trainingBars = sliceBars(bars, Number.NEGATIVE_INFINITY, trainTo);
  const name = `${recipe.name}-${horizonMinutes}`;
  const trained = { bars: trainingBars, recipe, kernel, registry, name, seed, overrides, version, progress, signal };
  const model = await registry.load(`${name}@${(await trainModel(trained)).version}`, kernel);
  try {
    const testBars = sliceBars(bars, testFrom, Number.POSITIVE_INFINITY);
    const windows = scaledWindows(testBars, recipe, model.scaler, { requireTarget: true });
    const { predictedReturn, low, high } = await model.predict(windows);
    const price = (returns: Float64Array) => returns.map((value, i) => windows.lastClose[i] * Math.exp(value));
    const ridgeReturn = ridgeReturnsOf(fitRidgeOn(trainingBars, recipe), windows, recipe);
    const normalized = (returns: Float64Array) => normalizeByRange(table, squaredErrors(table, windows, returns));
    return {
      recipe: recipe.name,
      horizonMinutes,
      rows: table.rows,
      firstRow: isoOf(minutes[0]),
      trainTo: isoOfMinute(trainTo),
      testFrom: isoOfMinute(testFrom),
      lastRow: isoOf(minutes[table.rows - 1]),
      nightRatio: nightRatio(table, minutes),
      leads: Object.fromEntries(table.symbols.flatMap((symbol, s) => (leads[s] === 0 ? [] : [[symbol, leads[s]]]))),
      persistenceWhole: persistenceOfRows(table, horizonMinutes),
      persistence: normalized(new Float64Array(predictedReturn.length)),
      ridge: normalized(ridgeReturn),
      model: normalized(predictedReturn),
      weightsHash: model.weightsHash,
      evaluation: evaluateForecasts(
        { windows, predictedReturn, low: price(low), high: price(high), ridgeReturn },
        { horizonMinutes },
      ),
    };
  } finally {
    model.close();
  }
}

const isoOf = (minute: number): string => new Date(minute * 60_000).toISOString();

/** Mean squared error in currency of each of the table's symbols. */
function squaredErrors(table: ClosesTable, windows: ScoredWindows, predictedReturn: Float64Array): number[] {
  const sums = new Map(table.symbols.map((symbol) => [symbol, { squared: 0, windows: 0 }]));
  for (let i = 0; i < predictedReturn.length; i++) {
    const sum = sums.get(windows.symbols[windows.symbol[i]])!;
    sum.squared += (windows.targetClose[i] - windows.lastClose[i] * Math.exp(predictedReturn[i])) ** 2;
    sum.windows++;
  }
  return table.symbols.map((symbol) => sums.get(symbol)!.squared / sums.get(symbol)!.windows);
}
