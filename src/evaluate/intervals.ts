/** How well prediction intervals hold: how often the price falls inside, and how wide they are. */
import { requireFinite, requireLength } from './checks.ts';

export interface IntervalInput {
  /** `[N]` predicted lower and upper price. */
  readonly low: Float64Array;
  readonly high: Float64Array;
  /** `[N]` price at the end of the horizon; all known. */
  readonly targetClose: Float64Array;
  /** `[N]` price when the forecast was made. */
  readonly lastClose: Float64Array;
}

/** Null where there are no windows. */
export interface IntervalScore {
  /** Share of windows with low <= price <= high. */
  readonly coverage: number | null;
  /** Mean of high - low, in currency. */
  readonly meanWidth: number | null;
  /** Mean of (high - low) / last close. */
  readonly meanRelativeWidth: number | null;
}

/** Coverage and width of intervals of any level. @throws BARCAST_E_SHAPE, BARCAST_E_NOT_FINITE */
export function scoreIntervals(input: IntervalInput): IntervalScore {
  const { low, high, targetClose, lastClose } = input;
  const windows = targetClose.length;
  requireLength('low', low, windows);
  requireLength('high', high, windows);
  requireLength('lastClose', lastClose, windows);
  if (windows === 0) return { coverage: null, meanWidth: null, meanRelativeWidth: null };
  requireFinite('low', low);
  requireFinite('high', high);
  requireFinite('targetClose', targetClose);
  requireFinite('lastClose', lastClose);
  let inside = 0;
  let width = 0;
  let relativeWidth = 0;
  for (let i = 0; i < windows; i++) {
    if (low[i] <= targetClose[i] && targetClose[i] <= high[i]) inside++;
    width += high[i] - low[i];
    relativeWidth += (high[i] - low[i]) / lastClose[i];
  }
  return { coverage: inside / windows, meanWidth: width / windows, meanRelativeWidth: relativeWidth / windows };
}
