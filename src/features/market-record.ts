/**
 * The market of bars that are all there: its minutes session after session, in columns over shared memory, so that
 * threads make a session each and then all read them. The minutes are those of `market-tape.ts`, to the bit.
 */
import { dayOf, type MarketBars, sessionAt, sessionsBetween } from '../bars/index.ts';
import { type EpochMinute, freshShared } from '../base/index.ts';
import { type MarketModel, marketOf } from './market-model.ts';
import { type MarketMinute, MarketSession, References } from './market-tape.ts';
import type { FittedScaler } from './recipe.ts';
import { SESSION_MINUTES } from './rows.ts';
import { visitReturns } from './run-returns.ts';

/** Every array is over shared memory; S sessions of 390 places each. */
export interface MarketRecord {
  /** `[S]` EpochMinute, ascending. */
  readonly opens: Int32Array;
  /** `[S * 390, K]` */
  readonly factors: Float64Array;
  /** `[S, references, 390]`: a symbol takes those of a few references, minute by minute. */
  readonly residuals: Float32Array;
  /** `[S * 390]` each. */
  readonly leader: Float32Array;
  readonly turbulence: Float64Array;
  readonly strain: Float64Array;
}

/** Room for the market of the sessions that the bars lie in. */
export function roomForMarket(model: MarketModel, bars: MarketBars): MarketRecord {
  const opens = Int32Array.from(sessionOpens(bars));
  const places = opens.length * SESSION_MINUTES;
  const numbers = (count: number) => new Float64Array(freshShared(8 * count));
  const shared = new Int32Array(freshShared(opens.byteLength));
  shared.set(opens);
  return {
    opens: shared,
    factors: numbers(places * model.factors),
    residuals: new Float32Array(freshShared(4 * places * model.references.length)),
    leader: new Float32Array(freshShared(4 * places)),
    turbulence: numbers(places),
    strain: numbers(places),
  };
}

/** Opens of all sessions from the first bar's to the last one's. */
function sessionOpens({ minute, offsets }: MarketBars): number[] {
  let first = Number.POSITIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  for (let s = 0; s + 1 < offsets.length; s++) {
    if (offsets[s] === offsets[s + 1]) continue;
    first = Math.min(first, minute[offsets[s]]);
    last = Math.max(last, minute[offsets[s + 1] - 1]);
  }
  if (first > last) return [];
  return sessionsBetween(dayOf(first as EpochMinute), dayOf(last as EpochMinute)).map(({ open }) => open);
}

/** Makes the minutes of sessions, one a block. */
export interface RecordStep {
  readonly kind: 'record';
  /** Of one block each. */
  readonly blocks: number;
  readonly scaler: FittedScaler;
  readonly bars: MarketBars;
  readonly longestQuietRun: number;
  readonly record: MarketRecord;
}

export function recordWork({ scaler, bars, longestQuietRun, record }: RecordStep): (session: number) => void {
  const model = marketOf(scaler)!;
  const references = new References(model);
  const symbols = new Map(bars.symbols.map((symbol, s) => [symbol, s]));
  const { count: n, factors: K } = references;
  return (index) => {
    const { open, close } = sessionAt(record.opens[index] as EpochMinute)!;
    const session = new MarketSession(references);
    model.references.forEach((symbol, j) => {
      const s = symbols.get(symbol);
      if (s === undefined) return;
      visitReturns(bars, s, longestQuietRun, open, close, (minute, r) => session.put(j, minute - open, r));
    });
    for (let place = 0, at = index * SESSION_MINUTES; place < close - open; place++, at++) {
      const { factors, residuals, leader, turbulence, strain } = session.at(place);
      record.factors.set(factors, at * K);
      for (let j = 0, to = index * n * SESSION_MINUTES + place; j < n; j++, to += SESSION_MINUTES)
        record.residuals[to] = residuals[j];
      record.leader[at] = leader;
      record.turbulence[at] = turbulence;
      record.strain[at] = strain;
    }
  };
}

/** Minutes of a record. */
export class RecordedMarket {
  readonly #record: MarketRecord;
  readonly #sessions: ReadonlyMap<number, number>;
  readonly #minutes: (MarketMinute | undefined)[];
  readonly #factors: number;
  readonly #references: number;

  constructor(record: MarketRecord, { factors, references }: MarketModel) {
    this.#record = record;
    this.#sessions = new Map(Array.from(record.opens, (open, session) => [open, session]));
    this.#minutes = new Array(record.turbulence.length).fill(undefined);
    this.#factors = factors;
    this.#references = references.length;
  }

  /** Place of a minute within a session; the next minute has the next one. */
  placeOf(minute: number): number {
    const { open } = sessionAt(minute as EpochMinute)!;
    return this.#sessions.get(open)! * SESSION_MINUTES + minute - open;
  }

  at(place: number): MarketMinute {
    return this.#minutes[place] ?? this.#view(place);
  }

  #view(place: number): MarketMinute {
    const { factors, residuals, leader, turbulence, strain } = this.#record;
    const [K, n] = [this.#factors, this.#references];
    const minute = place % SESSION_MINUTES;
    const ofFirst = (place - minute) * n + minute;
    const view: MarketMinute = {
      factors: factors.subarray(place * K, (place + 1) * K),
      residuals: Float32Array.from({ length: n }, (_, j) => residuals[ofFirst + j * SESSION_MINUTES]),
      leader: leader[place],
      turbulence: turbulence[place],
      strain: strain[place],
    };
    this.#minutes[place] = view;
    return view;
  }
}
