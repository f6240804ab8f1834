/**
 * Natural logarithms of what bars hold, a few times faster than `Math.log` and to the same 2^-50: ratios of prices that
 * stand close to each other, and numbers of shares. A row takes three of them.
 */

/** Within it, the series below leaves out less than 2^-60. */
const CLOSE = 0.01;

/** ln(a / b) for positive a and b: 2 artanh((a - b) / (a + b)), whose series is short where they are close. */
export function logRatio(a: number, b: number): number {
  const z = (a - b) / (a + b);
  if (z > CLOSE || z < -CLOSE) return Math.log(a / b);
  const square = z * z;
  return 2 * z * (1 + square * (1 / 3 + square * (1 / 5 + square * (1 / 7))));
}

const PARTS = 128;
/** Middles of the 128 parts of 1 to 2, and their logarithms. */
const MIDDLES = Float64Array.from({ length: PARTS }, (_, i) => 1 + (i + 0.5) / PARTS);
const LOGARITHMS = MIDDLES.map(Math.log);
const LEAST_TOO_LARGE = 2 ** 31;
/** By exponent: the power of two, over 1, and its logarithm. */
const SCALES = Float64Array.from({ length: 31 }, (_, e) => 2 ** -e);
const POWERS = Float64Array.from({ length: 31 }, (_, e) => e * Math.LN2);

/** ln(x) for x of 1 and above: x = 2^e m, and m stands close to the middle of a 128th. */
export function logAboveOne(x: number): number {
  if (!(x >= 1 && x < LEAST_TOO_LARGE)) return Math.log(x);
  const e = 31 - Math.clz32(x);
  const m = x * SCALES[e];
  const part = ((m - 1) * PARTS) | 0;
  const z = (m - MIDDLES[part]) / (m + MIDDLES[part]);
  const square = z * z;
  return POWERS[e] + LOGARITHMS[part] + 2 * z * (1 + square * (1 / 3 + square * (1 / 5)));
}
