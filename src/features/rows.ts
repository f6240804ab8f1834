/**
 * One minute of one symbol as a row of the feature matrix. Batch ({@link buildWindows}) and live ({@link LiveMarket})
 * fill their rows with the functions of this file and no others, so that they agree to the bit.
 *
 * Rows stand one a session minute, in runs. A run begins at a bar; a minute without a trade between two bars of a run
 * has a quiet row, which keeps the last price. A run ends at the session's end, at more quiet minutes in a row than
 * the recipe accepts, and at a bar that is not usable. A row depends on the bars of its run up to itself.
 *
 * Features that are summed over a window are whole multiples of a power of two, small enough that a window's sums are
 * exact in float64: they come out the same whatever the order of addition and wherever a run began.
 */

import type { MarketBars } from '../bars/index.ts';
import { logAboveOne, logRatio } from './logarithms.ts';

/** What a recipe puts into the matrix. `at` is the index of a row's first number. */
export interface RowFormula {
  /** `[F]` what a row holds that nothing is known of. */
  readonly blank: Float32Array;
  /** What a row takes of a usable bar's volume. */
  volumeOf(shares: number): number;
  /**
   * A minute that traded: the whole row.
   * @param volume {@link RowFormula.volumeOf} what was traded
   * @param logReturn {@link logReturnOf} the close over the run's previous close, or over the open in its first row
   * @param minutesSinceOpen 0 in the first minute of the session
   */
  bar(
    matrix: Float32Array,
    at: number,
    logReturn: number,
    high: number,
    low: number,
    close: number,
    volume: number,
    minutesSinceOpen: number,
  ): void;
  /** A minute without a trade, the whole row; `close` is the last price. */
  quiet(matrix: Float32Array, at: number, close: number, minutesSinceOpen: number): void;
  /**
   * All rows of a run, as {@link RowFormula.bar} and {@link RowFormula.quiet} have them. Each recipe has a loop of its
   * own: one that recipes share would be compiled with calls in it, and take half as long again.
   * @param first its first bar, and `last` its last one
   * @param logReturns receives those of its bars, from place 0 on
   */
  run(
    matrix: Float32Array,
    at: number,
    bars: MarketBars,
    first: number,
    last: number,
    sessionOpen: number,
    logReturns: Float64Array,
  ): void;
}

/** Minutes of an ordinary session. */
export const SESSION_MINUTES = 390;

/** Prices above this, and volumes above {@link VOLUME_LIMIT}, are taken for damage. */
const PRICE_LIMIT = 1e9;
const VOLUME_LIMIT = 1e13;

/**
 * Whether a bar can stand in a window: four positive prices, low not above high, and a volume that is not negative. A
 * volume that was not given (NaN) counts as 0; a price that was not given makes the bar unusable.
 */
export function isUsable(open: number, high: number, low: number, close: number, volume: number): boolean {
  return (
    open > 0 &&
    high > 0 &&
    low > 0 &&
    close > 0 &&
    low <= high &&
    open <= PRICE_LIMIT &&
    high <= PRICE_LIMIT &&
    close <= PRICE_LIMIT &&
    !(volume < 0) &&
    !(volume > VOLUME_LIMIT)
  );
}

/** The volume of a usable bar as a row takes it: none given (NaN) is 0. */
export const sharesOf = (volume: number): number => (Number.isNaN(volume) ? 0 : volume);

// Adding and subtracting 1.5 * 2^(52 - b) rounds a small number to a multiple of 2^-b, ties to even, at no cost.
const TO_2_POW_23 = 1.5 * 2 ** 29;
const TO_2_POW_16 = 1.5 * 2 ** 36;
const TO_2_POW_26 = 1.5 * 2 ** 26;

/** Log ratios of prices within one minute are limited to +-0.5: a fall by 39% or a rise by 65%. */
const LOG_RATIO_LIMIT = 0.5;

/** ln(price / base), limited to +-{@link LOG_RATIO_LIMIT}, as a multiple of 2^-23 (0.001 basis points). */
export function logReturnOf(price: number, base: number): number {
  const ratio = logRatio(price, base);
  const limited = ratio > LOG_RATIO_LIMIT ? LOG_RATIO_LIMIT : ratio < -LOG_RATIO_LIMIT ? -LOG_RATIO_LIMIT : ratio;
  return limited + TO_2_POW_23 - TO_2_POW_23;
}

/** ln(1 + volume) as a multiple of 2^-16; volume at most {@link VOLUME_LIMIT}. */
export function logVolumeOf(volume: number): number {
  return logAboveOne(1 + volume) + TO_2_POW_16 - TO_2_POW_16;
}

const RETURN_PART_LIMIT = 0.25;

/** A part of a log return limited to +-0.25, as a multiple of 2^-26: float32 holds it, and float64 sums over sums of a session. */
export function returnPartOf(part: number): number {
  const limited = part > RETURN_PART_LIMIT ? RETURN_PART_LIMIT : part < -RETURN_PART_LIMIT ? -RETURN_PART_LIMIT : part;
  return limited + TO_2_POW_26 - TO_2_POW_26;
}
