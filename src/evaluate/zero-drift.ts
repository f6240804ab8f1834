/**
 * The baseline for intervals: a random walk without drift whose volatility is the window's own. It forecasts that the
 * price stays, as persistence does, and that the log return is normal with the window's volatility as its standard
 * deviation. Nothing is fitted. An interval that is not better than this one has learned nothing of risk.
 */
export interface ZeroDriftInput {
  /** `[N]` */
  readonly lastClose: Float64Array;
  /** `[N]` volatility of log returns to the horizon. */
  readonly volatility: Float64Array;
}

/** 90% quantile of the standard normal distribution: 80% lie within it on either side of 0. */
const Z80 = 1.2815515655446004;

/** `[N]` ends of the 80% interval, as prices: last close times exp(-+1.2816 volatility). */
export function zeroDriftInterval({ lastClose, volatility }: ZeroDriftInput): {
  low: Float64Array;
  high: Float64Array;
} {
  const end = (side: number) => lastClose.map((price, i) => price * Math.exp(side * Z80 * volatility[i]));
  return { low: end(-1), high: end(1) };
}
