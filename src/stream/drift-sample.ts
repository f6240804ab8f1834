/** What the drift monitors keep of scored forecasts: sums that do not depend on their order. */
import { addExact, addSum, type ExactSum, exactZero, isExactSum } from './exact-sum.ts';
import type { Activity } from './price-trail.ts';
import type { Outcome } from './tally.ts';

/** What the model looked at in its last minute, where it is known. */
export interface LastMinute extends Partial<Activity> {
  /** Log return. */
  readonly lastReturn?: number;
}

/** Ends of the bins of the input, in volatilities to the horizon; a price that stands still has a bin of its own. */
const BIN_ENDS = [-2, -1, -0.5, -0.25, -0.1, -1e-9, 1e-9, 0.1, 0.25, 0.5, 1, 2];
export const BINS = BIN_ENDS.length + 1;

/** Shares from 0 to 1. */
interface Shares {
  count: number;
  readonly sum: ExactSum;
}

/** Forecasts of a quarter of an hour, or of several. */
export interface Gathered {
  forecasts: number;
  covered: number;
  readonly error: ExactSum;
  readonly persistence: ExactSum;
  readonly inputs: number[];
  readonly range: Shares;
  readonly volume: Shares;
}

/** The monitors of means of shares. */
export const SHARES = ['range', 'volume'] as const;
export const sharesOf = <T>({ range, volume }: { range: T; volume: T }) => ({ range, volume });

export const emptyGathered = (): Gathered => ({
  forecasts: 0,
  covered: 0,
  error: exactZero(),
  persistence: exactZero(),
  inputs: new Array(BINS).fill(0),
  range: { count: 0, sum: exactZero() },
  volume: { count: 0, sum: exactZero() },
});

const binOf = (value: number): number => {
  let bin = 0;
  while (bin < BIN_ENDS.length && value > BIN_ENDS[bin]) bin++;
  return bin;
};
export const sumOf = (counts: readonly number[]) => counts.reduce((sum, it) => sum + it, 0);

/** @param last the minute before the forecast */
export function addForecast(
  gathered: Gathered,
  { volatility, realisedReturn, predictedReturn, covered }: Outcome,
  { lastReturn, range, volumeShare }: LastMinute,
): void {
  gathered.forecasts++;
  if (covered) gathered.covered++;
  addExact(gathered.error, ((realisedReturn - predictedReturn) / volatility) ** 2);
  addExact(gathered.persistence, (realisedReturn / volatility) ** 2);
  if (lastReturn !== undefined) gathered.inputs[binOf(lastReturn / volatility)]++;
  addShare(gathered.range, range === undefined ? undefined : range / (range + volatility));
  addShare(gathered.volume, volumeShare);
}

function addShare(into: Shares, share: number | undefined): void {
  if (share === undefined || Number.isNaN(share)) return;
  into.count++;
  addExact(into.sum, share);
}

export function addGathered(into: Gathered, from: Gathered): void {
  into.forecasts += from.forecasts;
  into.covered += from.covered;
  addSum(into.error, from.error);
  addSum(into.persistence, from.persistence);
  for (let i = 0; i < BINS; i++) into.inputs[i] += from.inputs[i];
  for (const name of SHARES) {
    into[name].count += from[name].count;
    addSum(into[name].sum, from[name].sum);
  }
}

export const isHistogram = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length === BINS && value.every((it) => Number.isFinite(it));

export function isGathered(value: unknown): value is Gathered {
  const it = value as Gathered | null | undefined;
  return (
    typeof it === 'object' &&
    it !== null &&
    Number.isFinite(it.forecasts) &&
    Number.isFinite(it.covered) &&
    isExactSum(it.error) &&
    isExactSum(it.persistence) &&
    isHistogram(it.inputs) &&
    SHARES.every((name) => Number.isFinite(it[name]?.count) && isExactSum(it[name]?.sum))
  );
}
