/**
 * The last closes of every symbol, for settling forecasts: those of a whole session, 20 bytes each, so that forecasts
 * may be that far behind the bars. It tells the price at the end of a horizon, or that the bars do not say; and how wide
 * and how busy a minute was, for the drift monitors.
 */

interface Trail {
  readonly minutes: Int32Array;
  readonly closes: Float64Array;
  readonly ranges: Float32Array;
  readonly shares: Float32Array;
  /** Running mean of the volume; NaN before the first. */
  usualVolume: number;
  /** Closes ever added; the slot of close n is n % capacity. */
  count: number;
  /** Bars may have been missed before this close: no quiet minutes are taken for granted there. */
  brokenAt: number;
}

/** What the bars say of a price: it, that it is not known yet, or that it never will be. */
export type Price = number | 'waiting' | 'unknown';

/** How wide and how busy a minute was. */
export interface Activity {
  /** ln(high / low) */
  readonly range: number;
  /** Volume as a share of itself and the symbol's running mean before: 1/2 is usual. NaN where there was none before. */
  readonly volumeShare: number;
}

/** Minutes and closes by turns, oldest first. */
export type TrailSnapshot = Record<string, number[]>;
/** The running mean of the volume, then range and volume share by turns, for the same minutes. NaN is null. */
export type ActivitySnapshot = Record<string, (number | null)[]>;

const CAPACITY = 400;
/** Bars that the running mean of the volume looks back, about. */
const VOLUME_MEMORY = 60;

export class PriceTrail {
  readonly capacity: number;
  readonly #trails = new Map<string, Trail>();

  constructor(capacity = CAPACITY) {
    this.capacity = capacity;
  }

  /**
   * @param range ln(high / low)
   * @returns false for a bar that is not newer than its symbol's newest
   */
  add(symbol: string, minute: number, close: number, range = Number.NaN, volume = Number.NaN): boolean {
    const trail = this.#trailOf(symbol);
    if (trail.count > 0 && minute <= trail.minutes[(trail.count - 1) % this.capacity]) return false;
    const usual = trail.usualVolume;
    // A mean of no volume at all says nothing.
    this.#append(trail, minute, close, range, usual > 0 ? volume / (volume + usual) : Number.NaN);
    if (volume >= 0) trail.usualVolume = usual >= 0 ? usual + (volume - usual) / VOLUME_MEMORY : volume;
    return true;
  }

  #trailOf(symbol: string): Trail {
    let trail = this.#trails.get(symbol);
    if (trail === undefined) {
      trail = {
        minutes: new Int32Array(this.capacity),
        closes: new Float64Array(this.capacity),
        ranges: new Float32Array(this.capacity),
        shares: new Float32Array(this.capacity),
        usualVolume: Number.NaN,
        count: 0,
        brokenAt: 0,
      };
      this.#trails.set(symbol, trail);
    }
    return trail;
  }

  #append(trail: Trail, minute: number, close: number, range: number, share: number): void {
    const slot = trail.count % this.capacity;
    trail.minutes[slot] = minute;
    trail.closes[slot] = close;
    trail.ranges[slot] = range;
    trail.shares[slot] = share;
    trail.count++;
  }

  /** How wide and how busy a minute was; undefined where the trail has no bar of it. */
  activityAt(symbol: string, minute: number): Activity | undefined {
    const trail = this.#trails.get(symbol);
    if (trail === undefined) return undefined;
    const n = this.#indexFrom(trail, minute);
    const slot = n % this.capacity;
    if (n === trail.count || trail.minutes[slot] !== minute) return undefined;
    return { range: trail.ranges[slot], volumeShare: trail.shares[slot] };
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
  snapshot(neededFrom: ReadonlyMap<string, number>): { prices: TrailSnapshot; activity: ActivitySnapshot } {
    const [prices, activity]: [TrailSnapshot, ActivitySnapshot] = [{}, {}];
    for (const [symbol, trail] of this.#trails) {
      const needed = neededFrom.get(symbol);
      const newest = trail.count - 1;
      const first = needed === undefined ? newest : Math.min(newest, this.#indexFrom(trail, needed));
      const [closes, rest]: [number[], (number | null)[]] = [[], [orNull(trail.usualVolume)]];
      // One more, for the return of the minute before.
      for (let n = Math.max(first - 1, 0, trail.count - this.capacity); n < trail.count; n++) {
        const slot = n % this.capacity;
        closes.push(trail.minutes[slot], trail.closes[slot]);
        rest.push(orNull(trail.ranges[slot]), orNull(trail.shares[slot]));
      }
      prices[symbol] = closes;
      activity[symbol] = rest;
    }
    return { prices, activity };
  }

  /**
   * Takes up a snapshot in place of what it holds.
   * @param activity undefined in one that was written before there was any
   * @returns false, and holds nothing, for something that is none
   */
  restore(prices: unknown, activity: unknown = {}): boolean {
    this.#trails.clear();
    if (!isRecordOf(prices, isPairs) || !isRecordOf(activity, isActivity)) return false;
    for (const [symbol, pairs] of Object.entries(prices)) {
      const trail = this.#trailOf(symbol);
      const [usual, ...rest] = activity[symbol] ?? [];
      for (let i = 0; i < pairs.length; i += 2)
        this.#append(trail, pairs[i], pairs[i + 1], rest[i] ?? Number.NaN, rest[i + 1] ?? Number.NaN);
      trail.usualVolume = usual ?? Number.NaN;
    }
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

const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value);

const isRecordOf = <T>(value: unknown, is: (it: unknown) => it is T): value is Record<string, T> =>
  typeof value === 'object' && value !== null && Object.values(value).every(is);
const isPairs = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length % 2 === 0 && value.every((it) => Number.isFinite(it));
const isActivity = (value: unknown): value is (number | null)[] =>
  Array.isArray(value) && value.every((it) => it === null || Number.isFinite(it));
