/**
 * When V8 collects the garbage of a process that serves for days.
 *
 * V8 begins to mark the whole heap as soon as the old generation could not take in all that fits into the young one
 * (48 MB). A forecaster keeps some 10 MB, for which V8 plans little more: it marked the whole heap every eight minutes of
 * 500 symbols, 20 ms of both cores while forecasts were being made. Told to begin by the share of the old generation's
 * limit that is used instead, it does so once in hundreds of minutes: in `bench stream` the slowest minute in
 * memory took 8 ms with it and 20 without.
 */
import { setFlagsFromString } from 'node:v8';

/** Percent of the old generation's limit: where marking begins in a break, and where it waits for none. */
const SOFT = 75;
const HARD = 90;

/** Options of V8. */
export const BY_SHARE: readonly string[] = [
  `--incremental-marking-soft-trigger=${SOFT}`,
  `--incremental-marking-hard-trigger=${HARD}`,
];

/** For a process that forecasts or feeds; called once, at its start. */
export function markByShare(): void {
  for (const option of BY_SHARE) setFlagsFromString(option);
}
