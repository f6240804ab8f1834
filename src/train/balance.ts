/**
 * Which tiles of a step's batch each rank computes. Faster ranks get more, so that none waits long for another. Every
 * rank sees the same measurements, so all come to the same shares without asking; the shares change no bit of a sum.
 */

/**
 * Steps of which a rank's median time counts: what delays a rank now and then must not move tiles, which would cost
 * more than it.
 */
const STEPS = 9;
/** Steps before which all get the same: the first ones are no measure. */
const FIRST_STEPS = 5;
/** Shares are kept while others would not save this part of a step. */
const WORTH_IT = 0.03;

export class TileBalance {
  readonly #size: number;
  /** Time a tile took on each rank in its last steps, in any unit. */
  readonly #measured: readonly number[][];
  /** Their median; 0 before there are enough of them. */
  readonly #tileTime: Float64Array;
  #kept: readonly number[] = [];

  /** @param size number of ranks */
  constructor(size: number) {
    this.#size = size;
    this.#measured = Array.from({ length: size }, () => []);
    this.#tileTime = new Float64Array(size);
  }

  /** Tiles of each rank, `[size]`; rank r computes those that follow the tiles of the ranks before it. */
  shares(tiles: number): readonly number[] {
    const best = this.#fastest(tiles);
    const sum = this.#kept.reduce((all, share) => all + share, 0);
    if (sum === tiles && this.#timeOf(this.#kept) <= this.#timeOf(best) * (1 + WORTH_IT)) return this.#kept;
    this.#kept = best;
    return best;
  }

  /** What the last step took on each rank, `[size]`, for these many tiles. */
  observe(times: readonly number[], shares: readonly number[]): void {
    for (let rank = 0; rank < this.#size; rank++) {
      if (shares[rank] === 0) continue;
      const measured = this.#measured[rank];
      measured.push(Math.max(times[rank], 1) / shares[rank]);
      if (measured.length > STEPS) measured.shift();
      if (measured.length >= FIRST_STEPS)
        this.#tileTime[rank] = measured.toSorted((a, b) => a - b)[measured.length >> 1];
    }
  }

  /** Gives one tile after the other to the rank that would have it done first; the lowest of several. */
  #fastest(tiles: number): number[] {
    const known = this.#tileTime.every((time) => time > 0);
    const shares = new Array<number>(this.#size).fill(0);
    if (!known) return shares.map((_, rank) => evenly(tiles, this.#size, rank));
    for (let tile = 0; tile < tiles; tile++) {
      let first = 0;
      for (let rank = 1; rank < this.#size; rank++) {
        if ((shares[rank] + 1) * this.#tileTime[rank] < (shares[first] + 1) * this.#tileTime[first]) first = rank;
      }
      shares[first]++;
    }
    return shares;
  }

  #timeOf(shares: readonly number[]): number {
    return Math.max(...shares.map((share, rank) => share * this.#tileTime[rank]));
  }
}

/** The part of `count` that falls to one of `size` ranks when all get the same, give or take one. */
export function evenly(count: number, size: number, rank: number): number {
  return Math.floor((count * (rank + 1)) / size) - Math.floor((count * rank) / size);
}
