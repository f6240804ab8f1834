/** Text that comes in pieces, cut anywhere, line by line: what the readers of CSV and NDJSON have in common. */
import type { TradeBatch } from './batch.ts';
import { badTrades } from './fields.ts';
import { NEWLINE } from './scan.ts';

export abstract class LineReader {
  readonly #where: string;
  #rest: Buffer = Buffer.alloc(0);
  #line = 0;

  /** @param where named in errors */
  constructor(where: string) {
    this.#where = where;
  }

  /** Takes the line from `start` to `end`, without its newline. @throws Error saying what is wrong with it */
  protected abstract takeLine(buffer: Buffer, start: number, end: number, batch: TradeBatch): void;

  /** Adds the trades of the lines that are whole. @throws BARCAST_E_FILE_FORMAT naming the line */
  push(chunk: Buffer, batch: TradeBatch): void {
    const buffer = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let start = 0;
    for (let end = buffer.indexOf(NEWLINE); end >= 0; end = buffer.indexOf(NEWLINE, start)) {
      this.#take(buffer, start, end, batch);
      start = end + 1;
    }
    this.#rest = buffer.subarray(start);
  }

  /** Takes a last line without an end. @throws BARCAST_E_FILE_FORMAT */
  finish(batch: TradeBatch): void {
    const rest = this.#rest;
    this.#rest = Buffer.alloc(0);
    if (rest.length > 0) this.#take(rest, 0, rest.length, batch);
  }

  #take(buffer: Buffer, start: number, end: number, batch: TradeBatch): void {
    this.#line++;
    try {
      this.takeLine(buffer, start, end, batch);
    } catch (error) {
      throw badTrades(`${this.#where}, line ${this.#line}`, (error as Error).message, error);
    }
  }
}
