/** Trades in columns, and the symbols that they are numbered by. */
import { parseSymbol } from '../../bars/index.ts';

/** Trades in the order of their arrival. */
export interface Trades {
  readonly count: number;
  /** Number of the symbol in a {@link SymbolTable}. */
  readonly symbol: Int32Array;
  /** Milliseconds since 1970, with fractions where the source has them. */
  readonly timeMs: Float64Array;
  readonly price: Float64Array;
  /** Shares. */
  readonly size: Float64Array;
  /** See `conditions.ts`. */
  readonly rule: Uint8Array;
  /** What corrections name a trade by, unique within a symbol and a day; NaN for none. */
  readonly id: Float64Array;
}

/** Trades that are still coming in. */
export class TradeBatch implements Trades {
  count = 0;
  symbol = new Int32Array(0);
  timeMs = new Float64Array(0);
  price = new Float64Array(0);
  size = new Float64Array(0);
  rule = new Uint8Array(0);
  id = new Float64Array(0);

  constructor(capacity = 1 << 16) {
    this.#resize(capacity);
  }

  add(symbol: number, timeMs: number, price: number, size: number, rule: number, id: number): void {
    const at = this.count;
    if (at === this.symbol.length) this.#resize(2 * at);
    this.symbol[at] = symbol;
    this.timeMs[at] = timeMs;
    this.price[at] = price;
    this.size[at] = size;
    this.rule[at] = rule;
    this.id[at] = id;
    this.count = at + 1;
  }

  clear(): void {
    this.count = 0;
  }

  #resize(capacity: number): void {
    const grow = <A extends Int32Array | Float64Array | Uint8Array>(old: A, fresh: A): A => {
      fresh.set(old);
      return fresh;
    };
    this.symbol = grow(this.symbol, new Int32Array(capacity));
    this.timeMs = grow(this.timeMs, new Float64Array(capacity));
    this.price = grow(this.price, new Float64Array(capacity));
    this.size = grow(this.size, new Float64Array(capacity));
    this.rule = grow(this.rule, new Uint8Array(capacity));
    this.id = grow(this.id, new Float64Array(capacity));
  }
}

/** Symbols by number. Spellings of one symbol have one number. */
export class SymbolTable {
  /** Canonical, by number. */
  readonly names: string[] = [];
  readonly #numbers = new Map<string, number>();
  /** Spellings as bytes, found by their hash: -1 or a place in `#spellings`. */
  #slots = new Int32Array(1024).fill(-1);
  readonly #spellings: { readonly bytes: Uint8Array; readonly number: number }[] = [];

  /** @throws BARCAST_E_SYMBOL */
  numberOf(text: string): number {
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    const name = parseSymbol(text);
    let number = this.#numbers.get(name);
    if (number === undefined) {
      number = this.names.length;
      this.names.push(name);
      this.#numbers.set(name, number);
    }
    this.#numbers.set(text, number);
    return number;
  }

  /** The same of the bytes from `start` to `end`; nothing is made for a spelling that came before. @throws BARCAST_E_SYMBOL */
  numberOfBytes(buffer: Uint8Array, start: number, end: number): number {
    let hash = 0x811c9dc5;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ buffer[i], 0x01000193);
    const mask = this.#slots.length - 1;
    let slot = (hash ^ (hash >>> 15)) & mask;
    for (; this.#slots[slot] >= 0; slot = (slot + 1) & mask) {
      const { bytes, number } = this.#spellings[this.#slots[slot]];
      if (bytes.length === end - start && sameBytes(bytes, buffer, start)) return number;
    }
    const bytes = buffer.slice(start, end);
    const number = this.numberOf(Buffer.from(bytes).toString('latin1'));
    this.#slots[slot] = this.#spellings.length;
    this.#spellings.push({ bytes, number });
    if (2 * this.#spellings.length > this.#slots.length) this.#rehash();
    return number;
  }

  #rehash(): void {
    const slots = new Int32Array(2 * this.#slots.length).fill(-1);
    for (const [place, { bytes }] of this.#spellings.entries()) {
      let hash = 0x811c9dc5;
      for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
      let slot = (hash ^ (hash >>> 15)) & (slots.length - 1);
      while (slots[slot] >= 0) slot = (slot + 1) & (slots.length - 1);
      slots[slot] = place;
    }
    this.#slots = slots;
  }
}

function sameBytes(bytes: Uint8Array, buffer: Uint8Array, start: number): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== buffer[start + i]) return false;
  return true;
}
