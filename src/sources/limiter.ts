/**
 * A limiter of requests that finds out by itself how many a second a server permits.
 *
 * The rate rises exponentially until the first refusal (slow start), and from then on by a little with every answer:
 * additive increase, multiplicative decrease (Chiu & Jain, "Analysis of the increase and decrease algorithms for
 * congestion avoidance", 1989). Where the decrease ends is measured when it can be, in two ways. Most servers save up for
 * a second (a token bucket): the rate of such a one that would have refused this very request first is known from when
 * requests were sent, and well, since it is taken over all the time that the limiter was open (`bucket-rate.ts`). And
 * after the first refusal nothing more is sent, while of what was in flight the server grants just what it permits: that
 * tells whether it is such a server. The new rate is the first of the two where they agree, or else the second, less a
 * margin. Too few in flight to tell: what was granted a second since the refusal before, or else a half.
 *
 * A refusal closes the limiter for all: as long as Retry-After asks, and without one for a second, twice as long each
 * time that no answer came in between. What was not sent meanwhile may be made up for, up to a second's worth, since
 * most servers save up for that long (a token bucket); a refusal right after that ends the making up.
 *
 * Limits: a server that refuses at random, whatever the rate, slows it down to `leastPerSecond`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { bucketRate } from './bucket-rate.ts';

/** A clock that only goes forward, and a way to wait on it. Tests bring their own. */
export interface SteadyClock {
  /** Milliseconds since any moment. */
  now(): number;
  /** @throws the signal's reason when it aborts */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const steadyClock: SteadyClock = {
  now: () => performance.now(),
  sleep: async (ms, signal) => {
    await sleep(ms, undefined, signal === undefined ? {} : { signal }).catch((error: unknown) => {
      signal?.throwIfAborted();
      throw error;
    });
  },
};

export interface LimiterOptions {
  /** Requests a second to begin with. */
  readonly initialPerSecond: number;
  /** Default 0.5. */
  readonly leastPerSecond?: number;
  /** Default 2,000. */
  readonly mostPerSecond?: number;
  /** How long the first refusal without Retry-After closes it; default 1 s. */
  readonly bareClosureMs?: number;
  readonly clock?: SteadyClock;
}

/** Names one request to the limiter; later ones are larger. */
export type Permit = number;

/** Requests a second that one answer adds in slow start, and afterwards; more when nothing was refused for long. */
const SLOW_START_GAIN = 1;
const GAIN = 0.002;
const LONG_MS = 20_000;
/** What is left of a rate that was measured, and the bounds of a decrease otherwise. */
const MARGIN = 0.98;
const LARGEST_CUT = 0.5;
const SMALLEST_CUT = 0.97;
/** As many answers tell a rate, and two ways to tell it agree within this share. */
const MEASURED_ANSWERS = 20;
const AGREEMENT = 0.35;
/** A late timer, and a pause, are made up for as far as this: of a second's worth saved up a little less. */
const LATENESS_MS = 250;
const SAVED_MS = 900;
/** A refusal this soon after making up for a pause says that the server does not save up. */
const SOON_MS = 2500;
const LONGEST_BARE_CLOSURE_MS = 60_000;

/** Requests whose time of sending is remembered: those under way, and those since the limiter opened. */
const REMEMBERED = 4096;
const MOST_OPENED = 65_536;

/** Answers since the first refusal, until the limiter opens again. */
interface Episode {
  readonly at: number;
  /** Its own permit. */
  readonly refused: Permit;
  /** When the refused request was sent, and the last one of all. */
  readonly from: number;
  readonly sentUntil: number;
  granted: number;
}

export class RateLimiter {
  readonly #clock: SteadyClock;
  readonly #least: number;
  readonly #most: number;
  readonly #bareClosureMs: number;
  #perSecond: number;
  #slowStart = true;
  /** When the next request may start by the rate, and by what a refusal asked for. */
  #nextAt: number;
  readonly #startedAt: number;
  readonly #sent = new Map<Permit, number>();
  /** When requests were sent since the limiter opened, up to the last permit; and how many seconds' worth was saved up. */
  #opened: number[] = [];
  #savedAtOpening = 1;
  #lastSentAt = 0;
  #closedUntil = Number.NEGATIVE_INFINITY;
  #savedMs = SAVED_MS;
  /** How far the next request may lag behind its time by the rate and have that made up for. */
  #lagMs = LATENESS_MS;
  #madeUpAt = Number.NEGATIVE_INFINITY;
  #episode: Episode | undefined;
  /** Refusals of permits before this one belong to the refusal that is dealt with already. */
  #firstFresh: Permit = 1;
  #nextPermit: Permit = 1;
  #grantedSince = 0;
  #lastRefusedAt: number | undefined;
  #openedAt = 0;
  #refusedInARow = 0;
  #refusals = 0;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: LimiterOptions) {
    const { clock = steadyClock } = options;
    this.#clock = clock;
    this.#least = options.leastPerSecond ?? 0.5;
    this.#most = options.mostPerSecond ?? 2000;
    this.#bareClosureMs = options.bareClosureMs ?? 1000;
    this.#perSecond = options.initialPerSecond;
    this.#nextAt = clock.now();
    this.#startedAt = clock.now();
  }

  /** The present rate: requests a second. */
  get perSecond(): number {
    return this.#perSecond;
  }

  /** Refusals so far. */
  get refusals(): number {
    return this.#refusals;
  }

  /** Refusals since the last answer, those of one moment counted once. */
  get refusalsInARow(): number {
    return this.#refusedInARow;
  }

  /** For how long nothing may be sent, as a refusal asked for it; 0 when open. */
  get closedForMs(): number {
    return Math.max(0, this.#closedUntil - this.#clock.now());
  }

  /**
   * Waits for a request's turn, first come first served.
   * @throws the signal's reason when it aborts
   */
  async acquire(signal?: AbortSignal): Promise<Permit> {
    signal?.throwIfAborted();
    const before = this.#turn;
    let pass = () => {};
    this.#turn = new Promise((resolve) => {
      pass = resolve;
    });
    try {
      await orAborted(before, signal);
      for (let wait = this.#waitMs(); wait > 0; wait = this.#waitMs()) await this.#clock.sleep(wait, signal);
      return this.#take();
    } finally {
      // Whoever gave up leaves its place in the line to those behind, who still wait for those before.
      void before.then(pass);
    }
  }

  /** A request was answered, unless it was refused for asking too often. One that failed otherwise needs no call. */
  succeeded(permit?: Permit): void {
    const now = this.#clock.now();
    const sentAt = this.#sentAt(permit);
    this.#grantedSince++;
    this.#refusedInARow = 0;
    if (this.#episode !== undefined) {
      // What was sent before the refused one says nothing of what is permitted now, however late it is answered.
      if ((sentAt ?? now) >= this.#episode.from) this.#episode.granted++;
      if (now < this.#closedUntil) return;
    }
    this.#perSecond = Math.min(this.#most, this.#perSecond + this.#gain(now));
  }

  /** A rate that was measured too low is left behind by and by, one that is right is kept for a while. */
  #gain(now: number): number {
    if (this.#slowStart) return SLOW_START_GAIN;
    return GAIN * (1 + ((now - this.#openedAt) / LONG_MS) ** 3);
  }

  /**
   * A request was refused for asking too often.
   * @param retryAfterMs as the server asked
   * @param permit the request's own, which tells a late refusal from a new one
   */
  limited(retryAfterMs?: number, permit?: Permit): void {
    const now = this.#clock.now();
    this.#refusals++;
    const closure = retryAfterMs ?? Math.min(LONGEST_BARE_CLOSURE_MS, this.#bareClosureMs * 2 ** this.#refusedInARow);
    if (this.#episode !== undefined) {
      if (retryAfterMs !== undefined) this.#closedUntil = Math.max(this.#closedUntil, now + closure);
      return;
    }
    this.#closedUntil = Math.max(this.#closedUntil, now + closure);
    if (permit !== undefined && permit < this.#firstFresh) return;
    this.#refusedInARow++;
    if (now - this.#madeUpAt < SOON_MS) this.#savedMs = 0;
    const from = this.#sentAt(permit) ?? now;
    this.#episode = { at: now, refused: permit ?? this.#nextPermit - 1, granted: 0, from, sentUntil: this.#lastSentAt };
  }

  /** When a request was sent; asked once. */
  #sentAt(permit: Permit | undefined): number | undefined {
    if (permit === undefined) return undefined;
    const at = this.#sent.get(permit);
    this.#sent.delete(permit);
    return at;
  }

  #waitMs(): number {
    return Math.max(this.#closedUntil, this.#nextAt) - this.#clock.now();
  }

  #take(): Permit {
    const now = this.#clock.now();
    if (this.#episode !== undefined) {
      if (this.#savedMs > 0) {
        this.#lagMs = Math.max(LATENESS_MS, Math.min(this.#savedMs, now - this.#episode.at));
        this.#madeUpAt = now;
      } else this.#nextAt = now;
      this.#decrease(this.#episode);
      this.#openedAt = now;
      this.#opened = [];
      this.#savedAtOpening = Math.min(1, (now - this.#episode.sentUntil) / 1000);
      this.#episode = undefined;
      this.#firstFresh = this.#nextPermit;
    }
    this.#nextAt = Math.max(this.#nextAt, now - this.#lagMs) + 1000 / this.#perSecond;
    this.#lagMs = Math.max(LATENESS_MS, Math.min(this.#lagMs, now - this.#nextAt));
    this.#lastSentAt = now;
    if (this.#opened.length === MOST_OPENED) this.#opened.splice(0, MOST_OPENED / 2);
    this.#opened.push(now);
    this.#sent.set(this.#nextPermit, now);
    // Whoever failed otherwise is forgotten.
    if (this.#sent.size > REMEMBERED) this.#sent.delete(this.#sent.keys().next().value!);
    return this.#nextPermit++;
  }

  #decrease({ at, refused, granted, from, sentUntil }: Episode): void {
    const before = this.#perSecond;
    // Since the refusal before, when the allowance was used up as well, or since the start with a second's worth saved up.
    const grantedBefore = (this.#grantedSince - granted) * 1000;
    const last = this.#lastRefusedAt;
    if (granted >= MEASURED_ANSWERS && sentUntil > from) {
      const inFlight = (granted * 1000) / Math.max(1, sentUntil - from);
      // A machine that was too busy to take the answers measures too little: no less than was granted all along.
      const sustained = grantedBefore / (at - (last ?? this.#startedAt) + 1000);
      const bucket = bucketRate(
        this.#opened.slice(0, this.#opened.length - (this.#nextPermit - 1 - refused)),
        this.#savedAtOpening,
      );
      const measured = Math.abs(bucket / inFlight - 1) <= AGREEMENT ? bucket : Math.max(inFlight, sustained);
      this.#perSecond = Math.min(before * SMALLEST_CUT, measured * MARGIN);
    } else {
      const since = last === undefined ? 0 : grantedBefore / Math.max(1, at - last);
      this.#perSecond = Math.min(before * SMALLEST_CUT, Math.max(before * LARGEST_CUT, since * MARGIN));
    }
    this.#perSecond = Math.max(this.#least, this.#perSecond);
    this.#slowStart = false;
    this.#lastRefusedAt = at;
    this.#grantedSince = granted;
  }
}

/** The promise's end, or the abort if that is earlier. */
async function orAborted(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return promise;
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
