/**
 * How requests are spaced and repeated: a gate that all requests of a source pass, and the waits between tries.
 *
 * A wait doubles with every try and is drawn from its upper half ("equal jitter", Brooker, "Exponential backoff and
 * jitter", 2015); a Retry-After is obeyed. A rate limit closes the gate for everybody.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ChartFailure } from './failure.ts';

export interface Patience {
  /** Tries of one request before it is given up. */
  readonly tries: number;
  /** Tries while nothing has ever been answered: a wrong address is told within seconds. */
  readonly firstTries: number;
  readonly firstWaitMs: number;
  readonly longestWaitMs: number;
  /** Requests started in a second, at most; 0 for no limit. */
  readonly requestsPerSecond: number;
}

export const DEFAULT_PATIENCE: Patience = {
  tries: 7,
  firstTries: 3,
  firstWaitMs: 500,
  longestWaitMs: 30_000,
  requestsPerSecond: 0,
};

/** A Retry-After beyond this is not waited for. */
const LONGEST_RETRY_AFTER_MS = 120_000;

export class Gate {
  readonly patience: Patience;
  #opensAt = 0;
  #answered = false;

  constructor(patience: Patience) {
    this.patience = patience;
  }

  /** Whether any request has ever been answered, even by a refusal. */
  get answered(): boolean {
    return this.#answered;
  }

  /** Waits for this request's turn. */
  async pass(signal?: AbortSignal): Promise<void> {
    for (;;) {
      signal?.throwIfAborted();
      const now = performance.now();
      if (now >= this.#opensAt) {
        if (this.patience.requestsPerSecond > 0) this.#opensAt = now + 1000 / this.patience.requestsPerSecond;
        return;
      }
      await pause(this.#opensAt - now, signal);
    }
  }

  /** Notes how a request ended. Returns how long to wait before the next try. */
  note(failure: ChartFailure | undefined, attempt: number): number {
    if (failure === undefined) {
      this.#answered = true;
      return 0;
    }
    if (failure.kind !== 'network' && failure.kind !== 'timeout') this.#answered = true;
    const { firstWaitMs, longestWaitMs } = this.patience;
    const full = Math.min(longestWaitMs, firstWaitMs * 2 ** attempt);
    const wait = failure.retryAfterMs ?? full * (0.5 + 0.5 * Math.random());
    if (failure.kind === 'rate-limited') this.#opensAt = Math.max(this.#opensAt, performance.now() + wait);
    return wait;
  }

  /**
   * Makes a request until it succeeds, fails for good, or has had its tries.
   * @throws ChartFailure the last one
   */
  async persist<T>(request: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      await this.pass(signal);
      try {
        const result = await request();
        this.note(undefined, attempt);
        return result;
      } catch (error) {
        if (!(error instanceof ChartFailure)) throw error;
        const wait = this.note(error, attempt);
        const tries = this.#answered ? this.patience.tries : this.patience.firstTries;
        if (!error.mayPass || attempt + 1 >= tries || wait > LONGEST_RETRY_AFTER_MS) throw error;
        await pause(wait, signal);
      }
    }
  }
}

/** Waits; throws the signal's reason when it aborts. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw error;
  });
}
