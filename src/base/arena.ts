/**
 * Shared memory that is used again: what is allocated after a reset takes the place of what was allocated before it, in
 * the same order. For work that is done over and over with arrays of about the same size: the garbage collector knows
 * nothing of shared memory's size, and fresh memory costs a page fault every 4 kB.
 */

/**
 * Makes memory for so many bytes, or more.
 * @param toBeFilled whether all of it will be written before it is read; otherwise it is of zeros
 */
export type Allocate = (bytes: number, toBeFilled?: boolean) => ArrayBufferLike;

export const freshShared: Allocate = (bytes) => new SharedArrayBuffer(bytes);

/** Room beyond what was asked for, so that a little more the next time needs no new memory. */
const SLACK = 1.1;

export class Arena {
  readonly #buffers: SharedArrayBuffer[] = [];
  #next = 0;

  /** Whatever was allocated before is free to be overwritten. */
  reset(): void {
    this.#next = 0;
  }

  readonly allocate: Allocate = (bytes, toBeFilled = false) => {
    const place = this.#next++;
    const old = this.#buffers[place];
    if (old !== undefined && old.byteLength >= bytes) {
      if (!toBeFilled) new Uint8Array(old, 0, bytes).fill(0);
      return old;
    }
    const fresh = new SharedArrayBuffer(Math.ceil((bytes * SLACK) / 8) * 8);
    this.#buffers[place] = fresh;
    return fresh;
  };
}
