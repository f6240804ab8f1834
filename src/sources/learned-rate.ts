/**
 * How many requests a second a limiter lets through, as answers and refusals teach it: additive increase,
 * multiplicative decrease (Chiu & Jain, "Analysis of the increase and decrease algorithms for congestion avoidance",
 * 1989). The rate rises until the first refusal and falls to a little less than what that measures. From there it follows
 * a cubic of the answers, as in TCP CUBIC (Ha, Rhee & Xu, 2008): it stays near a rate that was measured and leaves it
 * ever faster, so that a limit that was raised is found; sooner where the measurement was not sure.
 */
import type { PermittedRate } from './permitted-rate.ts';

export interface RateBounds {
  /** Requests a second to begin with. */
  readonly initialPerSecond: number;
  /** Default 0.5. */
  readonly leastPerSecond?: number;
  /** Default 2,000. */
  readonly mostPerSecond?: number;
}

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

export class LearnedRate {
  #perSecond: number;
  readonly #least: number;
  readonly #most: number;
  /** The rate at the start or after the last refusal, how it rises from there, and the seconds' worth answered since. */
  #base: number;
  #rise: 'start' | 'sure' | 'unsure' = 'start';
  #answeredSeconds = 0;
  /** The highest rate that was measured; less of it is remembered with every refusal. */
  #highest = 0;

  constructor({ initialPerSecond, leastPerSecond = 0.5, mostPerSecond = 2000 }: RateBounds) {
    this.#perSecond = initialPerSecond;
    this.#base = initialPerSecond;
    this.#least = leastPerSecond;
    this.#most = mostPerSecond;
  }

  /** The present rate: requests a second. */
  get perSecond(): number {
    return this.#perSecond;
  }

  /** Rises: a rate that was measured is kept for a while, and one that turned out too low is left behind ever faster. */
  answered(latencyMs: number): void {
    // Where answers come soon a rate that is too high is soon known: the start may be quicker.
    const pace = this.#rise === 'start' ? Math.min(1, Math.max(QUICKEST_PACE, latencyMs / PACE_LATENCY_MS)) : 1;
    this.#answeredSeconds += 1 / (this.#perSecond * pace);
    const seconds = this.#answeredSeconds;
    let factor = 1;
    if (this.#rise === 'start') factor += seconds / START_SECONDS + (seconds / START_CUBIC_SECONDS) ** 3;
    else factor += (seconds / (this.#rise === 'sure' ? SURE_CUBIC_SECONDS : UNSURE_CUBIC_SECONDS)) ** 3;
    this.#perSecond = Math.min(this.#most, this.#base * factor);
  }

  /** Falls to what a refusal measured. */
  measured(perSecond: number, trust: PermittedRate['trust']): void {
    const before = this.#perSecond;
    const least = trust === 'guessed' ? before * LARGEST_CUT : this.#least;
    this.#perSecond = Math.max(this.#least, Math.min(before * SMALLEST_CUT, Math.max(least, perSecond * MARGIN)));
    this.#base = this.#perSecond;
    this.#highest = Math.max(this.#perSecond, this.#highest * FORGETTING);
    this.#rise = trust === 'sure' && this.#perSecond > FALLEN * this.#highest ? 'sure' : 'unsure';
    this.#answeredSeconds = 0;
  }
}
