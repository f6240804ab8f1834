/** Notices when nothing has come for a while. */
export class Silence {
  readonly #ms: number;
  readonly #tell: () => void;
  #timer: NodeJS.Timeout | undefined;

  /** @param tell called once after `ms` without another {@link listen} or {@link stop} */
  constructor(ms: number, tell: () => void) {
    this.#ms = ms;
    this.#tell = tell;
  }

  /** Begins to wait, from now. */
  listen(): void {
    this.stop();
    const timer = setTimeout(() => {
      // A process that stood still runs its timers first: what has come meanwhile is read before it counts as silence.
      setImmediate(() => {
        if (this.#timer === timer) this.#tell();
      });
    }, this.#ms);
    this.#timer = timer;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
