/**
 * Trades to one-minute bars, with a watermark: a symbol's minute is closed when a trade of it has come that is more
 * than `latenessMs` younger than the minute's end, or when the caller says what time it is. Until then trades may come
 * in any order; what comes later is counted and changes nothing.
 *
 * Which trades set what is in `conditions.ts`. Open is the price of the earliest trade by its own time (of several with
 * one time, the first to come), close that of the latest (the last to come). VWAP is over the trades that may set high
 * and low, since the others' prices are not the market's; the number of trades is that of those that count in the
 * volume. A minute whose trades set no price has no bar.
 *
 * No object is made for a trade. Memory: 100 bytes an open minute of a symbol, and with `corrections` 49 a trade of an
 * open minute.
 */
import { MS_PER_MINUTE } from '../../base/index.ts';
import { BarColumns, type TradeBars } from './bar-columns.ts';
import type { Trades } from './batch.ts';
import { CANCEL, CORRECT, HIGH_LOW, LAST, LAST_IF_ONLY, UNKNOWN_CONDITION, VOLUME } from './conditions.ts';
import { KeptTrades } from './kept-trades.ts';

/** What became of trades. */
export interface TradeCounts {
  /** All that came, corrections included. */
  trades: number;
  /** After their minute was closed; they change nothing. */
  late: number;
  /** Younger than the clock allows; refused. */
  ahead: number;
  /** Without a positive price, or with a negative size or none; refused. */
  invalid: number;
  /** Conditions that are not in the table: counted in the volume, and no price of theirs is taken. */
  unknownConditions: number;
  /** Trades of minutes whose trades set no price. */
  unpriced: number;
  cancelled: number;
  corrected: number;
  /** Cancels and corrections of a trade that is not there, or whose minute was closed. */
  unmatched: number;
  bars: number;
}

export interface BuilderOptions {
  /** How much later than a younger trade of its symbol a trade may come; default 5 s. */
  readonly latenessMs?: number;
  /** Keep the trades of open minutes, so that they can be cancelled and corrected. */
  readonly corrections?: boolean;
  /** Trades beyond this time are refused: a wrong time would close every minute before it. Default: none are. */
  readonly notAfterMs?: () => number;
}

/** Numbers by slot: one slot for each minute of a symbol that may be open, found by minute modulo their number. */
const SLOT_FIELDS = 13;
const [OPEN, HIGH, LOW, CLOSE, VOLUME_SUM, COUNT, NOTIONAL, PRICED, FIRST_AT, LAST_AT, ONLY_OPEN, ONLY_CLOSE, ONLY_AT] =
  Array.from({ length: SLOT_FIELDS }, (_, field) => field);
const NO_MINUTE = -(2 ** 31);

export class TradeBuilder {
  readonly counts: TradeCounts = {
    trades: 0,
    late: 0,
    ahead: 0,
    invalid: 0,
    unknownConditions: 0,
    unpriced: 0,
    cancelled: 0,
    corrected: 0,
    unmatched: 0,
    bars: 0,
  };
  readonly #latenessMs: number;
  readonly #notAfterMs: (() => number) | undefined;
  /** Slots of a symbol: a power of two. */
  readonly #ring: number;
  #symbols = 0;
  /** By symbol: its youngest trade, when its oldest open minute is due, and the first minute not closed. */
  #youngest = new Float64Array(0);
  #dueAt = new Float64Array(0);
  #openFrom = new Int32Array(0);
  /** By slot. */
  #minute = new Int32Array(0);
  #slots = new Float64Array(0);
  /** All minutes before it are closed. */
  #closedTo = NO_MINUTE;
  readonly #kept: KeptTrades | undefined;
  #bars = new BarColumns(1024);

  constructor({ latenessMs = 5000, corrections = false, notAfterMs }: BuilderOptions = {}) {
    this.#latenessMs = latenessMs;
    this.#notAfterMs = notAfterMs;
    this.#ring = 2 ** Math.ceil(Math.log2(Math.ceil(latenessMs / MS_PER_MINUTE) + 2));
    this.#kept = corrections ? new KeptTrades() : undefined;
  }

  /** Takes trades in the order of their arrival. */
  push(trades: Trades): void {
    const { symbol, timeMs, price, size, rule, id, count } = trades;
    const { counts } = this;
    counts.trades += count;
    const notAfter = this.#notAfterMs?.() ?? Number.POSITIVE_INFINITY;
    for (let i = 0; i < count; i++) {
      const s = symbol[i];
      const time = timeMs[i];
      const rules = rule[i];
      if (s >= this.#symbols) this.#grow(s + 1);
      if ((rules & (CANCEL | CORRECT)) !== 0) {
        this.#correct(s, id[i], price[i], size[i], rules);
        continue;
      }
      if (!(price[i] > 0 && price[i] < Number.POSITIVE_INFINITY && size[i] >= 0 && time > 0)) {
        counts.invalid++;
        continue;
      }
      if (time > notAfter) {
        counts.ahead++;
        continue;
      }
      const minute = Math.floor(time / MS_PER_MINUTE);
      if (time > this.#youngest[s]) {
        this.#youngest[s] = time;
        if (time >= this.#dueAt[s]) this.#close(s, Math.floor((time - this.#latenessMs) / MS_PER_MINUTE));
      } else if ((minute + 1) * MS_PER_MINUTE <= this.#youngest[s] - this.#latenessMs) {
        counts.late++;
        continue;
      }
      if (minute < this.#openFrom[s] || minute < this.#closedTo) {
        counts.late++;
        continue;
      }
      if ((rules & UNKNOWN_CONDITION) !== 0) counts.unknownConditions++;
      this.#apply(this.#slotOf(s, minute), time, price[i], size[i], rules);
      this.#kept?.add(s, minute, time, price[i], size[i], rules, id[i]);
    }
    this.#kept?.trim(this.#openFrom, this.#closedTo);
  }

  /** Closes every minute that ended `latenessMs` before the given time. */
  advance(timeMs: number): void {
    const to = Math.floor((timeMs - this.#latenessMs) / MS_PER_MINUTE);
    if (to <= this.#closedTo) return;
    this.#closedTo = to;
    for (let s = 0; s < this.#symbols; s++) this.#close(s, to);
  }

  /** Closes every minute. */
  finish(): void {
    for (let s = 0; s < this.#symbols; s++) this.#close(s, Number.POSITIVE_INFINITY);
  }

  /** The bars that have closed since the last call, which may be used until the next one. */
  drain(): TradeBars {
    const bars = this.#bars;
    this.#bars = new BarColumns(Math.max(1024, bars.count));
    return bars;
  }

  get closedBars(): number {
    return this.#bars.count;
  }

  #slotOf(s: number, minute: number): number {
    const slot = s * this.#ring + (minute & (this.#ring - 1));
    if (this.#minute[slot] === minute) return slot;
    this.#minute[slot] = minute;
    this.#clear(slot);
    const dueAt = (minute + 1) * MS_PER_MINUTE + this.#latenessMs;
    if (dueAt < this.#dueAt[s]) this.#dueAt[s] = dueAt;
    return slot;
  }

  #clear(slot: number): void {
    const at = slot * SLOT_FIELDS;
    const slots = this.#slots;
    slots.fill(0, at, at + SLOT_FIELDS);
    slots[at + HIGH] = slots[at + LAST_AT] = slots[at + ONLY_AT] = Number.NEGATIVE_INFINITY;
    slots[at + LOW] = slots[at + FIRST_AT] = Number.POSITIVE_INFINITY;
  }

  #apply(slot: number, time: number, price: number, size: number, rules: number): void {
    const at = slot * SLOT_FIELDS;
    const slots = this.#slots;
    if ((rules & VOLUME) !== 0) {
      slots[at + VOLUME_SUM] += size;
      slots[at + COUNT]++;
    }
    if ((rules & HIGH_LOW) !== 0) {
      if (price > slots[at + HIGH]) slots[at + HIGH] = price;
      if (price < slots[at + LOW]) slots[at + LOW] = price;
      if ((rules & VOLUME) !== 0) {
        slots[at + NOTIONAL] += price * size;
        slots[at + PRICED] += size;
      }
    }
    if ((rules & LAST) !== 0) {
      if (time < slots[at + FIRST_AT]) {
        slots[at + FIRST_AT] = time;
        slots[at + OPEN] = price;
      }
      if (time >= slots[at + LAST_AT]) {
        slots[at + LAST_AT] = time;
        slots[at + CLOSE] = price;
      }
    } else if ((rules & LAST_IF_ONLY) !== 0) {
      // In the order of their coming: such a trade's own time is what is doubtful about it.
      if (slots[at + ONLY_AT] === Number.NEGATIVE_INFINITY) slots[at + ONLY_OPEN] = price;
      slots[at + ONLY_AT] = time;
      slots[at + ONLY_CLOSE] = price;
    }
  }

  /** Closes the minutes of a symbol before `to`, in order. */
  #close(s: number, to: number): void {
    const first = s * this.#ring;
    if (this.#dueAt[s] < Number.POSITIVE_INFINITY) {
      const open: number[] = [];
      let oldest = Number.POSITIVE_INFINITY;
      for (let slot = first; slot < first + this.#ring; slot++) {
        const minute = this.#minute[slot];
        if (minute === NO_MINUTE) continue;
        if (minute < to) open.push(slot);
        else oldest = Math.min(oldest, minute);
      }
      if (open.length > 1) open.sort((a, b) => this.#minute[a] - this.#minute[b]);
      for (const slot of open) this.#emit(s, slot);
      this.#dueAt[s] = (oldest + 1) * MS_PER_MINUTE + this.#latenessMs;
    }
    if (to > this.#openFrom[s]) this.#openFrom[s] = Math.min(to, 2 ** 31 - 1);
  }

  #emit(s: number, slot: number): void {
    const at = slot * SLOT_FIELDS;
    const slots = this.#slots;
    const minute = this.#minute[slot];
    this.#minute[slot] = NO_MINUTE;
    const hasLast = slots[at + LAST_AT] > Number.NEGATIVE_INFINITY;
    if (!hasLast && slots[at + ONLY_AT] === Number.NEGATIVE_INFINITY) {
      this.counts.unpriced += slots[at + COUNT];
      return;
    }
    const open = slots[at + (hasLast ? OPEN : ONLY_OPEN)];
    const close = slots[at + (hasLast ? CLOSE : ONLY_CLOSE)];
    const high = Math.max(slots[at + HIGH], open, close);
    const low = Math.min(slots[at + LOW], open, close);
    const vwap = slots[at + PRICED] > 0 ? slots[at + NOTIONAL] / slots[at + PRICED] : Number.NaN;
    this.#bars.add(s, minute, open, high, low, close, slots[at + VOLUME_SUM], slots[at + COUNT], vwap);
    this.counts.bars++;
  }

  #correct(s: number, id: number, price: number, size: number, rules: number): void {
    const row = this.#kept?.find(s, id) ?? -1;
    const minute = row < 0 ? NO_MINUTE : this.#kept!.minute[row];
    const sound = (rules & CANCEL) !== 0 || (price > 0 && size >= 0);
    if (row < 0 || minute < this.#openFrom[s] || minute < this.#closedTo || !sound) {
      this.counts.unmatched++;
      return;
    }
    if ((rules & CANCEL) !== 0) this.counts.cancelled++;
    else this.counts.corrected++;
    this.#kept!.replace(row, price, size, (rules & CANCEL) !== 0 ? 0 : rules & ~CORRECT);
    const slot = this.#slotOf(s, minute);
    this.#clear(slot);
    this.#kept!.forEachOf(s, minute, (time, p, q, r) => this.#apply(slot, time, p, q, r));
  }

  #grow(least: number): void {
    const symbols = Math.max(least, 2 * this.#symbols, 64);
    const grown = <A extends Int32Array | Float64Array>(old: A, fresh: A): A => {
      fresh.set(old);
      return fresh;
    };
    this.#youngest = grown(this.#youngest, new Float64Array(symbols));
    this.#dueAt = grown(this.#dueAt, new Float64Array(symbols).fill(Number.POSITIVE_INFINITY));
    this.#openFrom = grown(this.#openFrom, new Int32Array(symbols).fill(NO_MINUTE));
    this.#minute = grown(this.#minute, new Int32Array(symbols * this.#ring).fill(NO_MINUTE));
    this.#slots = grown(this.#slots, new Float64Array(symbols * this.#ring * SLOT_FIELDS));
    this.#symbols = symbols;
  }
}
