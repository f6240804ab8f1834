/** Parts of a window set: by time with a purge, at random as the reference project did it, or by hand. */
import { BarcastError, lowerBound, Random } from '../base/index.ts';
import type { WindowSet } from './recipe.ts';
import { recipeOf } from './recipes.ts';

/** Indices of windows, ascending. */
export interface Split {
  readonly training: Int32Array;
  readonly validation: Int32Array;
}

export interface ChronologicalSplit extends Split {
  /** EpochMinute: windows with asOf at or after it are validation. Infinity when there are none. */
  readonly cut: number;
}

/**
 * Cuts by time over all symbols: validation is the last windows by asOf, as near to `share` of all as whole minutes
 * allow without exceeding it, and at least those of the last minute. Windows in between are purged: a training window
 * is kept only if its target lies before the first row of the first validation window and before the price that row's
 * return starts from: asOf + horizon + windowLength < cut.
 *
 * @param share of the windows for validation, from 0 (none) to less than 1
 * @throws BARCAST_E_TOO_FEW_WINDOWS when the purge leaves nothing to train on
 */
export function chronologicalSplit(windows: WindowSet, share: number): ChronologicalSplit {
  const { asOf } = windows;
  const N = asOf.length;
  checkShare(share);
  const rising = risingStretches(asOf);
  const cut = share === 0 || N === 0 ? Number.POSITIVE_INFINITY : cutOf(byMinute(asOf, rising), Math.floor(share * N));
  const { windowLength, horizonMinutes } = recipeOf(windows.recipe);
  const training = indicesBetween(asOf, rising, Number.NEGATIVE_INFINITY, cut - horizonMinutes - windowLength);
  if (training.length === 0) {
    throw new BarcastError(
      'BARCAST_E_TOO_FEW_WINDOWS',
      `no training window is left of ${N} before the validation part`,
      'take a longer span of bars',
    );
  }
  return { training, validation: indicesBetween(asOf, rising, cut, Number.POSITIVE_INFINITY), cut };
}

/** Where stretches of numbers that do not fall begin, and the end: in a window set one stretch a symbol. */
function risingStretches(asOf: Int32Array): number[] {
  const begins = [0];
  for (let w = 1; w < asOf.length; w++) if (asOf[w] < asOf[w - 1]) begins.push(w);
  return [...begins, asOf.length];
}

/** How many windows there are of each minute, from the first one's on. */
interface ByMinute {
  readonly first: number;
  readonly counts: Int32Array;
}

function byMinute(asOf: Int32Array, rising: readonly number[]): ByMinute {
  let first = asOf[0];
  let last = first;
  for (let s = 0; s + 1 < rising.length; s++) {
    first = Math.min(first, asOf[rising[s]]);
    last = Math.max(last, asOf[rising[s + 1] - 1]);
  }
  const counts = new Int32Array(last - first + 1);
  for (let w = 0; w < asOf.length; w++) counts[asOf[w] - first]++;
  return { first, counts };
}

/** The earliest minute from which on there are at most `most` windows, or the last minute of all. */
function cutOf({ first, counts }: ByMinute, most: number): number {
  let place = counts.length - 1;
  let cut = first + place;
  let held = counts[place];
  for (place--; place >= 0; place--) {
    held += counts[place];
    if (held > most) break;
    if (counts[place] > 0) cut = first + place;
  }
  return cut;
}

/** Draws validation windows at random: they overlap training windows, and their scores flatter. For `cs205` alone. */
export function randomSplit(windows: WindowSet, share: number, seed: number): Split {
  checkShare(share);
  const N = windows.asOf.length;
  const order = Int32Array.from({ length: N }, (_, w) => w);
  new Random(seed, 0x73706c74).shuffle(order);
  const validation = order.slice(0, Math.floor(share * N)).sort();
  return { training: order.slice(validation.length).sort(), validation };
}

/** The windows with from <= asOf < to. */
function indicesBetween(asOf: Int32Array, rising: readonly number[], from: number, to: number): Int32Array {
  const ends: number[] = [];
  let count = 0;
  for (let s = 0; s + 1 < rising.length; s++) {
    const first = lowerBound(asOf, from, rising[s], rising[s + 1]);
    const end = lowerBound(asOf, to, first, rising[s + 1]);
    ends.push(first, end);
    count += end - first;
  }
  const found = new Int32Array(count);
  for (let s = 0, i = 0; s < ends.length; s += 2) for (let w = ends[s]; w < ends[s + 1]; w++) found[i++] = w;
  return found;
}

function checkShare(share: number): void {
  if (!(share >= 0 && share < 1)) {
    throw new BarcastError('BARCAST_E_USAGE', `a share of ${share}`, 'choose one from 0 to less than 1');
  }
}
