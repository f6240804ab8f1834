/**
 * Trades as newline-delimited JSON: an object a line, or an array of them (a frame of Alpaca's). Plain lines are read
 * byte by byte, and no object is made for them; whatever is unusual about a line makes `JSON.parse` read it.
 */
import type { SymbolTable, TradeBatch } from './batch.ts';
import { REGULAR, withCondition } from './conditions.ts';
import { addObject, FIELD_NAMES, type TradeField } from './fields.ts';
import { LineReader } from './lines.ts';
import { COMMA, Cursor, idOf, QUOTE, readNumber, readTime } from './scan.ts';

const [OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET, COLON, BACKSLASH, SPACE] = [
  0x7b, 0x7d, 0x5b, 0x5d, 0x3a, 0x5c, 0x20,
];
const [C, THREE, T_TRADE] = [0x43, 0x33, 0x74];

/** A name as it stood at some place of the line before: lines mostly have the same names in the same order. */
interface KnownName {
  readonly bytes: Uint8Array;
  readonly field: TradeField | undefined;
}

export class NdjsonReader extends LineReader {
  readonly #symbols: SymbolTable;
  readonly #cursor = new Cursor();
  readonly #names: KnownName[] = [];

  /** @param where named in errors */
  constructor(symbols: SymbolTable, where: string) {
    super(where);
    this.#symbols = symbols;
  }

  protected override takeLine(buffer: Buffer, start: number, end: number, batch: TradeBatch): void {
    if (!this.#takePlain(buffer, start, end, batch)) this.#takeAny(buffer.toString('utf8', start, end), batch);
  }

  #takeAny(text: string, batch: TradeBatch): void {
    if (text.trim() === '') return;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new Error('not JSON');
    }
    for (const object of [value].flat()) {
      if (typeof object !== 'object' || object === null) throw new Error('not a JSON object');
      addObject(batch, this.#symbols, object as Record<string, unknown>);
    }
  }

  /** Whether the line was a plain trade, and is taken. */
  #takePlain(buffer: Buffer, start: number, end: number, batch: TradeBatch): boolean {
    if (buffer[start] !== OPEN_BRACE) return false;
    const cursor = this.#cursor;
    let symbol = -1;
    let time = Number.NaN;
    let price = Number.NaN;
    let size = Number.NaN;
    let id = Number.NaN;
    let isUtp = false;
    let conditionsAt = -1;
    let conditionsEnd = -1;
    let at = start + 1;
    for (let place = 0; ; place++) {
      while (buffer[at] === SPACE) at++;
      if (buffer[at] !== QUOTE) return false;
      const nameAt = at + 1;
      let nameEnd = nameAt;
      while (nameEnd < end && buffer[nameEnd] !== QUOTE) nameEnd++;
      if (nameEnd === end) return false;
      const field = this.#fieldOf(buffer, nameAt, nameEnd, place);
      at = nameEnd + 1;
      while (buffer[at] === SPACE) at++;
      if (buffer[at++] !== COLON) return false;
      while (buffer[at] === SPACE) at++;
      const first = buffer[at];
      let from = at;
      let to: number;
      if (first === QUOTE) {
        from = at + 1;
        to = from;
        while (to < end && buffer[to] !== QUOTE) if (buffer[to++] === BACKSLASH) return false;
        at = to + 1;
      } else if (first === OPEN_BRACKET) {
        to = at + 1;
        while (to < end && buffer[to] !== CLOSE_BRACKET) {
          if (buffer[to] === OPEN_BRACKET || buffer[to] === OPEN_BRACE) return false;
          to++;
        }
        at = to + 1;
      } else if (first === OPEN_BRACE) return false;
      else {
        to = at;
        while (to < end && buffer[to] !== COMMA && buffer[to] !== CLOSE_BRACE && buffer[to] !== SPACE) to++;
        at = to;
      }
      if (at > end) return false;
      switch (field) {
        case 'symbol':
          if (first !== QUOTE) return false;
          symbol = this.#symbols.numberOfBytes(buffer, from, to);
          break;
        case 'time':
          time = readTime(buffer, from, to, cursor);
          break;
        case 'price':
          price = readNumber(buffer, from, to, cursor);
          if (cursor.at !== to) return false;
          break;
        case 'size':
          size = readNumber(buffer, from, to, cursor);
          if (cursor.at !== to) return false;
          break;
        case 'id':
          id = readNumber(buffer, from, to, cursor);
          if (cursor.at !== to || !Number.isSafeInteger(id)) id = idOf(buffer.toString('latin1', from, to));
          break;
        case 'conditions':
          if (first !== QUOTE && first !== OPEN_BRACKET) return false;
          conditionsAt = from;
          conditionsEnd = to;
          break;
        case 'tape':
          isUtp = to === from + 1 && (buffer[from] === C || buffer[from] === THREE);
          break;
        case 'type':
          if (to !== from + 1 || buffer[from] !== T_TRADE) return false;
          break;
        case 'action':
          return false;
        default:
      }
      while (buffer[at] === SPACE) at++;
      if (buffer[at] === CLOSE_BRACE) break;
      if (buffer[at++] !== COMMA) return false;
    }
    if (symbol < 0 || Number.isNaN(time)) return false;
    let rule = REGULAR;
    for (let i = conditionsAt; i < conditionsEnd; i++) {
      const code = buffer[i];
      if (code === QUOTE || code === OPEN_BRACKET || code === COMMA || code === SPACE) continue;
      // A number of several digits is not a code for each.
      if (code <= 0x39 && code >= 0x30 && buffer[i + 1] <= 0x39 && buffer[i + 1] >= 0x30) return false;
      rule = withCondition(rule, code, isUtp);
    }
    batch.add(symbol, time, price, size, rule, id);
    return true;
  }

  #fieldOf(buffer: Buffer, start: number, end: number, place: number): TradeField | undefined {
    const known = this.#names[place];
    if (known !== undefined && known.bytes.length === end - start) {
      let i = 0;
      while (i < known.bytes.length && known.bytes[i] === buffer[start + i]) i++;
      if (i === known.bytes.length) return known.field;
    }
    const name = buffer.toString('utf8', start, end);
    const field = Object.hasOwn(FIELD_NAMES, name) ? FIELD_NAMES[name] : undefined;
    this.#names[place] = { bytes: Uint8Array.prototype.slice.call(buffer, start, end), field };
    return field;
  }
}
