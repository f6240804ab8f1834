/**
 * A sum that does not depend on the order of its terms, so that every server that has seen the same forecasts shows the
 * same scores to the last bit, whatever came first.
 *
 * A term is rounded to a multiple of 2^-64 (5.4e-20, far below the squared error of any forecast) and added as an
 * integer in two limbs of 52 bits. Terms beyond {@link LARGEST_TERM} count as that much.
 */

/** The sum is (high * 2^52 + low) * 2^-64; 0 <= low < 2^52. JSON as it stands. */
export interface ExactSum {
  high: number;
  low: number;
}

const LIMB = 2 ** 52;
const GRID = 2 ** 64;
export const LARGEST_TERM = 2 ** 20;

export const exactZero = (): ExactSum => ({ high: 0, low: 0 });

/** @param term not negative */
export function addExact(sum: ExactSum, term: number): void {
  const units = Math.round(Math.min(term, LARGEST_TERM) * GRID);
  const high = Math.floor(units / LIMB);
  // Both are multiples of a power of two that fits, so the difference is exact.
  const low = sum.low + (units - high * LIMB);
  const carry = low >= LIMB ? 1 : 0;
  sum.low = low - carry * LIMB;
  sum.high += high + carry;
}

export function addSum(sum: ExactSum, other: ExactSum): void {
  const low = sum.low + other.low;
  const carry = low >= LIMB ? 1 : 0;
  sum.low = low - carry * LIMB;
  sum.high += other.high + carry;
}

export const exactValue = ({ high, low }: ExactSum): number => (high * LIMB) / GRID + low / GRID;

export const isExactSum = (value: unknown): value is ExactSum => {
  const { high, low } = (value ?? {}) as Partial<ExactSum>;
  return Number.isSafeInteger(high) && Number.isSafeInteger(low) && high! >= 0 && low! >= 0 && low! < LIMB;
};
