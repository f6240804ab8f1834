/**
 * Where a price stands beside what the market, and its peers, would have it: the path of what they leave over of its
 * returns, and the mean distance from that path's last minutes, for windows that follow one another.
 *
 * Returns and their parts are whole multiples of a power of two (see `rows.ts`), so the sums here are exact: wherever
 * a path begins, a distance has the same bits. A window costs a few operations a row that is new, and four a distance.
 *
 *     P(t) = sum up to t of the residuals        Q(t) = sum up to t of P
 *     sum over j from 1 to k - 1 of P(t) - P(t - j)  =  (k - 1) P(t) - (Q(t - 1) - Q(t - k))
 */
import type { LinearColumns } from './linear-columns.ts';

/** Rows that a path goes on for before it begins anew. */
const CAPACITY = 1024;

export class ResidualPaths {
  /** Whether the market's columns are left out, as if it explained nothing. */
  readonly blind: boolean;
  readonly #stride: number;
  readonly #columns: LinearColumns;
  readonly #length: number;
  /** Row that a path begins with, and the rows that it has. */
  #begin = 0;
  #count = 0;
  /** Numbers of the rows side by side: log returns, and close positions times ranges. */
  readonly logReturns = new Float64Array(CAPACITY);
  readonly bounces = new Float64Array(CAPACITY);
  /** P and Q of what the market leaves over, and of what the peers leave over of that. */
  readonly #market = new Float64Array(CAPACITY);
  readonly #marketSums = new Float64Array(CAPACITY);
  readonly #peers = new Float64Array(CAPACITY);
  readonly #peersSums = new Float64Array(CAPACITY);

  /** @param length rows of a window */
  constructor(stride: number, length: number, columns: LinearColumns, blind: boolean) {
    this.#stride = stride;
    this.#length = length;
    this.#columns = columns;
    this.blind = blind;
  }

  /** Goes to the window whose last row is `last`. @returns its place, for the distances */
  seek(matrix: Float32Array, last: number): number {
    const first = last - this.#length + 1;
    if (first < this.#begin || first > this.#begin + this.#count || last - this.#begin >= CAPACITY) {
      this.#begin = first;
      this.#count = 0;
    }
    const place = last - this.#begin;
    if (place >= this.#count) this.#extend(matrix, place);
    return place;
  }

  #extend(matrix: Float32Array, place: number): void {
    const { logReturn, explained, peers, closePosition, range } = this.#columns;
    const { logReturns, bounces } = this;
    const market = this.#market;
    const marketSums = this.#marketSums;
    const ofPeers = this.#peers;
    const peersSums = this.#peersSums;
    const seen = this.blind ? 0 : 1;
    const before = this.#count - 1;
    let p = before < 0 ? 0 : market[before];
    let q = before < 0 ? 0 : marketSums[before];
    let r = before < 0 ? 0 : ofPeers[before];
    let s = before < 0 ? 0 : peersSums[before];
    for (let i = this.#count, at = (this.#begin + i) * this.#stride; i <= place; i++, at += this.#stride) {
      const whole = matrix[at + logReturn];
      const residual = whole - seen * matrix[at + explained];
      logReturns[i] = whole;
      bounces[i] = matrix[at + closePosition] * matrix[at + range];
      p += residual;
      q += p;
      r += residual - seen * matrix[at + peers];
      s += r;
      market[i] = p;
      marketSums[i] = q;
      ofPeers[i] = r;
      peersSums[i] = s;
    }
    this.#count = place + 1;
  }

  /** Sum of how far the last minute stands above each of the `minutes` - 1 before it, on the path beside the market. */
  fromMarket(place: number, minutes: number): number {
    const sums = this.#marketSums;
    return (minutes - 1) * this.#market[place] - (sums[place - 1] - sums[place - minutes]);
  }

  /** The same on the path beside the peers. */
  fromPeers(place: number, minutes: number): number {
    const sums = this.#peersSums;
    return (minutes - 1) * this.#peers[place] - (sums[place - 1] - sums[place - minutes]);
  }
}
