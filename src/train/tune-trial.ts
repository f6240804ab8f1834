/**
 * One trial of a search: a setting of recipe and network, trained on the first part of the bars, stopped and calibrated
 * on a second, and scored on a third that neither has seen. The bars' later part decides nothing else.
 */
import type { MarketBars } from '../bars/index.ts';
import { BarcastError, type Progress } from '../base/index.ts';
import { soloCollective } from '../collective/index.ts';
import {
  buildWindows,
  chronologicalSplit,
  type FittedScaler,
  type Recipe,
  selectWindows,
  type TrainingDefaults,
  type WindowSet,
} from '../features/index.ts';
import { type Kernel, type NetworkShape, outputsOf } from '../kernel/index.ts';
import { applyCalibration, HOURS, hourOfSession, networkOutputs } from '../model/index.ts';
import { calibrate, validationScore } from './calibrate.ts';
import { scaledReturns } from './decoded-windows.ts';
import { runTraining } from './loop.ts';
import { forEachOutput } from './prepare.ts';
import { epochOrder } from './sampler.ts';
import { shardInMemory } from './shards.ts';

/** What a search varies; everything else is the recipe's. JSON. */
export interface TuneSetting {
  readonly lstm: readonly number[];
  /** Units of the dense layer before the output. */
  readonly dense: number;
  readonly dropout: number;
  readonly learningRate: number;
  readonly batch: number;
  readonly epochs: number;
  readonly weightDecay: number;
}

/** Scores of the third part; JSON. */
export interface TrialScore {
  readonly skillScaled: number;
  readonly skill: number;
  readonly informationCoefficient: number;
  readonly coverage80: number;
  /** By hour of the session; null where there are no windows. */
  readonly coverageByHour: readonly (number | null)[];
  /** Scaled skill on the part that stopped and calibrated it. */
  readonly skillOfCalibration: number;
  readonly bestEpoch: number;
  readonly windows: number;
  readonly seconds: number;
}

/** The bars of a search, cut into three parts by time, with a purge between them. */
export interface TuneParts {
  readonly recipe: Recipe;
  readonly scaler: FittedScaler;
  readonly windows: WindowSet;
  /** `[N, O]` of all windows. */
  readonly targets: Float32Array;
  readonly training: Int32Array;
  readonly calibration: WindowSet;
  readonly scoring: WindowSet;
}

/** Shares of the windows that score, and that stop and calibrate. */
export interface TuneShares {
  readonly scoring: number;
  readonly calibration: number;
}

/** @throws BARCAST_E_TOO_FEW_WINDOWS */
export function cutForTuning(bars: MarketBars, recipe: Recipe, shares: TuneShares): TuneParts {
  const windows = buildWindows(bars, recipe, { requireTarget: true });
  const outer = chronologicalSplit(windows, shares.scoring);
  const inner = chronologicalSplit(selectWindows(windows, outer.training), shares.calibration);
  const training = inner.training.map((i) => outer.training[i]);
  const calibration = inner.validation.map((i) => outer.training[i]);
  if (Math.min(training.length, calibration.length, outer.validation.length) < 64) {
    throw new BarcastError(
      'BARCAST_E_TOO_FEW_WINDOWS',
      `the bars hold ${training.length} windows to train on, ${calibration.length} to calibrate and ${outer.validation.length} to score`,
      'ingest more bars, or widen --from, --to and --symbols',
    );
  }
  const scaler = recipe.fit(selectWindows(windows, training), bars);
  const scaled = recipe.scale(windows, scaler);
  return {
    recipe,
    scaler,
    windows: scaled,
    targets: forEachOutput(recipe.targets(scaled, scaler), outputsOf(recipe.network)),
    training,
    calibration: selectWindows(scaled, calibration),
    scoring: selectWindows(scaled, outer.validation),
  };
}

/** The recipe's network with a setting's sizes. */
export function shapeOf(recipe: Recipe, { lstm, dense, dropout }: TuneSetting): NetworkShape {
  const output = recipe.network.dense[recipe.network.dense.length - 1];
  return { ...recipe.network, lstm, dropout, dense: [{ units: dense, activation: 'relu' }, output] };
}

export interface TrialOptions {
  readonly kernel: Kernel;
  readonly seed: number;
  /** Share of the training windows, drawn at random, that it trains on. */
  readonly share: number;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

/** The calibrated scores of one setting. @throws BARCAST_E_DIVERGED, BARCAST_E_INTERRUPTED */
export async function runTrial(parts: TuneParts, setting: TuneSetting, options: TrialOptions): Promise<TrialScore> {
  const startedAt = performance.now();
  const { recipe, scaler, windows, targets, calibration, scoring } = parts;
  const { kernel, seed, share, progress, signal } = options;
  const settings: TrainingDefaults = {
    ...recipe.training,
    epochs: setting.epochs,
    batch: setting.batch,
    optimizer: {
      ...recipe.training.optimizer,
      learningRate: setting.learningRate,
      weightDecay: setting.weightDecay,
    },
  };
  const shape = shapeOf(recipe, setting);
  const drawn = epochOrder(parts.training, seed, 0xffff).subarray(0, Math.ceil(share * parts.training.length));
  const result = await runTraining({
    kernel,
    shape,
    shards: shardInMemory({ windows, targets, training: share < 1 ? drawn.slice().sort() : parts.training }),
    validation: {
      windows: calibration,
      targets: forEachOutput(recipe.targets(calibration, scaler), outputsOf(shape)),
    },
    validationScore: validationScore(calibration, (outputs) => recipe.decode(outputs, calibration, scaler)),
    settings,
    seed,
    identity: {},
    collective: soloCollective(),
    checkpointEveryMs: Number.POSITIVE_INFINITY,
    progress,
    signal,
  });
  const network = await kernel.createNetwork(shape, result.weights);
  try {
    const decodedOf = async (part: WindowSet) => recipe.decode(await networkOutputs(network, part), part, scaler);
    const fit = calibrate(calibration, await decodedOf(calibration), true);
    const predictions = applyCalibration(await decodedOf(scoring), scoring, fit.calibration);
    return {
      ...scoresOf(scoring, predictions),
      skillOfCalibration: fit.skillScaled,
      bestEpoch: result.bestEpoch,
      windows: scoring.starts.length,
      seconds: (performance.now() - startedAt) / 1000,
    };
  } finally {
    network.close();
  }
}

/** Skills, information coefficient and coverage of forecasts of windows with known targets. */
export function scoresOf(
  windows: WindowSet,
  { predictedReturn, low, high }: ReturnType<typeof applyCalibration>,
): Pick<TrialScore, 'skillScaled' | 'skill' | 'informationCoefficient' | 'coverage80' | 'coverageByHour'> {
  const scaled = scaledReturns(windows);
  const N = scaled.length;
  let [error, move, scaledError, scaledMove, covered] = [0, 0, 0, 0, 0];
  const counts = new Array<number>(HOURS).fill(0);
  const inside = new Array<number>(HOURS).fill(0);
  let [sumP, sumY, sumPP, sumYY, sumPY] = [0, 0, 0, 0, 0];
  for (let i = 0; i < N; i++) {
    const v = windows.volatility[i];
    const y = scaled[i] * v;
    const p = predictedReturn[i];
    error += (y - p) ** 2;
    move += y * y;
    scaledError += ((y - p) / v) ** 2;
    scaledMove += scaled[i] ** 2;
    const hour = hourOfSession(windows.asOf[i]);
    counts[hour]++;
    if (low[i] <= y && y <= high[i]) {
      covered++;
      inside[hour]++;
    }
    sumP += p;
    sumY += y;
    sumPP += p * p;
    sumYY += y * y;
    sumPY += p * y;
  }
  const spread = Math.sqrt((sumPP - (sumP * sumP) / N) * (sumYY - (sumY * sumY) / N));
  return {
    skillScaled: scaledMove > 0 ? 1 - scaledError / scaledMove : 0,
    skill: move > 0 ? 1 - error / move : 0,
    informationCoefficient: spread > 0 ? (sumPY - (sumP * sumY) / N) / spread : 0,
    coverage80: covered / N,
    coverageByHour: counts.map((count, hour) => (count > 0 ? inside[hour] / count : null)),
  };
}
