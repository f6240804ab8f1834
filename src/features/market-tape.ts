/**
 * What the market did, minute by minute: factor returns, what they leave over of each reference, turbulence and strain,
 * made of the references' bars that are there when a minute is first asked for. From then on the minute stands: a
 * reference's bar that comes later is not in it. Over bars that are all there beforehand, this is the same function of
 * the same bars (`market-record.ts`).
 */
import { sessionAt } from '../bars/index.ts';
import type { EpochMinute } from '../base/index.ts';
import { decompose, substitute } from './linear-algebra.ts';
import type { MarketModel } from './market-model.ts';
import { SESSION_MINUTES } from './rows.ts';

/** References that must have traded in the session for the market to be known: at least so many, and this share. */
const LEAST_PRESENT = 2;
const LEAST_SHARE_PRESENT = 0.1;
/** A single return counts as at most this many deviations in the turbulence. */
const MOST_DEVIATIONS = 8;
/** Sessions whose minutes a live tape keeps. */
const LIVE_SESSIONS = 2;

/** What the market did in a minute; all 0 while fewer than a tenth of the references have traded in the session. */
export interface MarketMinute {
  /** `[K]` factor returns. */
  readonly factors: Float64Array;
  /** `[references]` what the factors leave over of each one's return. */
  readonly residuals: Float32Array;
  /** Log return of the leader. */
  readonly leader: number;
  /** The mean over the references of |return| in their own deviations. */
  readonly turbulence: number;
  /** Mean surprise of the last half hour: how far intervals have failed the market of late; 0 while unknown. */
  readonly strain: number;
}

interface MadeMinute extends MarketMinute {
  /** Share of the references whose last five minutes went beyond what their hour before led to expect; NaN unknown. */
  readonly surprise: number;
}

/** A move over the horizon beyond this many of the volatilities before it is a surprise. */
const SURPRISE_LIMIT = 1.2;
const SURPRISE_HORIZON = 5;
const SURPRISE_WINDOW = 60;
const LEAST_SURPRISE_WINDOW = 20;
const STRAIN_MINUTES = 30;

/** The references of a model, as minutes are made from them. */
export class References {
  /** n */
  readonly count: number;
  /** K */
  readonly factors: number;
  readonly leader: number;
  readonly deviations: Float32Array;
  /** `[n, K]` */
  readonly loadings: Float64Array;
  /** `[n, K]` each over the square of its reference's noise. */
  readonly precise: Float64Array;
  readonly nothing: MadeMinute;

  constructor({ factors: K, references, leader, deviations, noises, loadingsOf }: MarketModel) {
    const n = references.length;
    this.count = n;
    this.factors = K;
    this.leader = leader;
    this.deviations = deviations;
    this.loadings = new Float64Array(n * K);
    references.forEach((symbol, j) => {
      this.loadings.set(loadingsOf(symbol) ?? [], j * K);
    });
    this.precise = this.loadings.map((loading, i) => loading * (1 / noises[Math.floor(i / K)] ** 2));
    const [none, nobody] = [new Float64Array(K), new Float32Array(n)];
    this.nothing = { factors: none, residuals: nobody, leader: 0, turbulence: 0, surprise: Number.NaN, strain: 0 };
  }
}

/** One session's minutes, from the open on. */
export class MarketSession {
  readonly #references: References;
  /** `[390, references]` log returns, multiples of 2^-23 that float32 holds exactly. */
  readonly #returns: Float32Array;
  /** `[references]` place of the first bar; 390 before there is one. */
  readonly #first: Int16Array;
  /** The minutes that stand. */
  readonly #minutes: (MadeMinute | undefined)[] = [];
  /** `[references]` those that `#lower` is made of; it serves until another one trades. */
  readonly #present: Uint8Array;
  #lower: Float64Array | undefined;
  /** `[references]` sums over the hour before the horizon and over the horizon, up to place `#summed`. */
  readonly #squares: Float64Array;
  readonly #moves: Float64Array;
  #summed = -1;

  constructor(references: References) {
    const n = references.count;
    this.#references = references;
    this.#returns = new Float32Array(SESSION_MINUTES * n);
    this.#first = new Int16Array(n).fill(SESSION_MINUTES);
    this.#present = new Uint8Array(n);
    this.#squares = new Float64Array(n);
    this.#moves = new Float64Array(n);
  }

  /** Takes a reference's return in a minute of the session, from 0. */
  put(reference: number, place: number, logReturn: number): void {
    this.#returns[place * this.#references.count + reference] = logReturn;
    if (place < this.#first[reference]) this.#first[reference] = place;
    if (place <= this.#summed) this.#summed = -1;
  }

  /** The minute, which stands from now on. Not to be changed. */
  at(place: number): MarketMinute {
    return this.#minutes[place] ?? this.#made(place);
  }

  #made(place: number): MadeMinute {
    const { nothing } = this.#references;
    const present = this.#presentAt(place);
    if (present === 0) {
      this.#minutes[place] = nothing;
      return nothing;
    }
    // The half hour before it, so that it is made in order of time.
    let sum = 0;
    let known = 0;
    for (let p = Math.max(0, place - STRAIN_MINUTES + 1); p < place; p++) {
      const { surprise } = this.#minutes[p] ?? this.#made(p);
      if (Number.isNaN(surprise)) continue;
      sum += surprise;
      known++;
    }
    const surprise = this.#surprise(place);
    if (!Number.isNaN(surprise)) {
      sum += surprise;
      known++;
    }
    const strain = known > 0 ? sum / known : 0;
    const made = { ...this.#factored(place, present), surprise, strain };
    this.#minutes[place] = made;
    return made;
  }

  /** How many references have traded up to a minute; 0 where they are too few. */
  #presentAt(place: number): number {
    const n = this.#references.count;
    let present = 0;
    for (let j = 0; j < n; j++) if (this.#first[j] <= place) present++;
    return present < Math.max(LEAST_PRESENT, LEAST_SHARE_PRESENT * n) ? 0 : present;
  }

  /** (sum of b b' / n² + I) F = sum of b r / n², n the noise: ridge regression over the references that are there. */
  #factored(place: number, present: number) {
    const { count: n, factors: K, leader, deviations, loadings, precise } = this.#references;
    const first = this.#first;
    const returns = this.#returns.subarray(place * n, (place + 1) * n);
    const lower = this.#lowerAt(place);
    const products = new Float64Array(K);
    const residuals = new Float32Array(n);
    let turbulence = 0;
    for (let j = 0; j < n; j++) {
      const r = returns[j]; // 0 where there is none
      if (r === 0) continue;
      for (let k = 0, at = j * K; k < K; k++) products[k] += precise[at + k] * r;
      turbulence += Math.min(MOST_DEVIATIONS, Math.abs(r) / deviations[j]);
    }
    const factors = lower ? substitute(lower, products) : new Float64Array(K);
    for (let j = 0; j < n; j++) {
      if (first[j] > place) continue;
      let explained = 0;
      for (let k = 0, at = j * K; k < K; k++) explained += loadings[at + k] * factors[k];
      residuals[j] = returns[j] - explained;
    }
    return { factors, residuals, leader: returns[leader], turbulence: turbulence / present };
  }

  #lowerAt(place: number): Float64Array | undefined {
    const { count: n, factors: K, loadings, precise } = this.#references;
    const first = this.#first;
    const present = this.#present;
    let same = this.#lower !== undefined;
    for (let j = 0; j < n; j++) {
      const isPresent = first[j] <= place ? 1 : 0;
      if (isPresent !== present[j]) same = false;
      present[j] = isPresent;
    }
    if (same) return this.#lower;
    const inputs = new Float64Array(K * K);
    for (let j = 0; j < n; j++) {
      if (present[j] === 0) continue;
      const at = j * K;
      for (let k = 0; k < K; k++) {
        const scaled = precise[at + k];
        for (let l = 0; l <= k; l++) inputs[k * K + l] += scaled * loadings[at + l];
      }
    }
    this.#lower = decompose(inputs, 1, K);
    return this.#lower;
  }

  /** Sums of whole multiples of a power of two are exact: they may slide, or be taken afresh, and have the same bits. */
  #surprise(place: number): number {
    const slides = this.#summed < place && this.#summed >= place - SURPRISE_WINDOW;
    const from = slides ? 0 : Math.max(0, place - SURPRISE_WINDOW - SURPRISE_HORIZON + 1);
    if (!slides) {
      this.#squares.fill(0);
      this.#moves.fill(0);
    }
    for (let p = slides ? this.#summed + 1 : from; p <= place; p++) this.#sum(p, from);
    this.#summed = place;
    const minutes = Math.min(SURPRISE_WINDOW, place - SURPRISE_HORIZON + 1);
    if (minutes < LEAST_SURPRISE_WINDOW) return Number.NaN;
    let surprised = 0;
    let moving = 0;
    for (let j = 0; j < this.#squares.length; j++) {
      const squares = this.#squares[j];
      if (squares === 0) continue;
      const move = this.#moves[j];
      moving++;
      const variance = (squares / minutes) * SURPRISE_HORIZON;
      if (move * move > SURPRISE_LIMIT * SURPRISE_LIMIT * variance) surprised++;
    }
    return moving > 0 ? surprised / moving : Number.NaN;
  }

  /** Adds a minute to the horizon; those from `from` on leave it for the hour before, and then that. */
  #sum(place: number, from: number): void {
    const returns = this.#returns;
    const squares = this.#squares;
    const moves = this.#moves;
    const n = squares.length;
    const leaving = place - SURPRISE_HORIZON;
    const lost = leaving - SURPRISE_WINDOW;
    for (let j = 0, at = place * n; j < n; j++) moves[j] += returns[at + j];
    if (leaving < from) return;
    for (let j = 0, at = leaving * n; j < n; j++) {
      const r = returns[at + j];
      moves[j] -= r;
      squares[j] += r * r;
    }
    if (lost < from) return;
    for (let j = 0, at = lost * n; j < n; j++) squares[j] -= returns[at + j] * returns[at + j];
  }
}

/** The live market: its latest sessions, fed bar by bar. */
export class MarketTape {
  readonly #model: MarketModel;
  readonly #references: References;
  readonly #sessions = new Map<number, MarketSession>();

  constructor(model: MarketModel) {
    this.#model = model;
    this.#references = new References(model);
  }

  /** Takes the return of a symbol's usable bar; nothing happens when it is no reference. */
  push(symbol: string, minute: number, logReturn: number, sessionOpen: number): void {
    const reference = this.#model.referenceIndex.get(symbol);
    if (reference === undefined) return;
    const session = this.#sessions.get(sessionOpen) ?? this.#open(sessionOpen);
    session.put(reference, minute - sessionOpen, logReturn);
  }

  #open(sessionOpen: number): MarketSession {
    const session = new MarketSession(this.#references);
    this.#sessions.set(sessionOpen, session);
    if (this.#sessions.size > LIVE_SESSIONS) this.#sessions.delete(Math.min(...this.#sessions.keys()));
    return session;
  }

  /** The market's minute. Not to be changed. */
  at(minute: number): MarketMinute {
    const session = sessionAt(minute as EpochMinute);
    return (session && this.#sessions.get(session.open)?.at(minute - session.open)) ?? this.#references.nothing;
  }
}
