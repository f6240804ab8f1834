/**
 * A limiter of requests that finds out by itself how many a second a server permits.
 *
 * The rate rises with the answers (`learned-rate.ts`) until a refusal, which measures what is permitted
 * (`permitted-rate.ts`).
 *
 * A refusal closes the limiter for all: as long as Retry-After asks, and without one for a second, twice as long each
 * time that no answer came in between. All refusals of what was in flight then are one. What was not sent meanwhile may
 * be made up for, up to a second's worth, since most servers save up for that long; so may what a busy machine sent late.
 * A refusal right after that says that the server saves up less, and less is made up. Where nothing was granted since the
 * refusal, one request goes ahead, and the others wait for its answer.
 *
 * Limits: a server that refuses at random, whatever the rate, slows it down to `leastPerSecond`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { LearnedRate, type RateBounds } from './learned-rate.ts';
import { permittedRate } from './permitted-rate.ts';

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

export interface LimiterOptions extends RateBounds {
  /** How long the first refusal without Retry-After closes it; default 1 s. */
  readonly bareClosureMs?: number;
  readonly clock?: SteadyClock;
}

/** Names one request to the limiter; later ones are larger. */
export type Permit = number;

/** Of a second's worth saved up so much is made up for at first, and this share of it for a late timer. */
const SAVED_MS = 900;
const LATENESS = 0.5;
/** A request refused that was sent this soon after making up says that the server saves up less: by this factor. */
const SOON_MS = 1500;
const SAVED_CUT = 3;
/** How long one request that goes ahead is waited for, in its usual latencies; and how often that is looked at. */
const PROBE_LATENCIES = 3;
const PROBE_LOOK_MS = 20;
const LONGEST_BARE_CLOSURE_MS = 60_000;

/** Requests whose time of sending is remembered: those under way, and those since the limiter opened. */
const REMEMBERED = 4096;
const MOST_OPENED = 65_536;

/** A refusal, until the limiter opens again. */
interface Episode {
  readonly at: number;
  /** Its own permit. */
  readonly refused: Permit;
  /** From the refused request to the last one of all. */
  readonly inFlightMs: number;
  /** Those in between that were granted all the same. */
  granted: number;
}

export class RateLimiter {
  readonly #clock: SteadyClock;
  readonly #bareClosureMs: number;
  readonly #rate: LearnedRate;
  #bucketBefore: number | undefined;
  /** When the next request may start by the rate, and by what a refusal asked for. */
  #nextAt: number;
  readonly #sent = new Map<Permit, number>();
  /** When requests were sent since the limiter opened, up to the last permit; and how many seconds' worth was saved up. */
  #opened: number[] = [];
  #savedAtOpening = 1;
  #lastSentAt = 0;
  #closedUntil = Number.NEGATIVE_INFINITY;
  #savedMs = SAVED_MS;
  /** How far the next request may lag behind its time by the rate and have that made up for. */
  #lagMs = 0;
  #madeUpAt = Number.NEGATIVE_INFINITY;
  #episode: Episode | undefined;
  /** Refusals of permits before this one belong to the refusal that is dealt with already. */
  #firstFresh: Permit = 1;
  #nextPermit: Permit = 1;
  #grantedSince = 0;
  /** The last refusal that was dealt with, or the start; and when it opened again. */
  #refusedAt: number;
  #openedAt: number;
  #latencyMs = 0;
  /** The one request that goes ahead, and how long it is waited for. */
  #probe: { readonly permit: Permit; readonly until: number } | undefined;
  #refusedInARow = 0;
  #refusals = 0;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: LimiterOptions) {
    const { clock = steadyClock } = options;
    this.#clock = clock;
    this.#bareClosureMs = options.bareClosureMs ?? 1000;
    this.#rate = new LearnedRate(options);
    this.#nextAt = clock.now();
    this.#refusedAt = clock.now();
    this.#openedAt = clock.now();
  }

  /** The present rate: requests a second. */
  get perSecond(): number {
    return this.#rate.perSecond;
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
    const sentAt = this.#sent.get(permit ?? 0);
    if (sentAt !== undefined) this.#latencyMs = now - sentAt;
    this.#sent.delete(permit ?? 0);
    if (this.#probe?.permit === permit) this.#probe = undefined;
    this.#grantedSince++;
    this.#refusedInARow = 0;
    if (this.#episode !== undefined) {
      // What was sent before the refused one says nothing of what is permitted now, however late it is answered.
      if ((permit ?? Number.POSITIVE_INFINITY) > this.#episode.refused) this.#episode.granted++;
      if (now < this.#closedUntil) return;
    }
    this.#rate.answered(this.#latencyMs);
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
    this.#probe = undefined;
    const from = this.#sent.get(permit ?? 0) ?? now;
    if (from - this.#madeUpAt < SOON_MS) this.#savedMs /= SAVED_CUT;
    else this.#savedMs = Math.min(SAVED_MS, this.#savedMs * SAVED_CUT);
    const inFlightMs = Math.max(0, this.#lastSentAt - from);
    this.#episode = { at: now, refused: permit ?? this.#nextPermit - 1, granted: 0, inFlightMs };
  }

  #waitMs(): number {
    const now = this.#clock.now();
    const wait = Math.max(this.#closedUntil, this.#nextAt) - now;
    const probing = this.#probe === undefined ? 0 : this.#probe.until - now;
    return probing > wait ? Math.min(probing, PROBE_LOOK_MS) : wait;
  }

  #take(): Permit {
    const now = this.#clock.now();
    this.#probe = undefined;
    if (this.#episode !== undefined) {
      this.#lagMs = Math.min(this.#savedMs, now - this.#episode.at);
      this.#madeUpAt = now;
      this.#decrease(this.#episode);
      if (this.#episode.granted === 0) {
        this.#probe = { permit: this.#nextPermit, until: now + PROBE_LATENCIES * this.#latencyMs };
      }
      this.#openedAt = now;
      this.#opened = [];
      this.#savedAtOpening = Math.min(1, (now - this.#lastSentAt) / 1000);
      this.#episode = undefined;
      this.#firstFresh = this.#nextPermit;
    }
    const latenessMs = LATENESS * this.#savedMs;
    if (this.#savedMs < SAVED_MS && now - this.#nextAt > latenessMs / 4) this.#madeUpAt = now;
    this.#nextAt = Math.max(this.#nextAt, now - Math.max(latenessMs, this.#lagMs)) + 1000 / this.#rate.perSecond;
    this.#lagMs = Math.min(this.#lagMs, now - this.#nextAt);
    this.#lastSentAt = now;
    if (this.#opened.length === MOST_OPENED) this.#opened.splice(0, MOST_OPENED / 2);
    this.#opened.push(now);
    this.#sent.set(this.#nextPermit, now);
    // Whoever failed otherwise is forgotten.
    if (this.#sent.size > REMEMBERED) this.#sent.delete(this.#sent.keys().next().value!);
    return this.#nextPermit++;
  }

  #decrease({ at, refused, granted, inFlightMs }: Episode): void {
    const { perSecond, trust, bucket } = permittedRate({
      sentAt: this.#opened.slice(0, this.#opened.length - (this.#nextPermit - 1 - refused)),
      saved: this.#savedAtOpening,
      inFlightMs,
      inFlightGranted: granted,
      granted: this.#grantedSince - granted,
      overMs: at - this.#refusedAt,
      openMs: at - this.#openedAt,
      bucketBefore: this.#bucketBefore,
    });
    this.#rate.measured(perSecond, trust);
    this.#bucketBefore = bucket;
    this.#refusedAt = at;
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
