/**
 * The distinct minutes of a set of windows, in order: what the bootstrap resamples and the ridge splits on. Windows
 * may come in any order. A New York session lies within one UTC day, so days are counted in UTC.
 */

const MINUTES_PER_DAY = 1440;

export interface MinuteIndex {
  /** `[M]` distinct minutes, ascending (EpochMinute). */
  readonly minutes: Int32Array;
  /** `[N]` each window's place in `minutes`. */
  readonly slot: Int32Array;
  /** `[M]` windows of each minute. */
  readonly count: Int32Array;
  /** Distinct UTC days. */
  readonly days: number;
}

/** Indexes `asOf` `[N]` (EpochMinute). O(N + days x 1440), whatever span of years the windows cover. */
export function indexMinutes(asOf: Int32Array): MinuteIndex {
  const pages = new Map<number, Int32Array>();
  let day = Number.NaN;
  let page: Int32Array = new Int32Array(0);
  const turnTo = (wanted: number): void => {
    day = wanted;
    const known = pages.get(wanted);
    page = known ?? new Int32Array(MINUTES_PER_DAY);
    if (known === undefined) pages.set(wanted, page);
  };
  for (let i = 0; i < asOf.length; i++) {
    const wanted = Math.floor(asOf[i] / MINUTES_PER_DAY);
    if (wanted !== day) turnTo(wanted);
    page[asOf[i] - wanted * MINUTES_PER_DAY]++;
  }

  const minutes: number[] = [];
  const count: number[] = [];
  for (const [start, counts] of [...pages].sort((a, b) => a[0] - b[0])) {
    for (let minute = 0; minute < MINUTES_PER_DAY; minute++) {
      if (counts[minute] === 0) continue;
      count.push(counts[minute]);
      counts[minute] = minutes.length;
      minutes.push(start * MINUTES_PER_DAY + minute);
    }
  }

  const slot = new Int32Array(asOf.length);
  for (let i = 0; i < asOf.length; i++) {
    const wanted = Math.floor(asOf[i] / MINUTES_PER_DAY);
    if (wanted !== day) turnTo(wanted);
    slot[i] = page[asOf[i] - wanted * MINUTES_PER_DAY];
  }
  return { minutes: Int32Array.from(minutes), slot, count: Int32Array.from(count), days: pages.size };
}
