/**
 * A window's own volatility. Its floor keeps a flat window from turning the next tick into an enormous return.
 */

/** Floor of the one-minute volatility: one basis point. */
const VOLATILITY_FLOOR = 1e-4;

/** The smallest step of a US quotation (Regulation NMS, Rule 612): a cent, and a hundredth of one below a dollar. */
export const tickOf = (price: number): number => (price >= 1 ? 0.01 : 0.0001);

/**
 * max(sqrt(sumOfSquares / windowLength), 1e-4, half a tick / lastClose) * sqrt(horizonMinutes).
 *
 * @param sumOfSquares of the window's one-minute log returns; quiet minutes add 0
 */
export function windowVolatility(
  sumOfSquares: number,
  windowLength: number,
  lastClose: number,
  horizonMinutes: number,
): number {
  const halfTick = tickOf(lastClose) / (2 * lastClose);
  const own = Math.sqrt(sumOfSquares / windowLength);
  const floor = halfTick > VOLATILITY_FLOOR ? halfTick : VOLATILITY_FLOOR;
  return (own < floor ? floor : own) * Math.sqrt(horizonMinutes);
}
