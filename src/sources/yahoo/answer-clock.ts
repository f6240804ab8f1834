/**
 * The source's clock. A simulated exchange tells its time and speed in the headers of every answer; between answers
 * time goes on from there at that speed. Yahoo tells nothing: then it is the system's clock, or the one given.
 */
import { type Clock, type EpochMs, epochMs, systemClock } from '../../base/index.ts';

export class AnswerClock implements Clock {
  readonly #given: Clock;
  #told: { readonly market: number; readonly real: number } | undefined;
  #speed = 1;

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

  /** Whether the answers tell the time. */
  get isTold(): boolean {
    return this.#told !== undefined;
  }

  /** Takes the time from an answer's headers; undefined when they have none. */
  observe(headers: Headers): EpochMs | undefined {
    const market = Date.parse(headers.get('x-market-time') ?? '');
    if (Number.isNaN(market)) return undefined;
    const speed = Number(headers.get('x-market-speed') ?? 1);
    this.#speed = speed > 0 ? speed : 1;
    this.#told = { market, real: performance.now() };
    return epochMs(market);
  }
}
