/**
 * Ranks that compute together: processes under MPI, worker threads, or one alone. Everything that training needs of
 * the others goes through this interface, and every implementation passes the same conformance suite.
 *
 * Every rank makes the same calls in the same order with the same lengths. A call ends on every rank with the same
 * bits: what is added is integers, whose sum does not depend on the order of addition. Calls of one rank must not
 * overlap.
 *
 * A rank that dies or falls silent ends the calls of the others in BARCAST_E_RANK, which names it: at once where the
 * death is seen, after the timeout otherwise.
 */
export interface Collective {
  readonly kind: 'solo' | 'threads' | 'mpi';
  /** From 0. */
  readonly rank: number;
  readonly size: number;
  /** Where each rank runs, for people: `[size]` */
  readonly places: readonly string[];
  /** Whether it is the first rank of its machine: the one that keeps checkpoints there. */
  readonly leadsItsHost: boolean;
  /** Adds `values` over all ranks, element by element modulo 2^64, and leaves the sums in place. @throws BARCAST_E_RANK */
  allReduce(values: BigInt64Array): Promise<void>;
  /** Overwrites `bytes` with those of rank `root`. @throws BARCAST_E_RANK */
  broadcast(bytes: Uint8Array, root: number): Promise<void>;
  /** Ends once every rank has called it. @throws BARCAST_E_RANK */
  barrier(): Promise<void>;
  /** Every rank's last call after a job that went well. After a failure a process just ends. */
  close(): Promise<void>;
}

/** How long a rank may keep the others waiting, when the user says nothing else. */
export const RANK_TIMEOUT_MS = 120_000;
