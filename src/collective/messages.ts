/** What ranks tell each other in words: built on the three calls of a {@link Collective}. */
import { BarcastError, ERROR_CODES, type ErrorCode, toBarcastError } from '../base/index.ts';
import type { Collective } from './collective.ts';

/** Every rank's whole number, `[size]`, the same on all. */
export async function gatherNumbers(collective: Collective, value: number): Promise<number[]> {
  const values = new BigInt64Array(collective.size);
  values[collective.rank] = BigInt(value);
  await collective.allReduce(values);
  return Array.from(values, Number);
}

/** Every rank's text, `[size]`, the same on all. */
export async function gatherTexts(collective: Collective, text: string): Promise<string[]> {
  const own = Buffer.from(text);
  const texts: string[] = [];
  for (const [rank, length] of (await gatherNumbers(collective, own.length)).entries()) {
    const bytes = rank === collective.rank ? own : Buffer.alloc(length);
    if (length > 0) await collective.broadcast(bytes, rank);
    texts.push(bytes.toString());
  }
  return texts;
}

/** The bytes of rank `root` on every rank; the others pass nothing. */
export async function broadcastBytes(collective: Collective, root: number, bytes?: Uint8Array): Promise<Uint8Array> {
  const isRoot = collective.rank === root;
  const length = (await gatherNumbers(collective, isRoot ? bytes!.length : 0))[root];
  const all = isRoot ? bytes! : new Uint8Array(length);
  if (length > 0) await collective.broadcast(all, root);
  return all;
}

/**
 * Tells every rank that this one failed, or hears of those that did: every rank throws the same error.
 * @throws the failure of the lowest rank that has one
 */
export async function throwTogether(collective: Collective, failure: BarcastError | undefined): Promise<void> {
  const told = failure ? JSON.stringify([failure.code, failure.message, failure.remedy]) : '';
  const failures = await gatherTexts(collective, told);
  const rank = failures.findIndex((text) => text !== '');
  if (rank < 0) return;
  if (rank === collective.rank) throw failure!;
  const [code, what, remedy] = JSON.parse(failures[rank]) as [ErrorCode, string, string];
  const known = Object.hasOwn(ERROR_CODES, code) ? code : 'BARCAST_E_INTERNAL';
  throw new BarcastError(known, `rank ${rank} (${collective.places[rank]}): ${what}`, remedy);
}

/** Runs work that may fail on some ranks alone; then every rank throws. @throws what {@link throwTogether} does */
export async function together<T>(collective: Collective, work: () => Promise<T>): Promise<T> {
  if (collective.size === 1) return work();
  let answer: T | undefined;
  let failure: BarcastError | undefined;
  try {
    answer = await work();
  } catch (error) {
    failure = toBarcastError(error);
    // The others wait in this rank's calls of the collective, not for what it has to tell.
    if (failure.code === 'BARCAST_E_RANK') throw failure;
  }
  await throwTogether(collective, failure);
  return answer as T;
}

/**
 * Demands that every rank stands for the same: parts by name, such as the data, the recipe, the version.
 * @throws BARCAST_E_RANKS_DIFFER naming the ranks and the first part that differs
 */
export async function demandTheSame(collective: Collective, parts: Readonly<Record<string, string>>): Promise<void> {
  if (collective.size === 1) return;
  const all = (await gatherTexts(collective, JSON.stringify(parts))).map(
    (text) => JSON.parse(text) as Record<string, string>,
  );
  for (const [rank, theirs] of all.entries()) {
    const part = firstDifference(all[0], theirs);
    if (part === undefined) continue;
    const who = (at: number) => `rank ${at} (${collective.places[at]})`;
    throw new BarcastError(
      'BARCAST_E_RANKS_DIFFER',
      `${who(rank)} has another ${part} than ${who(0)}: ${theirs[part] ?? 'none'}, not ${all[0][part] ?? 'none'}`,
      'give every host the same barcast, options and bars, and nothing was changed',
    );
  }
}

/** The first part by name in which two differ. */
export function firstDifference(
  one: Readonly<Record<string, string>>,
  other: Readonly<Record<string, string>>,
): string | undefined {
  return Object.keys({ ...one, ...other }).find((part) => one[part] !== other[part]);
}
