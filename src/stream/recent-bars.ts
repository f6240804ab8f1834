/** The last bars of every symbol in memory, a ring of columns each: 44 bytes a bar. Bars without usable prices are left out. */

import type { Bar } from '../bars/index.ts';
import { epochMinute } from '../base/index.ts';
import { isUsable } from '../features/index.ts';

interface Ring {
  readonly minute: Int32Array;
  /** open, high, low, close, volume of slot s from 5s on */
  readonly values: Float64Array;
  /** Bars ever added; slot of bar n is n % capacity. */
  count: number;
}

/** Symbols kept at most, twice what a whole market has: a flood of made-up symbols must not fill the memory. */
export const MOST_SYMBOLS = 30_000;

export class RecentBars {
  readonly capacity: number;
  readonly #unusable: boolean;
  readonly #rings = new Map<string, Ring>();

  /**
   * @param capacity bars kept of each symbol; 390 are a whole session
   * @param options whether bars without usable prices are kept too
   */
  constructor(capacity = 390, options: { readonly unusable?: boolean } = {}) {
    this.capacity = capacity;
    this.#unusable = options.unusable ?? false;
  }

  /** Keeps a bar that is newer than all of its symbol. @returns whether it did */
  add(bar: Bar): boolean {
    return this.offer(bar) === 'kept';
  }

  /** Keeps a bar that is newer than all of its symbol. @returns what became of it; `refused`: no usable prices, or one symbol too many */
  offer(bar: Bar): 'kept' | 'repeated' | 'late' | 'refused' {
    const { minute, open, high, low, close, volume } = bar;
    if (!this.#unusable && !isUsable(open, high, low, close, volume)) return 'refused';
    let ring = this.#rings.get(bar.symbol);
    if (ring === undefined) {
      if (this.#rings.size >= MOST_SYMBOLS) return 'refused';
      ring = { minute: new Int32Array(this.capacity), values: new Float64Array(5 * this.capacity), count: 0 };
      this.#rings.set(bar.symbol, ring);
    }
    const newest = ring.count === 0 ? Number.NEGATIVE_INFINITY : ring.minute[(ring.count - 1) % this.capacity];
    if (minute <= newest) return minute === newest ? 'repeated' : 'late';
    const slot = ring.count % this.capacity;
    const { values } = ring;
    ring.minute[slot] = minute;
    values[5 * slot] = open;
    values[5 * slot + 1] = high;
    values[5 * slot + 2] = low;
    values[5 * slot + 3] = close;
    values[5 * slot + 4] = volume;
    ring.count++;
    return 'kept';
  }

  symbols(): string[] {
    return [...this.#rings.keys()];
  }

  /** The newest `limit` bars of a symbol, oldest first. */
  list(symbol: string, limit = this.capacity): Bar[] {
    const ring = this.#rings.get(symbol);
    if (ring === undefined) return [];
    const bars: Bar[] = [];
    for (let n = Math.max(0, ring.count - Math.min(limit, this.capacity)); n < ring.count; n++) {
      const slot = n % this.capacity;
      const [open, high, low, close, volume] = ring.values.subarray(5 * slot, 5 * slot + 5);
      bars.push({ symbol, minute: epochMinute(ring.minute[slot]), open, high, low, close, volume });
    }
    return bars;
  }
}
