/**
 * Tests for a change in a stream of samples, from running sums that can be saved as JSON.
 *
 * CUSUM: Page, E. S. (1954). Continuous inspection schemes. Biometrika 41, in the self-starting form of Hawkins, D. M.
 * (1987). Self-starting CUSUM charts for location and scale. The Statistician 36: each sample is compared with the mean
 * and deviation of those before it, so nothing must be known in advance. Student's t of that comparison becomes a normal
 * deviate by Wallace, D. L. (1959). Bounds on normal approximations to Student's and the chi-square distributions. Annals
 * of Mathematical Statistics 30.
 */

/** Allowance and bound in standard deviations: shifts of one deviation are found soonest, false alarms are some 900 samples apart. */
export const CUSUM_ALLOWANCE = 0.5;
export const CUSUM_BOUND = 5;
/** Samples that only teach what is usual. */
export const CUSUM_LEARNS = 8;

export interface Cusum {
  /** Samples taken into the reference, their mean and the sum of squared deviations from it (Welford 1962). */
  count: number;
  mean: number;
  squares: number;
  /** The cumulative sums of what lies above and below the reference. */
  above: number;
  below: number;
}

export interface CusumOptions {
  /** The mean that samples should have; without it, the mean of those before. */
  readonly target?: number;
  /** The smallest deviation that is divided by: differences well below it are of no consequence. */
  readonly leastDeviation?: number;
}

export const emptyCusum = (): Cusum => ({ count: 0, mean: 0, squares: 0, above: 0, below: 0 });

/** Student's t with `degrees` of freedom as a normal deviate. */
export function normalDeviate(t: number, degrees: number): number {
  const size = ((8 * degrees + 1) / (8 * degrees + 3)) * Math.sqrt(degrees * Math.log1p((t * t) / degrees));
  return Math.sign(t) * size;
}

/**
 * Takes the next sample.
 * @param learn whether it may enter the reference: not while an alarm is on, or the alarm would become the usual
 */
export function addSample(cusum: Cusum, sample: number, learn: boolean, options: CusumOptions = {}): void {
  if (cusum.count >= CUSUM_LEARNS) {
    const degrees = cusum.count - 1;
    const deviation = Math.max(Math.sqrt(cusum.squares / degrees), options.leastDeviation ?? 1e-12);
    // The mean of n samples is itself uncertain; a target is not.
    const t =
      options.target === undefined
        ? ((sample - cusum.mean) / deviation) * Math.sqrt(cusum.count / (cusum.count + 1))
        : (sample - options.target) / deviation;
    const u = normalDeviate(t, degrees);
    const step = (sum: number) => Math.min(Math.max(0, sum), 2 * CUSUM_BOUND);
    cusum.above = step(cusum.above + u - CUSUM_ALLOWANCE);
    cusum.below = step(cusum.below - u - CUSUM_ALLOWANCE);
  }
  if (!learn) return;
  cusum.count++;
  const delta = sample - cusum.mean;
  cusum.mean += delta / cusum.count;
  cusum.squares += delta * (sample - cusum.mean);
}

export const isCusum = (value: unknown): value is Cusum =>
  typeof value === 'object' &&
  value !== null &&
  Object.keys(emptyCusum()).every((key) => Number.isFinite((value as Record<string, unknown>)[key]));

/**
 * Population stability index of a histogram against a reference: the symmetric Kullback-Leibler divergence (Jeffreys
 * 1946) of their shares, with half a count added to each bin. Below 0.1 is stable, above 0.25 a shift by the usual
 * convention (Siddiqi, N. (2006). Credit Risk Scorecards). Between two samples of one distribution it is about
 * (bins - 1) (1/n + 1/N).
 */
export function populationStability(counts: readonly number[], reference: readonly number[]): number {
  const total = (histogram: readonly number[]) => histogram.reduce((sum, it) => sum + it + 0.5, 0);
  const [n, N] = [total(counts), total(reference)];
  return counts.reduce((sum, count, i) => {
    const [p, q] = [(count + 0.5) / n, (reference[i] + 0.5) / N];
    return sum + (p - q) * Math.log(p / q);
  }, 0);
}
