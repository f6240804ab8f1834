/** How often a server lets itself be asked: a token bucket that saves up for a second. */
export class Allowance {
  readonly #perSecond: number;
  readonly #now: () => number;
  #tokens: number;
  #at: number;

  /** @param now milliseconds of a steady clock */
  constructor(perSecond: number, now = () => performance.now()) {
    this.#perSecond = perSecond;
    this.#now = now;
    this.#tokens = Math.max(1, perSecond);
    this.#at = now();
  }

  /** Undefined when one more request is granted, otherwise the whole seconds until the next one is. */
  take(): number | undefined {
    const now = this.#now();
    const saved = this.#tokens + ((now - this.#at) * this.#perSecond) / 1000;
    this.#tokens = Math.min(Math.max(1, this.#perSecond), saved);
    this.#at = now;
    if (this.#tokens < 1) return Math.max(1, Math.ceil((1 - this.#tokens) / this.#perSecond));
    this.#tokens--;
    return undefined;
  }
}
