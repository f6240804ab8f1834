/**
 * The linear baseline: ridge regression (Hoerl & Kennard 1970) of the log return to the horizon on the window's last
 * 20 one-minute log returns. A network that cannot beat it has learned nothing that a straight line does not know.
 *
 * Returns and target are divided by the window's volatility, so that no symbol drowns the others in the fit; in a
 * prediction the volatility cancels. There is no intercept: the mean return of five minutes is far below its own
 * standard error, and one fitted on a few days is the trend of those days.
 *
 * Penalty and amplitude are chosen on the last fifth of the TRAINING windows by time, behind a purge of one look-back
 * and one horizon; then the weights are fitted again on all training windows. Test windows are never seen.
 */
import { BarcastError } from '../base/index.ts';
import { notFinite, requireLength, requirePositive } from './checks.ts';
import { NormalEquations } from './least-squares.ts';
import { indexMinutes, type MinuteIndex } from './minute-index.ts';
import { LAGS, type ReturnsView, returnsReader } from './returns-view.ts';

/** Penalties tried, in multiples of the rows times the mean square of an input. */
export const PENALTIES = [1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1, 3, 10];

/** Training windows with known targets. */
export interface RidgeTraining {
  readonly returns: ReturnsView;
  /** `[N]` EpochMinute. */
  readonly asOf: Int32Array;
  /** `[N]` price at asOf. */
  readonly lastClose: Float64Array;
  /** `[N]` price at the end of the horizon; all known. */
  readonly targetClose: Float64Array;
  /** `[N]` the window's own volatility of log returns to the horizon; positive. */
  readonly volatility: Float64Array;
}

export interface RidgeOptions {
  /** Default 20. */
  readonly lags?: number;
  /** Default 5. */
  readonly horizonMinutes?: number;
  /** Share of the windows, the latest ones, that choose penalty and amplitude. Default 0.2. */
  readonly tailShare?: number;
}

/** Plain JSON. */
export interface RidgeModel {
  readonly lags: number;
  /** `[lags]` weights of the one-minute log returns, the latest first; the amplitude is already in them. */
  readonly weights: readonly number[];
  /** In multiples of the rows times the mean square of an input. */
  readonly penalty: number;
  /** 0 to 1: by what the weights were shrunk after the fit; 0 when the tail held nothing to find. */
  readonly amplitude: number;
  /** Windows fitted on, and those among them that chose penalty and amplitude. */
  readonly windows: number;
  readonly tailWindows: number;
}

/**
 * Fits on training windows alone.
 * @throws BARCAST_E_TOO_FEW_WINDOWS, BARCAST_E_SHAPE, BARCAST_E_NOT_FINITE
 */
export function fitRidge(training: RidgeTraining, options: RidgeOptions = {}): RidgeModel {
  const { lags = LAGS, horizonMinutes = 5, tailShare = 0.2 } = options;
  const { asOf, lastClose, targetClose, volatility } = training;
  const windows = asOf.length;
  requireLength('starts', training.returns.starts, windows);
  requireLength('lastClose', lastClose, windows);
  requireLength('targetClose', targetClose, windows);
  requireLength('volatility', volatility, windows);
  requirePositive('lastClose', lastClose);
  requirePositive('targetClose', targetClose);
  requirePositive('volatility', volatility);

  const tailFrom = startOfTail(indexMinutes(asOf), windows, tailShare);
  const headTo = tailFrom - lags - horizonMinutes;
  const head = new NormalEquations(lags);
  const purged = new NormalEquations(lags);
  const tail = new NormalEquations(lags);
  const read = returnsReader(training.returns, lags);
  const row = new Float64Array(lags);
  for (let i = 0; i < windows; i++) {
    read(i, row);
    for (let k = 0; k < lags; k++) row[k] /= volatility[i];
    const target = Math.log(targetClose[i] / lastClose[i]) / volatility[i];
    const part = asOf[i] >= tailFrom ? tail : asOf[i] <= headTo ? head : purged;
    part.add(row, target);
  }
  if (head.rows < 10 * lags || tail.rows < 2 * lags) {
    throw new BarcastError(
      'BARCAST_E_TOO_FEW_WINDOWS',
      `${windows} training windows are too few for the ridge baseline (${head.rows} to fit, ${tail.rows} to calibrate)`,
      'give it a longer training range or more symbols',
    );
  }
  const { penalty, amplitude } = choose(head, tail);
  head.merge(purged);
  head.merge(tail);
  const weights = Array.from(solve(head, penalty), (weight) => weight * amplitude);
  return { lags, weights, penalty, amplitude, windows, tailWindows: tail.rows };
}

/** `[N]` predicted log returns to the horizon. @throws BARCAST_E_SHAPE, BARCAST_E_NOT_FINITE */
export function predictRidge(model: RidgeModel, returns: ReturnsView): Float64Array {
  const read = returnsReader(returns, model.lags);
  const row = new Float64Array(model.lags);
  const predicted = new Float64Array(returns.starts.length);
  for (let i = 0; i < predicted.length; i++) {
    read(i, row);
    let sum = 0;
    for (let k = 0; k < model.lags; k++) sum += model.weights[k] * row[k];
    if (!Number.isFinite(sum)) throw notFinite(`a one-minute return of window ${i} is unknown`);
    predicted[i] = sum;
  }
  return predicted;
}

/** The earliest minute from which on at most `share` of the windows lie. */
function startOfTail(index: MinuteIndex, windows: number, share: number): number {
  let left = windows * share;
  let at = index.minutes.length;
  while (at > 0 && index.count[at - 1] <= left) {
    at--;
    left -= index.count[at];
  }
  return at < index.minutes.length ? index.minutes[at] : Number.POSITIVE_INFINITY;
}

function solve(sums: NormalEquations, penalty: number): Float64Array {
  const scale = sums.rows * sums.meanSquare;
  return scale === 0 ? new Float64Array(sums.size) : sums.solve(penalty * scale);
}

/** The penalty, and the multiple in [0, 1] of its weights, with the least squared error on the tail. */
function choose(head: NormalEquations, tail: NormalEquations): { penalty: number; amplitude: number } {
  let best = { penalty: PENALTIES[PENALTIES.length - 1], amplitude: 0, gain: 0 };
  for (const penalty of PENALTIES) {
    const { quadratic, linear } = tail.forms(solve(head, penalty));
    const amplitude = quadratic > 0 ? Math.max(0, Math.min(1, linear / quadratic)) : 0;
    const gain = 2 * amplitude * linear - amplitude * amplitude * quadratic;
    if (gain > best.gain) best = { penalty, amplitude, gain };
  }
  return best;
}
