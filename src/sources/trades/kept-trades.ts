/** The trades of minutes that are still open, from which a bar is made anew when one is cancelled or corrected. */

/** In the order of their arrival. */
export class KeptTrades {
  #count = 0;
  #trimAt = 1 << 16;
  symbol = new Int32Array(1 << 16);
  minute = new Int32Array(1 << 16);
  #time = new Float64Array(1 << 16);
  #price = new Float64Array(1 << 16);
  #size = new Float64Array(1 << 16);
  #rule = new Uint8Array(1 << 16);
  #id = new Float64Array(1 << 16);

  add(symbol: number, minute: number, time: number, price: number, size: number, rule: number, id: number): void {
    const at = this.#count++;
    if (at === this.symbol.length) this.#resize(2 * at);
    this.symbol[at] = symbol;
    this.minute[at] = minute;
    this.#time[at] = time;
    this.#price[at] = price;
    this.#size[at] = size;
    this.#rule[at] = rule;
    this.#id[at] = id;
  }

  /** The youngest trade of that name, or -1. */
  find(symbol: number, id: number): number {
    for (let row = this.#count - 1; row >= 0; row--)
      if (this.#id[row] === id && this.symbol[row] === symbol) return row;
    return -1;
  }

  replace(row: number, price: number, size: number, rule: number): void {
    this.#price[row] = price;
    this.#size[row] = size;
    this.#rule[row] = rule;
    if (rule === 0) this.#id[row] = Number.NaN;
  }

  forEachOf(
    symbol: number,
    minute: number,
    take: (time: number, price: number, size: number, rule: number) => void,
  ): void {
    for (let row = 0; row < this.#count; row++) {
      if (this.symbol[row] === symbol && this.minute[row] === minute)
        take(this.#time[row], this.#price[row], this.#size[row], this.#rule[row]);
    }
  }

  /** Forgets the trades of closed minutes, when enough have gathered to be worth it. */
  trim(openFrom: Int32Array, closedTo: number): void {
    if (this.#count < this.#trimAt) return;
    let kept = 0;
    for (let row = 0; row < this.#count; row++) {
      const minute = this.minute[row];
      if (minute < closedTo || minute < openFrom[this.symbol[row]]) continue;
      for (const column of [this.symbol, this.minute, this.#time, this.#price, this.#size, this.#rule, this.#id])
        column[kept] = column[row];
      kept++;
    }
    this.#count = kept;
    this.#trimAt = Math.max(1 << 16, 2 * kept);
  }

  #resize(capacity: number): void {
    const grown = <A extends Int32Array | Float64Array | Uint8Array>(old: A, fresh: A): A => {
      fresh.set(old);
      return fresh;
    };
    this.symbol = grown(this.symbol, new Int32Array(capacity));
    this.minute = grown(this.minute, new Int32Array(capacity));
    this.#time = grown(this.#time, new Float64Array(capacity));
    this.#price = grown(this.#price, new Float64Array(capacity));
    this.#size = grown(this.#size, new Float64Array(capacity));
    this.#rule = grown(this.#rule, new Uint8Array(capacity));
    this.#id = grown(this.#id, new Float64Array(capacity));
  }
}
