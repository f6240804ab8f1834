/**
 * What the market did, minute by minute: factor returns and turbulence, made of the references' bars that are there
 * when a minute is first asked for. From then on the minute stands: a reference's bar that comes later is not in it.
 * Over bars that are all there beforehand, this is the same function of the same bars.
 */
import { type MarketBars, sessionAt } from '../bars/index.ts';
import type { EpochMinute } from '../base/index.ts';
import { solvePenalised } from './linear-algebra.ts';
import type { MarketModel } from './market-model.ts';
import { SESSION_MINUTES } from './rows.ts';
import { visitReturns } from './run-returns.ts';

/** References that must have traded in the session for the market to be known: at least so many, and this share. */
const LEAST_PRESENT = 2;
const LEAST_SHARE_PRESENT = 0.1;
/** A single return counts as at most this many deviations in the turbulence. */
const MOST_DEVIATIONS = 8;
/** Sessions whose minutes a live tape keeps. */
const LIVE_SESSIONS = 2;

interface Slab {
  /** `[references, 390]` log returns, multiples of 2^-23 that float32 holds exactly. */
  readonly returns: Float32Array;
  /** `[references]` place of the first bar; 390 before there is one. */
  readonly first: Int16Array;
  /** The minutes that stand. */
  readonly minutes: (MarketMinute | undefined)[];
}

/** What the market did in a minute; all 0 while fewer than a tenth of the references have traded in the session. */
export interface MarketMinute {
  /** `[K]` factor returns. */
  readonly factors: Float64Array;
  /** `[references]` what the factors leave over of each one's return. */
  readonly residuals: Float64Array;
  /** The mean over the references of |return| in their own deviations. */
  readonly turbulence: number;
  /** Share of the references whose last five minutes went beyond what their hour before led to expect; NaN unknown. */
  readonly surprise: number;
  /** Mean surprise of the last half hour: how far intervals have failed the market of late; 0 while unknown. */
  readonly strain: number;
}

/** A move over the horizon beyond this many of the volatilities before it is a surprise. */
const SURPRISE_LIMIT = 1.2;
const SURPRISE_HORIZON = 5;
const SURPRISE_WINDOW = 60;
const LEAST_SURPRISE_WINDOW = 20;
const STRAIN_MINUTES = 30;

export class MarketTape {
  readonly #model: MarketModel;
  readonly #sessionsKept: number;
  readonly #slabs = new Map<number, Slab>();
  readonly #nothing: MarketMinute;
  /** Of the references. */
  readonly #loadings: readonly Float32Array[];

  constructor(model: MarketModel, sessionsKept = LIVE_SESSIONS) {
    this.#model = model;
    this.#sessionsKept = sessionsKept;
    const { factors, references } = model;
    this.#nothing = {
      factors: new Float64Array(factors),
      residuals: new Float64Array(references.length),
      turbulence: 0,
      surprise: Number.NaN,
      strain: 0,
    };
    this.#loadings = references.map((symbol) => model.loadingsOf(symbol) ?? new Float32Array(factors));
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
      minutes: [],
    };
    this.#slabs.set(sessionOpen, slab);
    if (this.#slabs.size > this.#sessionsKept) this.#slabs.delete(Math.min(...this.#slabs.keys()));
    return slab;
  }

  /** The market's minute. Not to be changed. */
  at(minute: number): MarketMinute {
    const session = sessionAt(minute as EpochMinute);
    const slab = session && this.#slabs.get(session.open);
    if (slab === undefined) return this.#nothing;
    const place = minute - session!.open;
    return (slab.minutes[place] ??= this.#made(slab, place));
  }

  #made(slab: Slab, place: number): MarketMinute {
    const { factors: K, deviations } = this.#model;
    const n = deviations.length;
    let present = 0;
    for (let j = 0; j < n; j++) if (slab.first[j] <= place) present++;
    if (present < Math.max(LEAST_PRESENT, LEAST_SHARE_PRESENT * n)) return this.#nothing;
    // (sum of b b' / d² + I) F = sum of b r / d²: ridge regression over the references that are there.
    const inputs = new Float64Array(K * K);
    const products = new Float64Array(K);
    const residuals = new Float64Array(n);
    let turbulence = 0;
    for (let j = 0; j < n; j++) {
      if (slab.first[j] > place) continue;
      const r = slab.returns[j * SESSION_MINUTES + place];
      const loadings = this.#loadings[j];
      const precision = 1 / deviations[j] ** 2;
      for (let k = 0; k < K; k++) {
        const scaled = loadings[k] * precision;
        products[k] += scaled * r;
        for (let l = 0; l <= k; l++) inputs[k * K + l] += scaled * loadings[l];
      }
      turbulence += Math.min(MOST_DEVIATIONS, Math.abs(r) / deviations[j]);
    }
    const factors = solvePenalised(inputs, 1, products) ?? new Float64Array(K);
    for (let j = 0; j < n; j++) {
      if (slab.first[j] > place) continue;
      const loadings = this.#loadings[j];
      let explained = 0;
      for (let k = 0; k < K; k++) explained += loadings[k] * factors[k];
      residuals[j] = slab.returns[j * SESSION_MINUTES + place] - explained;
    }
    const surprise = this.#surprise(slab, place);
    let sum = 0;
    let known = 0;
    for (let p = Math.max(0, place - STRAIN_MINUTES + 1); p <= place; p++) {
      const value = p === place ? surprise : (slab.minutes[p] ??= this.#made(slab, p)).surprise;
      if (Number.isNaN(value)) continue;
      sum += value;
      known++;
    }
    const strain = known > 0 ? sum / known : 0;
    return { factors, residuals, turbulence: turbulence / present, surprise, strain };
  }

  #surprise(slab: Slab, place: number): number {
    const end = place - SURPRISE_HORIZON; // the last minute of the hour before
    const begin = Math.max(0, end - SURPRISE_WINDOW + 1);
    if (end - begin + 1 < LEAST_SURPRISE_WINDOW) return Number.NaN;
    const n = slab.first.length;
    let surprised = 0;
    let moving = 0;
    for (let j = 0; j < n; j++) {
      const at = j * SESSION_MINUTES;
      let squares = 0;
      for (let p = begin; p <= end; p++) squares += slab.returns[at + p] ** 2;
      if (squares === 0) continue;
      let move = 0;
      for (let p = end + 1; p <= place; p++) move += slab.returns[at + p];
      moving++;
      const variance = (squares / (end - begin + 1)) * SURPRISE_HORIZON;
      if (move * move > SURPRISE_LIMIT * SURPRISE_LIMIT * variance) surprised++;
    }
    return moving > 0 ? surprised / moving : Number.NaN;
  }
}
