/**
 * How well prediction intervals hold: how often the price falls inside, how wide they are, and one number for both,
 * the interval score of Gneiting & Raftery 2007, "Strictly proper scoring rules, prediction, and estimation" (6.2):
 * the width plus 2 / (1 - level) times what the price lies outside by. The best interval has the smallest.
 */
import { requireFinite, requireLength } from './checks.ts';

export interface IntervalInput {
  /** `[N]` predicted lower and upper price. */
  readonly low: Float64Array;
  readonly high: Float64Array;
  /** `[N]` price at the end of the horizon; all known. */
  readonly targetClose: Float64Array;
  /** `[N]` price when the forecast was made. */
  readonly lastClose: Float64Array;
  /** Nominal coverage. Default 0.8. */
  readonly level?: number;
}

/** Null where there are no windows. */
export interface IntervalScore {
  /** Share of windows with low <= price <= high. */
  readonly coverage: number | null;
  /** Share below low, and above high. */
  readonly below: number | null;
  readonly above: number | null;
  /** Mean of high - low, in currency. */
  readonly meanWidth: number | null;
  /** Mean of (high - low) / last close. */
  readonly meanRelativeWidth: number | null;
  /** Mean interval score as a share of the last close; smaller is better. */
  readonly meanRelativeScore: number | null;
}

/** Coverage and width of intervals of any level. @throws BARCAST_E_SHAPE, BARCAST_E_NOT_FINITE */
export function scoreIntervals(input: IntervalInput): IntervalScore {
  const { low, high, targetClose, lastClose, level = 0.8 } = input;
  const windows = targetClose.length;
  requireLength('low', low, windows);
  requireLength('high', high, windows);
  requireLength('lastClose', lastClose, windows);
  if (windows === 0) {
    const none = { coverage: null, below: null, above: null };
    return { ...none, meanWidth: null, meanRelativeWidth: null, meanRelativeScore: null };
  }
  requireFinite('low', low);
  requireFinite('high', high);
  requireFinite('targetClose', targetClose);
  requireFinite('lastClose', lastClose);
  let below = 0;
  let above = 0;
  let width = 0;
  let relativeWidth = 0;
  let relativeMiss = 0;
  for (let i = 0; i < windows; i++) {
    const under = low[i] - targetClose[i];
    const over = targetClose[i] - high[i];
    if (under > 0) below++;
    if (over > 0) above++;
    width += high[i] - low[i];
    relativeWidth += (high[i] - low[i]) / lastClose[i];
    relativeMiss += (Math.max(under, 0) + Math.max(over, 0)) / lastClose[i];
  }
  return {
    coverage: (windows - below - above) / windows,
    below: below / windows,
    above: above / windows,
    meanWidth: width / windows,
    meanRelativeWidth: relativeWidth / windows,
    meanRelativeScore: (relativeWidth + (2 / (1 - level)) * relativeMiss) / windows,
  };
}
