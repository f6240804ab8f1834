/**
 * A limiter of requests that finds out by itself how many a second a server permits.
 *
 * The rate rises until the first refusal, and from then on by a little with every answer: additive increase,
 * multiplicative decrease (Chiu & Jain, "Analysis of the increase and decrease algorithms for congestion avoidance",
 * 1989). A refusal measures what is permitted (`permitted-rate.ts`), and the rate falls to a little less than that. From
 * there it follows a cubic of the answers, as in TCP CUBIC (Ha, Rhee & Xu, 2008): it stays near a rate that was measured
 * and leaves it ever faster, so that a limit that was raised is found; sooner where the measurement was not sure.
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

/** At the start the rate gains itself once in so many seconds' worth of answers, and besides with their cube. */
const START_SECONDS = 1;
const START_CUBIC_SECONDS = 4.5;
/** That is where an answer takes this long or longer; where it comes sooner the start is so much quicker, up to a bound. */
const PACE_LATENCY_MS = 500;
const QUICKEST_PACE = 0.3;
/** After a refusal it has doubled after so many seconds' worth of answers: when the measurement was sure, or was not. */
const SURE_CUBIC_SECONDS = 50;
const UNSURE_CUBIC_SECONDS = 15;
/** What is left of a rate that was measured, and the bounds of a decrease. */
const MARGIN = 0.985;
const LARGEST_CUT = 0.5;
const SMALLEST_CUT = 0.97;
/** A rate below this share of the highest that is remembered is not taken for lasting. */
const FALLEN = 0.75;
const FORGETTING = 0.9;
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
  readonly #least: number;
  readonly #most: number;
  readonly #bareClosureMs: number;
  #perSecond: number;
  /** The rate at the start or after the last refusal, how it rises from there, and the seconds' worth answered since. */
  #base: number;
  #rise: 'start' | 'sure' | 'unsure' = 'start';
  #answeredSeconds = 0;
  #bucketBefore: number | undefined;
  /** The highest rate that was measured; less of it is remembered with every refusal. */
  #highest = 0;
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
    this.#least = options.leastPerSecond ?? 0.5;
    this.#most = options.mostPerSecond ?? 2000;
    this.#bareClosureMs = options.bareClosureMs ?? 1000;
    this.#perSecond = options.initialPerSecond;
    this.#base = this.#perSecond;
    this.#nextAt = clock.now();
    this.#refusedAt = clock.now();
    this.#openedAt = clock.now();
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
    this.#increase();
  }

  /** A rate that was measured is kept for a while, and one that turned out too low is left behind ever faster. */
  #increase(): void {
    // Where answers come soon a rate that is too high is soon known: the start may be quicker.
    const pace = this.#rise === 'start' ? Math.min(1, Math.max(QUICKEST_PACE, this.#latencyMs / PACE_LATENCY_MS)) : 1;
    this.#answeredSeconds += 1 / (this.#perSecond * pace);
    const seconds = this.#answeredSeconds;
    let factor = 1;
    if (this.#rise === 'start') factor += seconds / START_SECONDS + (seconds / START_CUBIC_SECONDS) ** 3;
    else factor += (seconds / (this.#rise === 'sure' ? SURE_CUBIC_SECONDS : UNSURE_CUBIC_SECONDS)) ** 3;
    this.#perSecond = Math.min(this.#most, this.#base * factor);
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
    this.#nextAt = Math.max(this.#nextAt, now - Math.max(latenessMs, this.#lagMs)) + 1000 / this.#perSecond;
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
    const before = this.#perSecond;
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
    const least = trust === 'guessed' ? before * LARGEST_CUT : this.#least;
    this.#perSecond = Math.max(this.#least, Math.min(before * SMALLEST_CUT, Math.max(least, perSecond * MARGIN)));
    this.#base = this.#perSecond;
    this.#highest = Math.max(this.#perSecond, this.#highest * FORGETTING);
    this.#rise = trust === 'sure' && this.#perSecond > FALLEN * this.#highest ? 'sure' : 'unsure';
    this.#answeredSeconds = 0;
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
