/** One call at a time, and none after the end: the rule of `KernelNetwork`, kept the same way by every kernel. */
import { BarcastError } from '../base/index.ts';

export class CallGuard {
  readonly #subject: string;
  #running: string | undefined;
  #closed = false;

  /** @param subject what is guarded, for the messages: 'this network' */
  constructor(subject: string) {
    this.#subject = subject;
  }

  /**
   * Runs `work` as the only call. It holds the guard at least until the next turn of the microtask queue, so that
   * overlapping calls are refused even where the work itself never waits.
   * @throws BARCAST_E_INTERNAL when another call still runs or the subject is closed
   */
  async run<T>(call: string, work: () => T | Promise<T>): Promise<T> {
    this.#refuseClosed(call);
    this.#refuseRunning(call);
    this.#running = call;
    try {
      return await work();
    } finally {
      this.#running = undefined;
    }
  }

  /** Closes; answers false when it was closed before. @throws BARCAST_E_INTERNAL while a call runs */
  close(): boolean {
    if (this.#closed) return false;
    this.#refuseRunning('close');
    this.#closed = true;
    return true;
  }

  #refuseClosed(call: string): void {
    if (this.#closed) {
      throw new BarcastError(
        'BARCAST_E_INTERNAL',
        `${call} was called after ${this.#subject} was closed`,
        'create another one first',
      );
    }
  }

  #refuseRunning(call: string): void {
    if (this.#running !== undefined) {
      throw new BarcastError(
        'BARCAST_E_INTERNAL',
        `${call} was called while ${this.#running} of ${this.#subject} still runs`,
        'await each call before the next',
      );
    }
  }
}
