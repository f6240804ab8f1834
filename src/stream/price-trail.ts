/**
 * The last closes of every symbol, for settling forecasts: those of a whole session, 12 bytes each, so that forecasts
 * may be that far behind the bars. It tells the price at the end of a horizon, or that the bars do not say.
 */

interface Trail {
  readonly minutes: Int32Array;
  readonly closes: Float64Array;
  /** Closes ever added; the slot of close n is n % capacity. */
  count: number;
  /** Bars may have been missed before this close: no quiet minutes are taken for granted there. */
  brokenAt: number;
}

/** What the bars say of a price: it, that it is not known yet, or that it never will be. */
export type Price = number | 'waiting' | 'unknown';

/** Minutes and closes by turns, oldest first. */
export type TrailSnapshot = Record<string, number[]>;

const CAPACITY = 400;

export class PriceTrail {
  readonly capacity: number;
  readonly #trails = new Map<string, Trail>();

  constructor(capacity = CAPACITY) {
    this.capacity = capacity;
  }

  /** @returns false for a bar that is not newer than its symbol's newest */
  add(symbol: string, minute: number, close: number): boolean {
    let trail = this.#trails.get(symbol);
    if (trail === undefined) {
      trail = {
        minutes: new Int32Array(this.capacity),
        closes: new Float64Array(this.capacity),
        count: 0,
        brokenAt: 0,
      };
      this.#trails.set(symbol, trail);
    }
    if (trail.count > 0 && minute <= trail.minutes[(trail.count - 1) % this.capacity]) return false;
    const slot = trail.count % this.capacity;
    trail.minutes[slot] = minute;
    trail.closes[slot] = close;
    trail.count++;
    return true;
  }

  /** Notes that bars may be missing from here on until the next one of each symbol. */
  break(): void {
    for (const trail of this.#trails.values()) trail.brokenAt = trail.count;
  }

  /**
   * The last price at the end of minute `target`: its own close, or the one before it once a later bar tells that it
   * saw no trade. Unknown when more than `longestQuietRun` minutes in a row saw none, or the trail does not reach back.
   *
   * @param from the minute of the bar that the forecast was made from
   */
  priceAt(symbol: string, from: number, target: number, longestQuietRun: number): Price {
    const trail = this.#trails.get(symbol);
    if (trail === undefined) return 'waiting';
    const { minutes, closes } = trail;
    let n = this.#indexFrom(trail, from);
    if (n === trail.count) return 'waiting';
    if (minutes[n % this.capacity] !== from) return 'unknown';
    for (n++; n < trail.count; n++) {
      const [at, before] = [n % this.capacity, (n - 1) % this.capacity];
      const quiet = minutes[at] - minutes[before] - 1;
      if (quiet > (n === trail.brokenAt ? 0 : longestQuietRun)) return 'unknown';
      if (minutes[at] === target) return closes[at];
      if (minutes[at] > target) return closes[before];
    }
    return 'waiting';
  }

  /** The newest close before a minute, at most `within` minutes older; undefined where the trail has none. */
  closeBefore(symbol: string, minute: number, within: number): number | undefined {
    const trail = this.#trails.get(symbol);
    if (trail === undefined) return undefined;
    const n = this.#indexFrom(trail, minute) - 1;
    if (n < Math.max(0, trail.count - this.capacity)) return undefined;
    const slot = n % this.capacity;
    return minute - trail.minutes[slot] <= within ? trail.closes[slot] : undefined;
  }

  /** What settling forecasts from these minutes on still needs of each symbol, and the newest close of the others. */
  snapshot(neededFrom: ReadonlyMap<string, number>): TrailSnapshot {
    const out: TrailSnapshot = {};
    for (const [symbol, trail] of this.#trails) {
      const needed = neededFrom.get(symbol);
      const newest = trail.count - 1;
      const first = needed === undefined ? newest : Math.min(newest, this.#indexFrom(trail, needed));
      const pairs: number[] = [];
      // One more, for the return of the minute before.
      for (let n = Math.max(first - 1, 0, trail.count - this.capacity); n < trail.count; n++)
        pairs.push(trail.minutes[n % this.capacity], trail.closes[n % this.capacity]);
      out[symbol] = pairs;
    }
    return out;
  }

  /** Takes up a snapshot in place of what it holds. @returns false, and holds nothing, for something that is none */
  restore(snapshot: unknown): boolean {
    this.#trails.clear();
    const fits = typeof snapshot === 'object' && snapshot !== null && Object.values(snapshot).every(isPairs);
    if (!fits) return false;
    for (const [symbol, pairs] of Object.entries(snapshot as TrailSnapshot))
      for (let i = 0; i < pairs.length; i += 2) this.add(symbol, pairs[i], pairs[i + 1]);
    return true;
  }

  /** Number of the oldest close held that is not before a minute; `count` when there is none. */
  #indexFrom(trail: Trail, minute: number): number {
    const oldest = Math.max(0, trail.count - this.capacity);
    let n = trail.count;
    while (n > oldest && trail.minutes[(n - 1) % this.capacity] >= minute) n--;
    return n;
  }
}

const isPairs = (value: unknown): boolean =>
  Array.isArray(value) && value.length % 2 === 0 && value.every((it) => Number.isFinite(it));
