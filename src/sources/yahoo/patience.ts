/**
 * How requests are spaced and repeated: the one gate that all requests of a source pass.
 *
 * The limiter says when a request may start. A failed one is repeated after a wait that doubles and is drawn from its
 * upper half ("equal jitter", Brooker, "Exponential backoff and jitter", 2015). When ten fail in a row, whosever they
 * are, the circuit breaker opens: nobody sends, one request at a time tries whether it is over, and after several such
 * trials the last failure is everybody's (Nygard, "Release It!", 2007).
 */
import { type Permit, RateLimiter, steadyClock } from '../limiter.ts';
import { ChartFailure } from './failure.ts';

export interface Patience {
  /** Tries of one request before it is given up; trials of the breaker and refusals for asking too often not counted. */
  readonly tries: number;
  /** Tries while nothing has ever been answered: a wrong address is told within seconds. */
  readonly firstTries: number;
  readonly firstWaitMs: number;
  readonly longestWaitMs: number;
  /** Trials of an open breaker before all is given up. */
  readonly trials: number;
  /** Refusals in a row for asking too often before all is given up. */
  readonly refusals: number;
  /** Requests a second: to begin with, at least and at most. */
  readonly initialPerSecond: number;
  readonly leastPerSecond: number;
  readonly mostPerSecond: number;
}

export const DEFAULT_PATIENCE: Patience = {
  tries: 7,
  firstTries: 3,
  firstWaitMs: 500,
  longestWaitMs: 30_000,
  trials: 7,
  refusals: 8,
  initialPerSecond: 50,
  leastPerSecond: 0.5,
  mostPerSecond: 2000,
};

/** A Retry-After beyond this is not waited for. */
const LONGEST_RETRY_AFTER_MS = 120_000;
/** Failures in a row that open the breaker. */
const BREAKING_FAILURES = 10;

/** An open breaker: until when nobody sends, how often it was tried in vain, and the one request that tries now. */
interface OpenBreaker {
  readonly until: number;
  readonly trials: number;
  readonly cause: ChartFailure;
  trying: boolean;
  permit?: Permit;
}

export class Gate {
  readonly patience: Patience;
  readonly limiter: RateLimiter;
  #answered = false;
  #failuresInARow = 0;
  #breaker: OpenBreaker | undefined;
  #hopeless: ChartFailure | undefined;
  #waiting: (() => void)[] = [];

  constructor(patience: Patience) {
    this.patience = patience;
    this.limiter = new RateLimiter({ ...patience, bareClosureMs: 2 * patience.firstWaitMs });
  }

  /** Whether any request has ever been answered, even by a refusal. */
  get answered(): boolean {
    return this.#answered;
  }

  /** Why nobody sends at present, if it is so. */
  get closedBecause(): string | undefined {
    if (this.#breaker !== undefined) return this.#breaker.cause.message;
    return this.limiter.closedForMs > 0 ? 'HTTP 429' : undefined;
  }

  /** Waits for this request's turn. Whoever passes tells the end by {@link note}, or {@link abandon}s. */
  async pass(signal?: AbortSignal): Promise<Permit> {
    for (;;) {
      const breaker = this.#breaker;
      if (breaker === undefined) {
        const permit = await this.limiter.acquire(signal);
        // It may have broken while this one stood in line.
        if (this.#breaker === undefined) return permit;
      } else if (breaker.trying) {
        await this.#untilChange(signal);
      } else {
        breaker.trying = true;
        try {
          await pause(breaker.until - performance.now(), signal);
          breaker.permit = await this.limiter.acquire(signal);
          return breaker.permit;
        } catch (error) {
          breaker.trying = false;
          this.#tellChange();
          throw error;
        }
      }
    }
  }

  /** Notes how a request ended. Returns how long to wait before the next try, besides the gate's own waiting. */
  note(failure: ChartFailure | undefined, attempt: number, permit?: Permit): number {
    if (failure === undefined || failure.isAnswer) {
      this.limiter.succeeded(permit);
      this.#mend();
      return 0;
    }
    if (failure.kind === 'rate-limited') {
      this.limiter.limited(failure.retryAfterMs, permit);
      this.#mend();
      const tooOften = this.limiter.refusalsInARow >= this.patience.refusals;
      if (tooOften || (failure.retryAfterMs ?? 0) > LONGEST_RETRY_AFTER_MS) this.#hopeless = failure;
      return 0;
    }
    if (failure.kind !== 'network' && failure.kind !== 'timeout') this.#answered = true;
    this.#failuresInARow++;
    const breaker = this.#breaker;
    const wait = failure.retryAfterMs ?? this.#wait(attempt);
    if (breaker === undefined && this.#failuresInARow >= BREAKING_FAILURES) this.#open(failure, 0, wait);
    else if (breaker?.permit !== undefined && breaker.permit === permit) {
      const trials = breaker.trials + 1;
      if (trials >= (this.#answered ? this.patience.trials : this.patience.firstTries)) this.#hopeless = failure;
      this.#open(failure, trials, this.#wait(trials));
    }
    return wait;
  }

  /** A request that passed was given up before it had an end. */
  abandon(permit: Permit): void {
    if (this.#breaker?.permit !== permit) return;
    this.#breaker.trying = false;
    this.#tellChange();
  }

  /**
   * Makes a request until it succeeds, fails for good, or has had its tries.
   * @param permit for the first try, if that has had its turn
   * @throws ChartFailure the last one
   */
  async persist<T>(request: () => Promise<T>, signal?: AbortSignal, permit?: Permit): Promise<T> {
    for (let attempt = 0, own = permit; ; own = undefined) {
      const pass = own ?? (await this.pass(signal));
      const onTrial = this.#breaker !== undefined;
      try {
        const result = await request();
        this.note(undefined, attempt, pass);
        return result;
      } catch (error) {
        if (!(error instanceof ChartFailure)) {
          this.abandon(pass);
          throw error;
        }
        const wait = this.note(error, attempt, pass);
        if (!error.mayPass || wait > LONGEST_RETRY_AFTER_MS || this.#hopeless !== undefined) throw error;
        if (error.kind !== 'rate-limited' && !onTrial) {
          attempt++;
          if (attempt >= (this.#answered ? this.patience.tries : this.patience.firstTries)) throw error;
        }
        await pause(wait, signal);
      }
    }
  }

  /** Whether all was given up since the last answer. */
  get isHopeless(): boolean {
    return this.#hopeless !== undefined;
  }

  #wait(doublings: number): number {
    const { firstWaitMs, longestWaitMs } = this.patience;
    return Math.min(longestWaitMs, firstWaitMs * 2 ** doublings) * (0.5 + 0.5 * Math.random());
  }

  #open(cause: ChartFailure, trials: number, waitMs: number): void {
    this.#breaker = { until: performance.now() + waitMs, trials, cause, trying: false };
    this.#tellChange();
  }

  /** Something was answered. */
  #mend(): void {
    this.#answered = true;
    this.#failuresInARow = 0;
    this.#hopeless = undefined;
    if (this.#breaker === undefined) return;
    this.#breaker = undefined;
    this.#tellChange();
  }

  #tellChange(): void {
    for (const tell of this.#waiting.splice(0)) tell();
  }

  async #untilChange(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    let onAbort = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        onAbort = () => reject(signal?.reason as Error);
        signal?.addEventListener('abort', onAbort, { once: true });
        this.#waiting.push(resolve);
      });
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }
}

/** Waits; throws the signal's reason when it aborts. */
export const pause = (ms: number, signal?: AbortSignal): Promise<void> => steadyClock.sleep(Math.max(0, ms), signal);
