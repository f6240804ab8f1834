/** Trades as CSV: a header that names the columns, a trade a line, cells quoted where they must be. */
import type { SymbolTable, TradeBatch } from './batch.ts';
import { REGULAR } from './conditions.ts';
import { actionOf, conditionsOfText, FIELD_NAMES, type TradeField } from './fields.ts';
import { LineReader } from './lines.ts';
import { COMMA, Cursor, idOf, QUOTE, readNumber, readTime } from './scan.ts';

const NEEDED = ['symbol', 'time', 'price', 'size'] as const;
const RETURN = 0x0d;

export class CsvReader extends LineReader {
  readonly #symbols: SymbolTable;
  readonly #symbolOfFile: string | undefined;
  /** Of a file without a column of symbols; else -1. */
  #fileSymbol = -1;
  readonly #cursor = new Cursor();
  #fields: (TradeField | undefined)[] | undefined;
  #conditions = { text: '', isUtp: false, rule: REGULAR };

  /** @param symbolOfFile taken where there is no column of symbols */
  constructor(symbols: SymbolTable, where: string, symbolOfFile?: string) {
    super(where);
    this.#symbols = symbols;
    this.#symbolOfFile = symbolOfFile;
  }

  protected override takeLine(buffer: Buffer, start: number, lineEnd: number, batch: TradeBatch): void {
    const end = lineEnd > start && buffer[lineEnd - 1] === RETURN ? lineEnd - 1 : lineEnd;
    if (this.#fields === undefined) this.#fields = this.#readHeader(buffer.toString('utf8', start, end));
    else if (end > start) this.#takeTrade(buffer, start, end, this.#fields, batch);
  }

  #readHeader(line: string): (TradeField | undefined)[] {
    const names = line
      .replace(/^\uFEFF/, '')
      .split(',')
      .map((name) => name.trim().replace(/^"(.*)"$/, '$1'));
    const fields = names.map((name) => (Object.hasOwn(FIELD_NAMES, name) ? FIELD_NAMES[name] : undefined));
    if (!fields.includes('symbol') && this.#symbolOfFile !== undefined)
      this.#fileSymbol = this.#symbols.numberOf(this.#symbolOfFile);
    const missing = NEEDED.filter((field) => !fields.includes(field) && (field !== 'symbol' || this.#fileSymbol < 0));
    if (missing.length > 0) throw new Error(`no column for ${missing.join(', ')}`);
    return fields;
  }

  #takeTrade(
    buffer: Buffer,
    start: number,
    end: number,
    fields: readonly (TradeField | undefined)[],
    batch: TradeBatch,
  ): void {
    const cursor = this.#cursor;
    let symbol = this.#fileSymbol;
    let time = Number.NaN;
    let price = Number.NaN;
    let size = Number.NaN;
    let id = Number.NaN;
    let action = 0;
    let tape = '';
    let conditions = '';
    let column = 0;
    for (let at = start; at <= end; column++) {
      let from = at;
      let to: number;
      if (buffer[at] === QUOTE) {
        from = at + 1;
        to = from;
        while (to < end && buffer[to] !== QUOTE) to++;
        if (to === end) throw new Error('a quote without its end');
        at = to + 1;
        if (at < end && buffer[at] !== COMMA) throw new Error('a quote within a cell');
      } else {
        to = at;
        while (to < end && buffer[to] !== COMMA) to++;
        at = to;
      }
      at++;
      if (from === to) continue;
      switch (fields[column]) {
        case 'symbol':
          symbol = this.#symbols.numberOfBytes(buffer, from, to);
          break;
        case 'time':
          time = readTime(buffer, from, to, cursor);
          break;
        case 'price':
          price = this.#number(buffer, from, to);
          break;
        case 'size':
          size = this.#number(buffer, from, to);
          break;
        case 'conditions':
          conditions = buffer.toString('latin1', from, to);
          break;
        case 'tape':
          tape = buffer.toString('latin1', from, to);
          break;
        case 'id':
          id = readNumber(buffer, from, to, cursor);
          if (cursor.at !== to || !Number.isSafeInteger(id)) id = idOf(buffer.toString('latin1', from, to));
          break;
        case 'action':
          action = actionOf(buffer.toString('latin1', from, to));
          if (Number.isNaN(action)) throw new Error(`the action ${buffer.toString('latin1', from, to)} is not known`);
          break;
        default:
      }
    }
    if (column !== fields.length) throw new Error(`${column} columns instead of ${fields.length}`);
    if (symbol < 0) throw new Error('a trade without a symbol');
    if (Number.isNaN(time)) throw new Error('a trade without a time, or one that is none');
    batch.add(symbol, time, price, size, this.#ruleOf(conditions, tape === 'C' || tape === '3') | action, id);
  }

  #number(buffer: Buffer, from: number, to: number): number {
    const number = readNumber(buffer, from, to, this.#cursor);
    if (this.#cursor.at === to && !Number.isNaN(number)) return number;
    throw new Error(`${JSON.stringify(buffer.toString('latin1', from, to))} is not a number`);
  }

  /** Most trades have the conditions of the one before. */
  #ruleOf(text: string, isUtp: boolean): number {
    const last = this.#conditions;
    if (last.text === text && last.isUtp === isUtp) return last.rule;
    const rule = text === '' ? REGULAR : conditionsOfText(text, isUtp);
    this.#conditions = { text, isUtp, rule };
    return rule;
  }
}
