/**
 * The source's clock. A simulated exchange tells its time and speed in the headers of every answer; between answers
 * time goes on from there at that speed. Other servers tell the date of their answer to the second: while this
 * machine's clock agrees it is used, and where it is wrong by more than half a minute the server's is.
 */
import { type Clock, type EpochMs, epochMs, isoOf, systemClock } from '../../base/index.ts';

/** Beyond this a clock is wrong; a slow answer is not. */
const TOLERATED_MS = 30_000;

export class AnswerClock implements Clock {
  readonly #given: Clock;
  #told: { readonly market: number; readonly real: number } | undefined;
  #speed = 1;
  #warning: string | undefined;

  constructor(given: Clock = systemClock) {
    this.#given = given;
  }

  now(): EpochMs {
    if (this.#told === undefined) return this.#given.now();
    return epochMs(Math.floor(this.#told.market + (performance.now() - this.#told.real) * this.#speed));
  }

  /** Market seconds in a real second. */
  get speed(): number {
    return this.#speed;
  }

  /** What a user should know of the clock of this machine, if it is wrong. */
  get warning(): string | undefined {
    return this.#warning;
  }

  /** Takes the time from an answer's headers. Returns the market's time; undefined when it does not tell it. */
  observe(headers: Headers): EpochMs | undefined {
    const market = Date.parse(headers.get('x-market-time') ?? '');
    if (Number.isNaN(market)) {
      this.#compare(headers);
      return undefined;
    }
    const speed = Number(headers.get('x-market-speed') ?? 1);
    this.#speed = speed > 0 ? speed : 1;
    this.#told = { market, real: performance.now() };
    return epochMs(market);
  }

  #compare(headers: Headers): void {
    if (this.#given !== systemClock) return;
    // A cached answer's date is old by its age.
    const date = Date.parse(headers.get('date') ?? '') + 1000 * Number(headers.get('age') ?? 0);
    const here = this.#given.now();
    if (Number.isNaN(date) || Math.abs(date - here) <= TOLERATED_MS) return;
    this.#told = { market: date, real: performance.now() };
    this.#warning = `this machine's clock says ${isoOf(here)}, the server's ${isoOf(epochMs(date))}: the server's is used; set this machine's clock`;
  }
}
