/** Running sums over scored forecasts and the scores they stand for. All errors are of log returns. */

/** Sums that can be saved as JSON and taken up again. */
export interface Tally {
  forecasts: number;
  /** Sum of (realised - predicted)^2 */
  squaredError: number;
  /** Sum of realised^2: what answering "the price stays" would have cost. */
  squaredReturn: number;
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
  readonly covered: boolean;
}

export const emptyTally = (): Tally => ({
  forecasts: 0,
  squaredError: 0,
  squaredReturn: 0,
  directions: 0,
  directionHits: 0,
  covered: 0,
});

export function addOutcome(tally: Tally, { predictedReturn, realisedReturn, covered }: Outcome): void {
  tally.forecasts++;
  tally.squaredError += (realisedReturn - predictedReturn) ** 2;
  tally.squaredReturn += realisedReturn ** 2;
  if (realisedReturn !== 0 && predictedReturn !== 0) {
    tally.directions++;
    if (Math.sign(realisedReturn) === Math.sign(predictedReturn)) tally.directionHits++;
  }
  if (covered) tally.covered++;
}

export function scoreOf(tally: Tally): LiveScore {
  const share = (part: number, whole: number) => (whole > 0 ? part / whole : null);
  const rootMean = (sum: number) => (tally.forecasts > 0 ? Math.sqrt(sum / tally.forecasts) : null);
  return {
    forecasts: tally.forecasts,
    skill: tally.squaredReturn > 0 ? 1 - tally.squaredError / tally.squaredReturn : null,
    rmse: rootMean(tally.squaredError),
    persistenceRmse: rootMean(tally.squaredReturn),
    directionalAccuracy: share(tally.directionHits, tally.directions),
    coverage: share(tally.covered, tally.forecasts),
  };
}
