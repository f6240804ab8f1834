/**
 * Running sums over scored forecasts and the scores they stand for. All errors are of log returns; the scaled ones are
 * divided by the forecast's volatility, the window's own: no symbol drowns the others.
 */
import { addExact, type ExactSum, exactValue, exactZero, isExactSum } from './exact-sum.ts';

/** Sums that can be saved as JSON and taken up again. Their order of addition changes no bit. */
export interface Tally {
  forecasts: number;
  /** Sum of (realised - predicted)^2 */
  readonly squaredError: ExactSum;
  /** Sum of realised^2: what answering "the price stays" would have cost. */
  readonly squaredReturn: ExactSum;
  /** The same two of returns divided by the forecast's volatility. */
  readonly scaledError: ExactSum;
  readonly scaledReturn: ExactSum;
  /** Forecasts of a price that then did move, with a predicted return that is not 0. */
  directions: number;
  /** Those of them that named the right direction. */
  directionHits: number;
  /** Realised closes inside their interval, ends included. */
  covered: number;
}

/** What a tally says. null where there is nothing to say yet. */
export interface LiveScore {
  readonly forecasts: number;
  /** 1 - MSE / MSE of persistence, on log returns: above 0 is better than answering "the price stays". */
  readonly skill: number | null;
  /** The same on returns divided by the forecast's volatility. */
  readonly skillScaled: number | null;
  /** Root mean square error of the log return. */
  readonly rmse: number | null;
  readonly persistenceRmse: number | null;
  /** Share of moves whose direction was forecast. */
  readonly directionalAccuracy: number | null;
  /** Share of closes inside their interval; the interval's level is what it should be. */
  readonly coverage: number | null;
}

/** A forecast beside what came. */
export interface Outcome {
  readonly predictedReturn: number;
  readonly realisedReturn: number;
  /** Of the forecast; the scaled sums leave out one whose volatility is not above 0. */
  readonly volatility: number;
  readonly covered: boolean;
}

export const emptyTally = (): Tally => ({
  forecasts: 0,
  squaredError: exactZero(),
  squaredReturn: exactZero(),
  scaledError: exactZero(),
  scaledReturn: exactZero(),
  directions: 0,
  directionHits: 0,
  covered: 0,
});

export function addOutcome(tally: Tally, { predictedReturn, realisedReturn, volatility, covered }: Outcome): void {
  const error = realisedReturn - predictedReturn;
  tally.forecasts++;
  addExact(tally.squaredError, error ** 2);
  addExact(tally.squaredReturn, realisedReturn ** 2);
  if (volatility > 0) {
    addExact(tally.scaledError, (error / volatility) ** 2);
    addExact(tally.scaledReturn, (realisedReturn / volatility) ** 2);
  }
  if (realisedReturn !== 0 && predictedReturn !== 0) {
    tally.directions++;
    if (Math.sign(realisedReturn) === Math.sign(predictedReturn)) tally.directionHits++;
  }
  if (covered) tally.covered++;
}

/** 1 - error / persistence; null while nothing has moved. */
export const skillOf = (error: ExactSum, persistence: ExactSum): number | null => {
  const base = exactValue(persistence);
  return base > 0 ? 1 - exactValue(error) / base : null;
};

export function scoreOf(tally: Tally): LiveScore {
  const share = (part: number, whole: number) => (whole > 0 ? part / whole : null);
  const rootMean = (sum: ExactSum) => (tally.forecasts > 0 ? Math.sqrt(exactValue(sum) / tally.forecasts) : null);
  return {
    forecasts: tally.forecasts,
    skill: skillOf(tally.squaredError, tally.squaredReturn),
    skillScaled: skillOf(tally.scaledError, tally.scaledReturn),
    rmse: rootMean(tally.squaredError),
    persistenceRmse: rootMean(tally.squaredReturn),
    directionalAccuracy: share(tally.directionHits, tally.directions),
    coverage: share(tally.covered, tally.forecasts),
  };
}

export function isTally(value: unknown): value is Tally {
  const tally = value as Record<string, unknown> | null | undefined;
  if (typeof tally !== 'object' || tally === null) return false;
  return Object.entries(emptyTally()).every(([key, zero]) =>
    typeof zero === 'number' ? Number.isFinite(tally[key]) : isExactSum(tally[key]),
  );
}
