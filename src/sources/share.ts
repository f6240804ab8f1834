/** One process of several that share an ingest: which part of the work is its own. */
import { BarcastError } from '../base/index.ts';

export interface Share {
  /** From 0. */
  readonly rank: number;
  readonly size: number;
}

/**
 * What Open MPI's `mpirun` says of this process in its environment; undefined outside of one, and in one of a single rank.
 * @throws BARCAST_E_USAGE for an environment that makes no sense
 */
export function shareOf(environment: Readonly<Record<string, string | undefined>>): Share | undefined {
  const { OMPI_COMM_WORLD_RANK: rank, OMPI_COMM_WORLD_SIZE: size } = environment;
  if (rank === undefined && size === undefined) return undefined;
  const share = { rank: Number(rank), size: Number(size) };
  if (!(Number.isInteger(share.rank) && Number.isInteger(share.size) && share.rank >= 0 && share.rank < share.size)) {
    throw new BarcastError(
      'BARCAST_E_USAGE',
      `OMPI_COMM_WORLD_RANK is '${rank}' and OMPI_COMM_WORLD_SIZE '${size}'`,
      'start the processes with mpirun, or unset both',
    );
  }
  return share.size === 1 ? undefined : share;
}

/**
 * The items of a list that are this process's own. Items with the same name belong together, and every process that sees
 * the same list comes to the same split.
 */
export function ownPart<T>(items: readonly T[], share: Share | undefined, nameOf: (item: T) => string): T[] {
  if (share === undefined) return [...items];
  const places = new Map<string, number>();
  return items.filter((item) => {
    const name = nameOf(item);
    const place = places.get(name) ?? places.size;
    places.set(name, place);
    return place % share.size === share.rank;
  });
}
