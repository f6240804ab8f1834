/**
 * Ranks as threads of one process that share memory.
 *
 * Each rank has a slot of the shared memory to put its values in. An all-reduce is: fill one's slot, meet, add one's
 * part of every slot into the common result, meet, take the result. A meeting is a counter a rank, raised and then
 * watched: for some microseconds by looking, then asleep on it, and after some milliseconds through the event loop, so
 * that timers and signals go on.
 */
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { BarcastError } from '../base/index.ts';
import { type Collective, RANK_TIMEOUT_MS } from './collective.ts';

/** What the threads of a group share; goes to a worker as it is. */
export interface ThreadsMemory {
  readonly size: number;
  readonly timeoutMs: number;
  /** `[1 + size]` int32: 1 + the rank that failed; then how many meetings each rank has come to. */
  readonly meetings: SharedArrayBuffer;
  /**
   * `[2, size]` int32 pairs: what each rank calls and with how many values, so that a mismatch is told; for even
   * meetings and for odd ones, as a rank may have come to the next meeting while another still looks at this one.
   */
  readonly calls: SharedArrayBuffer;
  /** `[1 + size]` areas of `SLOT` int64: the result, then each rank's own. */
  readonly slots: SharedArrayBuffer;
}

/** Values an area holds; longer arrays take several rounds. */
const SLOT = 1 << 17;
const LOOKS = 2000;
const BLOCK_MS = 20;
const PAUSE_MS = 1;

const CALLS = ['barrier', 'allReduce', 'broadcast'] as const;
type Call = (typeof CALLS)[number];

/** Memory for `size` ranks. */
export function threadsMemory(size: number, timeoutMs = RANK_TIMEOUT_MS): ThreadsMemory {
  return {
    size,
    timeoutMs,
    meetings: new SharedArrayBuffer(4 * (1 + size)),
    calls: new SharedArrayBuffer(16 * size),
    slots: new SharedArrayBuffer(8 * SLOT * (1 + size)),
  };
}

/** Ends the calls of all other ranks: one of them will not come any more. */
export function failThread(memory: ThreadsMemory, rank: number): void {
  const meetings = new Int32Array(memory.meetings);
  Atomics.compareExchange(meetings, 0, 0, 1 + rank);
  for (let i = 0; i <= memory.size; i++) Atomics.notify(meetings, i);
}

/** One rank's end of the memory: to be made once in each thread. */
export function joinThreads(memory: ThreadsMemory, rank: number): Collective {
  return new ThreadsCollective(memory, rank);
}

class ThreadsCollective implements Collective {
  readonly kind = 'threads';
  readonly rank: number;
  readonly size: number;
  readonly places: readonly string[];
  readonly leadsItsHost: boolean;
  readonly #memory: ThreadsMemory;
  readonly #meetings: Int32Array;
  readonly #calls: Int32Array;
  readonly #looks: number;
  #met = 0;

  constructor(memory: ThreadsMemory, rank: number) {
    this.rank = rank;
    this.size = memory.size;
    this.places = Array.from({ length: memory.size }, (_, thread) => `thread ${thread}`);
    this.leadsItsHost = rank === 0;
    this.#memory = memory;
    this.#meetings = new Int32Array(memory.meetings);
    this.#calls = new Int32Array(memory.calls);
    // A rank that looks keeps its core from the one it waits for where there are more ranks than cores.
    this.#looks = memory.size <= availableParallelism() ? LOOKS : 0;
  }

  async allReduce(values: BigInt64Array): Promise<void> {
    const { rank, size } = this;
    for (let from = 0; from === 0 || from < values.length; from += SLOT) {
      const part = values.subarray(from, from + SLOT);
      this.#slot(1 + rank, part.length).set(part);
      await this.#meet('allReduce', values.length);
      const low = Math.floor((part.length * rank) / size);
      const high = Math.floor((part.length * (rank + 1)) / size);
      const result = this.#slot(0, part.length).subarray(low, high);
      result.set(this.#slot(1, part.length).subarray(low, high));
      for (let other = 1; other < size; other++) {
        add(result, this.#slot(1 + other, part.length).subarray(low, high));
      }
      await this.#meet('allReduce', values.length);
      part.set(this.#slot(0, part.length));
    }
  }

  async broadcast(bytes: Uint8Array, root: number): Promise<void> {
    for (let from = 0; from === 0 || from < bytes.length; from += 8 * SLOT) {
      const part = bytes.subarray(from, from + 8 * SLOT);
      const slot = new Uint8Array(this.#memory.slots, 8 * SLOT * (1 + root), part.length);
      if (this.rank === root) slot.set(part);
      await this.#meet('broadcast', bytes.length);
      if (this.rank !== root) part.set(slot);
      await this.#meet('broadcast', bytes.length);
    }
  }

  barrier(): Promise<void> {
    return this.#meet('barrier', 0);
  }

  close(): Promise<void> {
    return this.barrier();
  }

  #slot(area: number, length: number): BigInt64Array {
    return new BigInt64Array(this.#memory.slots, 8 * SLOT * area, length);
  }

  async #meet(call: Call, length: number): Promise<void> {
    const meeting = ++this.#met;
    const own = this.#callAt(meeting, this.rank);
    this.#calls[own] = CALLS.indexOf(call);
    this.#calls[own + 1] = length;
    Atomics.store(this.#meetings, 1 + this.rank, meeting);
    Atomics.notify(this.#meetings, 1 + this.rank);
    const startedAt = performance.now();
    for (let other = 0; other < this.size; other++) {
      if (other !== this.rank) await this.#waitFor(other, meeting, startedAt);
    }
    this.#checkCalls(call, length, meeting);
  }

  /** Until rank `other` has come to as many meetings. */
  async #waitFor(other: number, meeting: number, startedAt: number): Promise<void> {
    const index = 1 + other;
    for (let look = 0; look < this.#looks; look++) {
      if (Atomics.load(this.#meetings, index) - meeting >= 0) return;
    }
    for (;;) {
      const came = Atomics.load(this.#meetings, index);
      if (came - meeting >= 0) return;
      this.#refuseFailed();
      const waited = performance.now() - startedAt;
      if (waited < BLOCK_MS) {
        Atomics.wait(this.#meetings, index, came, 1);
        continue;
      }
      if (waited > this.#memory.timeoutMs) throw this.#missing(meeting);
      // Not Atomics.waitAsync, which does not keep a thread alive.
      await sleep(PAUSE_MS);
    }
  }

  #refuseFailed(): void {
    const failed = Atomics.load(this.#meetings, 0) - 1;
    if (failed < 0) return;
    throw new BarcastError(
      'BARCAST_E_RANK',
      `rank ${failed} (${this.places[failed]}) ended while the others were waiting for it`,
      'its own error says why; run the same command again to go on from the last checkpoint',
    );
  }

  #missing(meeting: number): BarcastError {
    const missing = this.places
      .map((place, rank) => ({ place, rank }))
      .filter(({ rank }) => Atomics.load(this.#meetings, 1 + rank) - meeting < 0)
      .map(({ place, rank }) => `rank ${rank} (${place})`);
    return new BarcastError(
      'BARCAST_E_RANK',
      `${missing.join(' and ')} kept the others waiting for ${this.#memory.timeoutMs / 1000} s`,
      'run the same command again to go on from the last checkpoint',
    );
  }

  /** Where the call of a rank's meeting stands. Nobody is two meetings ahead of another. */
  #callAt(meeting: number, rank: number): number {
    return 2 * ((meeting % 2) * this.size + rank);
  }

  /** Ranks that do different things are a defect, and would only hang or garble. */
  #checkCalls(call: Call, length: number, meeting: number): void {
    for (let other = 0; other < this.size; other++) {
      const at = this.#callAt(meeting, other);
      const theirs = CALLS[this.#calls[at]];
      const theirLength = this.#calls[at + 1];
      if (theirs === call && theirLength === length) continue;
      failThread(this.#memory, this.rank);
      throw new BarcastError(
        'BARCAST_E_INTERNAL',
        `rank ${this.rank} calls ${call} of ${length} while rank ${other} calls ${theirs} of ${theirLength}`,
        'report this',
      );
    }
  }
}

function add(into: BigInt64Array, values: BigInt64Array): void {
  for (let i = 0; i < into.length; i++) into[i] = BigInt.asIntN(64, into[i] + values[i]);
}
