/**
 * Ranks as processes under Open MPI or MPICH: `mpirun -n 4 barcast train …`, on one host or several.
 *
 * A call starts MPI's non-blocking operation and asks for its end, giving the core away between two questions, as ranks
 * that outnumber the cores would otherwise starve each other and the network; after some milliseconds it asks through
 * the event loop, so that timers and signals go on. Nothing MPI calls upon is moved: arrays are copied through memory
 * that the collective keeps.
 *
 * Limits: one job a process, as MPI can be started once. A process that ends without {@link Collective.close} makes
 * mpirun end the whole job.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { BarcastError } from '../base/index.ts';
import { type Collective, RANK_TIMEOUT_MS } from './collective.ts';
import { gatherTexts } from './messages.ts';
import { loadMpi, type MpiLibrary, type MpiName } from './mpi-library.ts';

/** Values a message holds; longer arrays take several. */
const MESSAGE = 1 << 17;
const TIGHT_MS = 5;
const TURNS_MS = 50;
const PAUSE_MS = 1;
const ROLL_CALL_TAG = 7101;
const ROLL_CALL_MS = 1500;

/**
 * Which MPI started this process: Open MPI's mpirun, or Slurm's srun through PMIx; MPICH's mpiexec, or srun through PMI.
 * Undefined where none did.
 */
export function startedBy(environment: NodeJS.ProcessEnv = process.env): MpiName | undefined {
  if (environment.OMPI_COMM_WORLD_SIZE !== undefined || environment.PMIX_RANK !== undefined) return 'Open MPI';
  return environment.PMI_RANK === undefined ? undefined : 'MPICH';
}

/** Whether this process is one of many that an MPI started. */
export const isMpiRank = (environment: NodeJS.ProcessEnv = process.env): boolean =>
  startedBy(environment) !== undefined;

/** Joins the job that this process is a rank of. @throws BARCAST_E_MPI, BARCAST_E_RANK */
export async function joinMpi({
  timeoutMs = RANK_TIMEOUT_MS,
  files,
}: {
  readonly timeoutMs?: number;
  /** Names of the library to try. */
  readonly files?: readonly string[];
} = {}): Promise<Collective> {
  const mpi = loadMpi(startedBy() ?? 'Open MPI', files);
  // Open MPI spins while it waits, also where ranks outnumber the cores; it reads this when it starts.
  process.env.OMPI_MCA_mpi_yield_when_idle ??= '1';
  mpi.init();
  const collective = new MpiCollective(mpi, timeoutMs);
  await collective.meet();
  return collective;
}

class MpiCollective implements Collective {
  readonly kind = 'mpi';
  readonly rank: number;
  readonly size: number;
  readonly #mpi: MpiLibrary;
  readonly #timeoutMs: number;
  readonly #request = new BigInt64Array(new ArrayBuffer(8));
  #values = new BigInt64Array(new ArrayBuffer(8 * 1024));
  #places: readonly string[] = [];

  constructor(mpi: MpiLibrary, timeoutMs: number) {
    this.#mpi = mpi;
    this.rank = mpi.rank();
    this.size = mpi.size();
    this.#timeoutMs = timeoutMs;
    this.#places = Array.from({ length: this.size }, () => 'a host not yet known');
  }

  get places(): readonly string[] {
    return this.#places;
  }

  get leadsItsHost(): boolean {
    return this.#places.indexOf(this.#places[this.rank]) === this.rank;
  }

  /** Tells each other where they run. */
  async meet(): Promise<void> {
    this.#places = await gatherTexts(this, this.#mpi.processorName());
  }

  async allReduce(values: BigInt64Array): Promise<void> {
    for (let from = 0; from === 0 || from < values.length; from += MESSAGE) {
      const part = values.subarray(from, from + MESSAGE);
      const own = this.#room(part.length).subarray(0, part.length);
      own.set(part);
      this.#mpi.startAllReduce(own, this.#request);
      await this.#finish();
      part.set(own);
    }
  }

  async broadcast(bytes: Uint8Array, root: number): Promise<void> {
    for (let from = 0; from === 0 || from < bytes.length; from += 8 * MESSAGE) {
      const part = bytes.subarray(from, from + 8 * MESSAGE);
      const own = new Uint8Array(this.#room(Math.ceil(part.length / 8)).buffer, 0, part.length);
      if (this.rank === root) own.set(part);
      this.#mpi.startBroadcast(own, root, this.#request);
      await this.#finish();
      if (this.rank !== root) part.set(own);
    }
  }

  async barrier(): Promise<void> {
    this.#mpi.startBarrier(this.#request);
    await this.#finish();
  }

  async close(): Promise<void> {
    await this.barrier();
    this.#mpi.finalize();
  }

  #room(values: number): BigInt64Array {
    if (this.#values.length < values) this.#values = new BigInt64Array(new ArrayBuffer(8 * values));
    return this.#values;
  }

  /** Until the operation under way is done here. */
  async #finish(): Promise<void> {
    const startedAt = performance.now();
    while (!this.#mpi.test(this.#request)) {
      const waited = performance.now() - startedAt;
      if (waited < TIGHT_MS) this.#mpi.yieldCore();
      else if (waited < TURNS_MS) await new Promise(setImmediate);
      else if (waited < this.#timeoutMs) await sleep(PAUSE_MS);
      else throw await this.#rollCall();
    }
  }

  /** Who is missing: each rank that waits tells all others so; those that do not are named. */
  async #rollCall(): Promise<BarcastError> {
    const here = new Uint8Array(new ArrayBuffer(1));
    const others = Array.from({ length: this.size }, (_, rank) => rank).filter((rank) => rank !== this.rank);
    for (const rank of others) this.#mpi.startSend(here, rank, ROLL_CALL_TAG, new BigInt64Array(new ArrayBuffer(8)));
    const missing = new Set(others);
    for (let waited = 0; waited < ROLL_CALL_MS && missing.size > 0; waited += 10) {
      for (const rank of missing) if (this.#mpi.hasCome(rank, ROLL_CALL_TAG)) missing.delete(rank);
      await sleep(10);
    }
    const names = [...missing].map((rank) => `rank ${rank} (${this.#places[rank]})`);
    return new BarcastError(
      'BARCAST_E_RANK',
      `${names.length > 0 ? names.join(' and ') : 'a rank'} kept the others waiting for ${this.#timeoutMs / 1000} s`,
      'run the same command again to go on from the last checkpoint',
    );
  }
}
