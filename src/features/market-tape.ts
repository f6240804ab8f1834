/**
 * What the market did, minute by minute: factor returns and turbulence, made of the references' bars that are there
 * when a minute is first asked for. From then on the minute stands: a reference's bar that comes later is not in it.
 * Over bars that are all there beforehand, this is the same function of the same bars.
 */
import { type MarketBars, sessionAt } from '../bars/index.ts';
import type { EpochMinute } from '../base/index.ts';
import { type MarketModel, SESSION_MINUTES } from './market-model.ts';
import { visitReturns } from './run-returns.ts';

/** A single return counts as at most this many deviations in the turbulence. */
const MOST_DEVIATIONS = 8;
/** Sessions whose minutes a live tape keeps. */
const LIVE_SESSIONS = 2;

interface Slab {
  /** `[references, 390]` log returns, multiples of 2^-23 that float32 holds exactly. */
  readonly returns: Float32Array;
  /** `[references]` place of the first bar; 390 before there is one. */
  readonly first: Int16Array;
  /** `[390, K + 1]` factor returns, then turbulence, of the minutes that stand. */
  readonly values: Float64Array;
  readonly stands: Uint8Array;
}

export class MarketTape {
  readonly #model: MarketModel;
  readonly #sessionsKept: number;
  readonly #slabs = new Map<number, Slab>();
  readonly #nothing: Float64Array;

  constructor(model: MarketModel, sessionsKept = LIVE_SESSIONS) {
    this.#model = model;
    this.#sessionsKept = sessionsKept;
    this.#nothing = new Float64Array(model.factors + 1);
  }

  /** A tape of bars that are all there. */
  static of(model: MarketModel, bars: MarketBars, longestQuietRun: number): MarketTape {
    const tape = new MarketTape(model, Number.POSITIVE_INFINITY);
    bars.symbols.forEach((symbol, s) => {
      const reference = model.referenceIndex.get(symbol);
      if (reference === undefined) return;
      visitReturns(bars, s, longestQuietRun, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, (minute, r, _, open) =>
        tape.#put(reference, minute, r, open),
      );
    });
    return tape;
  }

  /** Takes the return of a symbol's usable bar; nothing happens when it is no reference. */
  push(symbol: string, minute: number, logReturn: number, sessionOpen: number): void {
    const reference = this.#model.referenceIndex.get(symbol);
    if (reference !== undefined) this.#put(reference, minute, logReturn, sessionOpen);
  }

  #put(reference: number, minute: number, logReturn: number, sessionOpen: number): void {
    const slab = this.#slabs.get(sessionOpen) ?? this.#open(sessionOpen);
    const place = minute - sessionOpen;
    slab.returns[reference * SESSION_MINUTES + place] = logReturn;
    if (place < slab.first[reference]) slab.first[reference] = place;
  }

  #open(sessionOpen: number): Slab {
    const n = this.#model.references.length;
    const slab: Slab = {
      returns: new Float32Array(n * SESSION_MINUTES),
      first: new Int16Array(n).fill(SESSION_MINUTES),
      values: new Float64Array(SESSION_MINUTES * (this.#model.factors + 1)),
      stands: new Uint8Array(SESSION_MINUTES),
    };
    this.#slabs.set(sessionOpen, slab);
    if (this.#slabs.size > this.#sessionsKept) this.#slabs.delete(Math.min(...this.#slabs.keys()));
    return slab;
  }

  /**
   * `[K + 1]` the factor returns of a minute, then its turbulence: the mean over the references of |return| in their
   * own deviations. All 0 while fewer than half of the references have traded in the session. Not to be changed.
   */
  at(minute: number): Float64Array {
    const session = sessionAt(minute as EpochMinute);
    const slab = session && this.#slabs.get(session.open);
    if (slab === undefined) return this.#nothing;
    const place = minute - session!.open;
    const width = this.#model.factors + 1;
    const values = slab.values.subarray(place * width, (place + 1) * width);
    if (slab.stands[place] === 1) return values;
    slab.stands[place] = 1;
    const { factors, weights, deviations } = this.#model;
    const n = deviations.length;
    let present = 0;
    for (let j = 0; j < n; j++) if (slab.first[j] <= place) present++;
    if (2 * present < n) return values;
    let turbulence = 0;
    for (let j = 0; j < n; j++) {
      const r = slab.returns[j * SESSION_MINUTES + place];
      if (r === 0) continue;
      for (let k = 0; k < factors; k++) values[k] += weights[k * n + j] * r;
      turbulence += Math.min(MOST_DEVIATIONS, Math.abs(r) / deviations[j]);
    }
    values[factors] = turbulence / present;
    return values;
  }
}
