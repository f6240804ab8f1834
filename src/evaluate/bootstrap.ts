/**
 * Confidence intervals of skill by a block bootstrap over time.
 *
 * What is resampled is not windows but stretches of L consecutive market minutes (Künsch 1989, "The jackknife and the
 * bootstrap for general stationary observations"), taken from the sorted minutes closed to a circle so that the first
 * and the last ones count as much as the others (Politis & Romano 1992, "A circular block-resampling procedure"). All
 * windows of all symbols in a stretch go together: symbols move together, and targets five minutes long overlap. The
 * length is fixed, not geometric as in the stationary bootstrap (Politis & Romano 1994), because a fixed length has the
 * smaller variance (Lahiri 1999, "Theoretical comparisons of block bootstrap methods").
 *
 * A few blocks make percentile intervals too narrow, so the distances of the two quantiles from the estimate are
 * stretched by sqrt(n / (n - 1)) t(n - 1) / z for n blocks, which is the correction of Hesterberg 2015, "What teachers
 * should know about the bootstrap", applied to lengths and not to levels: extreme levels would need more
 * resamples than there are.
 *
 * Skill is a ratio of sums, so sums by minute are all it takes: O(N + M + resamples * M / L).
 */
import { hashText, Random } from '../base/index.ts';

/** Fewer blocks than this tell nothing about how the score varies: no interval. */
const LEAST_BLOCKS = 5;
/** From this many days on, a block is a day. */
const DAYS_FOR_DAY_BLOCKS = 20;
const HOUR = 60;
/** 97.5% quantile of the standard normal distribution. */
const Z = 1.959963984540054;

export interface BootstrapOptions {
  /** Default 1. */
  readonly seed?: number;
  /** Default 1,000. */
  readonly resamples?: number;
  /** Length of the forecasts; blocks are at least three of them long. Default 5. */
  readonly horizonMinutes?: number;
  /** L, market minutes a block; default by {@link chooseBlockMinutes}. */
  readonly blockMinutes?: number;
}

/** How intervals were made. */
export interface Bootstrap {
  readonly seed: number;
  readonly resamples: number;
  /** L, market minutes a block. */
  readonly blockMinutes: number;
  /** M / L: how many blocks the scored minutes hold, rounded. */
  readonly blocks: number;
}

/** Sums by minute, `[M]` each: of squared errors, and of squared errors of persistence. */
export interface SkillSums {
  readonly squaredError: Float64Array;
  readonly squaredMove: Float64Array;
}

/**
 * L for M distinct minutes on so many days: one day (the mean number of minutes a day) from 20 days on; below that an
 * hour, or a twentieth of the minutes when that is shorter, but never less than three horizons. Dependence reaches one
 * horizon through overlapping targets, a good part of the day through volatility; an hour is a dozen horizons, a day
 * holds both.
 */
export function chooseBlockMinutes(minutes: number, days: number, horizonMinutes: number): number {
  if (days >= DAYS_FOR_DAY_BLOCKS) return Math.round(minutes / days);
  return Math.max(3 * horizonMinutes, Math.min(HOUR, Math.floor(minutes / 20)));
}

/** Fills in what the options leave open for M distinct minutes on so many days. */
export function planBootstrap(minutes: number, days: number, options: BootstrapOptions): Bootstrap {
  const blockMinutes = options.blockMinutes ?? chooseBlockMinutes(minutes, days, options.horizonMinutes ?? 5);
  return {
    seed: options.seed ?? 1,
    resamples: options.resamples ?? 1000,
    blockMinutes,
    blocks: Math.round(minutes / blockMinutes),
  };
}

/** 97.5% quantile of Student's t (Abramowitz & Stegun 1964, 26.7.5); within 0.3% from 4 degrees of freedom on. */
function studentQuantile(degrees: number): number {
  const z = Z;
  return (
    z +
    (z ** 3 + z) / (4 * degrees) +
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * degrees ** 2) +
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * degrees ** 3)
  );
}

/** By how much percentile distances from the estimate grow when there are only `blocks` of them. */
export function stretchOf(blocks: number): number {
  return (Math.sqrt(blocks / (blocks - 1)) * studentQuantile(blocks - 1)) / Z;
}

/** Quantile of ascending values with linear interpolation (Hyndman & Fan's type 7). */
export function quantile(sorted: Float64Array, level: number): number {
  const place = (sorted.length - 1) * level;
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

/** `[M + L + 1]` running sums of values laid on a circle: a block's sum is one subtraction. */
function circularPrefix(values: Float64Array, blockMinutes: number): Float64Array {
  const prefix = new Float64Array(values.length + blockMinutes + 1);
  for (let i = 1; i < prefix.length; i++) prefix[i] = prefix[i - 1] + values[(i - 1) % values.length];
  return prefix;
}

/**
 * `[resamples]` values of a statistic of sums. Resample after resample, block after block, one start in [0, M) is
 * drawn; the last block is cut so that every resample has M minutes. Equal plans draw the same blocks whatever the
 * columns, so that statistics can be compared resample by resample.
 *
 * @param columns sums by minute, `[M]` each
 * @param statistic of the columns' totals in one resample; NaN where it is not defined. The array is reused.
 */
export function resample(
  columns: readonly Float64Array[],
  plan: Bootstrap,
  statistic: (totals: Float64Array) => number,
): Float64Array {
  const minutes = columns[0].length;
  const prefixes = columns.map((column) => circularPrefix(column, plan.blockMinutes));
  const random = new Random(plan.seed, hashText('evaluate.bootstrap'));
  const totals = new Float64Array(columns.length);
  const values = new Float64Array(plan.resamples);
  for (let r = 0; r < plan.resamples; r++) {
    totals.fill(0);
    for (let left = minutes; left > 0; left -= plan.blockMinutes) {
      const start = random.below(minutes);
      const end = start + Math.min(left, plan.blockMinutes);
      for (let c = 0; c < prefixes.length; c++) totals[c] += prefixes[c][end] - prefixes[c][start];
    }
    values[r] = statistic(totals);
  }
  return values;
}

/** `[resamples]` skills 1 - sum of squared errors / sum of squared moves. NaN where nothing moved. */
export function resampleSkill(sums: SkillSums, plan: Bootstrap): Float64Array {
  return resample([sums.squaredError, sums.squaredMove], plan, ([error, move]) =>
    move > 0 ? 1 - error / move : Number.NaN,
  );
}

/** 95% interval of a skill; null for fewer than five blocks, or when most resamples hold no move at all. */
export function skillInterval(estimate: number, sums: SkillSums, plan: Bootstrap): readonly [number, number] | null {
  return stretchedInterval(estimate, sums.squaredError.length, plan, () => resampleSkill(sums, plan));
}

/** The same for any statistic of sums, see {@link resample}. */
export function sumsInterval(
  estimate: number,
  columns: readonly Float64Array[],
  plan: Bootstrap,
  statistic: (totals: Float64Array) => number,
): readonly [number, number] | null {
  return stretchedInterval(estimate, columns[0].length, plan, () => resample(columns, plan, statistic));
}

function stretchedInterval(
  estimate: number,
  minutes: number,
  plan: Bootstrap,
  draw: () => Float64Array,
): readonly [number, number] | null {
  const blocks = minutes / plan.blockMinutes;
  if (blocks < LEAST_BLOCKS) return null;
  const values = draw().filter((value) => !Number.isNaN(value));
  if (values.length < plan.resamples / 2 || values.length === 0) return null;
  values.sort();
  const stretch = stretchOf(blocks);
  return [
    estimate - stretch * (estimate - quantile(values, 0.025)),
    estimate + stretch * (quantile(values, 0.975) - estimate),
  ];
}
