/**
 * The scores of forecasts over many windows, each beside persistence ("the price stays"). Formulas and how to read
 * them: docs/concepts/scores.md.
 *
 * A score that is not defined (no windows, nothing moved, a constant prediction) is null, never NaN. The order of the
 * windows does not matter, beyond rounding in the last digits.
 */
import { type Bootstrap, type BootstrapOptions, planBootstrap, type SkillSums, skillInterval } from './bootstrap.ts';
import { requireFinite, requireLength, requirePositive } from './checks.ts';
import { coefficientsByMinute, type MinuteCoefficients, pooledCoefficient } from './information-coefficient.ts';
import { scoreIntervals } from './intervals.ts';
import { indexMinutes, type MinuteIndex } from './minute-index.ts';

/** What happened: N windows with known targets. A `WindowSet` built with `requireTarget` is one. */
export interface ScoredWindows {
  readonly symbols: readonly string[];
  /** `[N]` index into `symbols`. */
  readonly symbol: Int32Array;
  /** `[N]` EpochMinute at which the forecast was made. */
  readonly asOf: Int32Array;
  /** `[N]` price then. */
  readonly lastClose: Float64Array;
  /** `[N]` price at the end of the horizon; all known. */
  readonly targetClose: Float64Array;
  /** `[N]` the window's own volatility of log returns to the horizon; positive. */
  readonly volatility: Float64Array;
}

/** What happened and what was forecast. */
export interface ScoreInput extends ScoredWindows {
  /** `[N]` predicted log return to the horizon. */
  readonly predictedReturn: Float64Array;
  /** `[N]` predicted prices that bound the 80% interval; both or neither. */
  readonly low?: Float64Array;
  readonly high?: Float64Array;
}

/** Lowest and highest close, in currency. */
export interface CloseRange {
  readonly low: number;
  readonly high: number;
}

export interface ScoreOptions extends BootstrapOptions {
  /** Divides `rmseNormalized`; default the lowest and highest of the scored windows' own last and target closes. */
  readonly closeRange?: CloseRange;
}

export interface Score {
  readonly windows: number;
  /** Root mean squared error of the predicted close, in currency. */
  readonly rmse: number | null;
  /** `rmse` divided by the highest minus the lowest close of all symbols together: the reference project's measure. */
  readonly rmseNormalized: number | null;
  /** Mean absolute error of the predicted close, in currency. */
  readonly mae: number | null;
  /** 1 - MSE / MSE of persistence, on log returns. */
  readonly skill: number | null;
  readonly skillCi95: readonly [number, number] | null;
  /** The same on log returns divided by each window's own volatility. */
  readonly skillScaled: number | null;
  readonly skillScaledCi95: readonly [number, number] | null;
  /** Share of the windows whose price moved with the predicted sign right; null when every prediction is zero. */
  readonly directionalAccuracy: number | null;
  /** Pearson correlation of predicted and realised log returns over all windows; null when either is constant. */
  readonly informationCoefficient: number | null;
  readonly informationCoefficientCi95: readonly [number, number] | null;
  /** The same of returns divided by each window's own volatility. */
  readonly informationCoefficientScaled: number | null;
  readonly informationCoefficientScaledCi95: readonly [number, number] | null;
  /** Minute by minute across the market; null when no minute has symbols enough. */
  readonly informationCoefficientByMinute: MinuteCoefficients | null;
  /** Share of prices inside the 80% interval; null without intervals. */
  readonly coverage80: number | null;
}

/** What scores of several forecasters on the same windows share. */
export interface PreparedWindows {
  readonly windows: ScoredWindows;
  readonly index: MinuteIndex;
  /** `[N]` realised log return to the horizon. */
  readonly realised: Float64Array;
  readonly closeRange: CloseRange;
  readonly bootstrap: Bootstrap;
  readonly horizonMinutes: number;
}

/** @throws BARCAST_E_SHAPE, BARCAST_E_NOT_FINITE */
export function prepareWindows(windows: ScoredWindows, options: ScoreOptions): PreparedWindows {
  const { asOf, lastClose, targetClose, volatility } = windows;
  const size = asOf.length;
  requireLength('symbol', windows.symbol, size);
  requireLength('lastClose', lastClose, size);
  requireLength('targetClose', targetClose, size);
  requireLength('volatility', volatility, size);
  requirePositive('lastClose', lastClose);
  requirePositive('targetClose', targetClose);
  requirePositive('volatility', volatility);
  const realised = new Float64Array(size);
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < size; i++) {
    realised[i] = Math.log(targetClose[i] / lastClose[i]);
    low = Math.min(low, lastClose[i], targetClose[i]);
    high = Math.max(high, lastClose[i], targetClose[i]);
  }
  const index = indexMinutes(asOf);
  return {
    windows,
    index,
    realised,
    closeRange: options.closeRange ?? { low, high },
    bootstrap: planBootstrap(index.minutes.length, index.days, options),
    horizonMinutes: options.horizonMinutes ?? 5,
  };
}

/** Scores one forecaster. @throws BARCAST_E_SHAPE, BARCAST_E_NOT_FINITE */
export function scoreForecasts(input: ScoreInput, options: ScoreOptions = {}): Score {
  return scorePrepared(prepareWindows(input, options), input);
}

/** {@link scoreForecasts} on windows prepared once for several forecasters. */
export function scorePrepared(
  prepared: PreparedWindows,
  forecast: Pick<ScoreInput, 'predictedReturn' | 'low' | 'high'>,
): Score {
  const { lastClose, targetClose, volatility, asOf } = prepared.windows;
  const { predictedReturn, low, high } = forecast;
  const { realised } = prepared;
  const { index } = prepared;
  const { slot, minutes } = index;
  const size = asOf.length;
  requireLength('predictedReturn', predictedReturn, size);
  requireFinite('predictedReturn', predictedReturn);

  const raw = emptySums(minutes.length);
  const scaled = emptySums(minutes.length);
  let squaredPrice = 0;
  let absolutePrice = 0;
  let moved = 0;
  let right = 0;
  let directed = false;
  for (let i = 0; i < size; i++) {
    const move = realised[i];
    const predicted = predictedReturn[i];
    const error = move - predicted;
    const weight = 1 / volatility[i] ** 2;
    const at = slot[i];
    raw.squaredError[at] += error * error;
    raw.squaredMove[at] += move * move;
    scaled.squaredError[at] += error * error * weight;
    scaled.squaredMove[at] += move * move * weight;
    const priceError = targetClose[i] - lastClose[i] * Math.exp(predicted);
    squaredPrice += priceError * priceError;
    absolutePrice += Math.abs(priceError);
    if (predicted !== 0) directed = true;
    if (move !== 0) {
      moved++;
      if (Math.sign(move) === Math.sign(predicted)) right++;
    }
  }

  const rmse = size > 0 ? Math.sqrt(squaredPrice / size) : null;
  const range = prepared.closeRange.high - prepared.closeRange.low;
  const [skill, skillCi95] = skillOf(raw, prepared.bootstrap);
  const [skillScaled, skillScaledCi95] = skillOf(scaled, prepared.bootstrap);
  const forecastMoves = { predicted: predictedReturn, realised, volatility };
  const pooled = pooledCoefficient(index, { predicted: predictedReturn, realised }, prepared.bootstrap);
  const pooledScaled = pooledCoefficient(index, forecastMoves, prepared.bootstrap);
  return {
    windows: size,
    rmse,
    rmseNormalized: rmse !== null && range > 0 ? rmse / range : null,
    mae: size > 0 ? absolutePrice / size : null,
    skill,
    skillCi95,
    skillScaled,
    skillScaledCi95,
    directionalAccuracy: directed && moved > 0 ? right / moved : null,
    informationCoefficient: pooled.value,
    informationCoefficientCi95: pooled.ci95,
    informationCoefficientScaled: pooledScaled.value,
    informationCoefficientScaledCi95: pooledScaled.ci95,
    informationCoefficientByMinute: coefficientsByMinute(index, forecastMoves, prepared.horizonMinutes),
    coverage80:
      low !== undefined && high !== undefined ? scoreIntervals({ low, high, targetClose, lastClose }).coverage : null,
  };
}

const emptySums = (minutes: number): SkillSums => ({
  squaredError: new Float64Array(minutes),
  squaredMove: new Float64Array(minutes),
});

function total(values: Float64Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}

function skillOf(sums: SkillSums, plan: Bootstrap): [number | null, readonly [number, number] | null] {
  const move = total(sums.squaredMove);
  if (!(move > 0)) return [null, null];
  const skill = 1 - total(sums.squaredError) / move;
  return [skill, skillInterval(skill, sums, plan)];
}
