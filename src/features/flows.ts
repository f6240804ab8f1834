/**
 * Flows: sums of past moves of a run, each of which counts for less the longer ago it was. For how much it counts in the
 * first place is told by the volume it came on, by the time of day, and by who made it. Moves on surging volume tend to
 * go on and others to be taken back (Llorente, Michaely, Saar & Wang 2002), and prices follow the market with a delay
 * (Lo & MacKinlay 1990).
 *
 *     x(t) = min(1, d (1 - c w(t))) x(t-1) + v(t)
 *
 * with d a decay a minute, w the surge of the volume within ±1, and v a move times what it counts for. With c = 0 a
 * move fades with time; above 0 it fades faster while much is traded, on the volume's clock (Clark 1973; Easley, Lopez
 * de Prado & O'Hara 2012), and never grows.
 *
 * A flow goes on from each row of a run to the next, so a minute costs one step however many windows hold it. What it is
 * measured by goes on likewise: means over the run's last hour, which begin with what was fitted.
 */
import { marketOf } from './market-model.ts';
import type { FittedScaler, FlowColumns } from './recipe.ts';
import { surpriseShift, volumeDeviationOf, volumePersistenceOf } from './usual-volume.ts';

/** Decays a minute of the flows that fade with time: three of each kind of move. */
const QUICK = 0.7;
const MIDDLE = 0.9;
const SLOW = 0.96;
/** How much faster flows on the volume's clock fade at a full surge, and a flow that is to feel it more. */
const FADING = 0.15;
const FADING_MORE = 0.28;

/** Places of the flows: of the move, times the session clock, of what the factors explain; on the volume's clock; of the leader. */
const MOVE = 0;
const TIMED = 3;
const EXPLAINED = 6;
const ON_VOLUME = 9;
const LEADING = 17;
const FLOWS = 20;

/** Numbers that a run's flows give the linear forecast: the leader's come again, times the market's share in the symbol's moves. */
export const FLOW_INPUTS = 23;

/** Steepness of the response to a surge of volume, standardised. */
const STEEPNESS = 1.5;
/** Minutes that running means look back over, and those that a fitted mean square counts for at a run's begin. */
const MEAN_MINUTES = 60;
const PRIOR_MINUTES = 30;
/** What the newest of so many counts for in their mean. */
const SHARES = Float64Array.from({ length: MEAN_MINUTES + 1 }, (_, count) => 1 / count);
/** Smallest deviation of the surprises that is divided by. */
const SURPRISE_FLOOR = 0.1;
/** The leader's moves count for at most so many of its deviations. */
const MOST_LEADER_DEVIATIONS = 6;

/** What was fitted that flows are measured by. */
interface FlowUnits {
  /** The share of a mean surprise that is taken off. */
  readonly persistence: number;
  /** Mean square of the surprises, and of the leader's one-minute log returns. */
  readonly surpriseSquare: number;
  readonly leaderSquare: number;
}

function unitsOf(scaler: FittedScaler): FlowUnits {
  const market = marketOf(scaler);
  return {
    persistence: volumePersistenceOf(scaler),
    surpriseSquare: volumeDeviationOf(scaler) ** 2,
    leaderSquare: market ? market.deviations[market.leader] ** 2 : 0,
  };
}

/** The flows of one run, up to the row that it was given last. */
export class Flows {
  readonly #places: FlowColumns;
  readonly #units: FlowUnits;
  readonly #flows = new Float64Array(FLOWS);
  #minutes = 0;
  #trades = 0;
  /** Running means: of the surprises and their squares, of squared moves of the leader, the factors and the symbol. */
  #surprise = 0;
  #surpriseSquare = 0;
  #leaderSquare = 0;
  #explainedSquare = 0;
  #ownSquare = 0;

  constructor(places: FlowColumns, scaler: FittedScaler) {
    this.#places = places;
    this.#units = unitsOf(scaler);
    this.begin();
  }

  /** The next row is a run's first. */
  begin(): void {
    this.#flows.fill(0);
    this.#minutes = 0;
    this.#trades = 0;
    this.#surprise = 0;
    this.#surpriseSquare = this.#units.surpriseSquare;
    this.#leaderSquare = this.#units.leaderSquare;
    this.#explainedSquare = 0;
    this.#ownSquare = 0;
  }

  /** Takes the run's next row, whose numbers begin at `at`. */
  next(matrix: Float32Array, at: number): void {
    const places = this.#places;
    const flows = this.#flows;
    const move = matrix[at + places.logReturn];
    const explained = matrix[at + places.explained];
    const surge = matrix[at + places.quiet] === 1 ? 0 : this.#surgeOf(matrix[at + places.surprise]);
    const surging = surge * move;
    const squared = surge * surging;
    fadeWithTime(flows, MOVE, move);
    fadeWithTime(flows, TIMED, matrix[at + places.clock] * move);
    fadeWithTime(flows, EXPLAINED, explained);
    fadeWithTime(flows, LEADING, this.#leaderMoveOf(matrix[at + places.leader]));
    const left = 1 - FADING * surge;
    const quick = QUICK * left;
    const middle = Math.min(1, MIDDLE * left);
    const slow = Math.min(1, SLOW * left);
    const middleLess = Math.min(1, MIDDLE * (1 - FADING_MORE * surge));
    flows[ON_VOLUME] = middle * flows[ON_VOLUME] + move;
    flows[ON_VOLUME + 1] = middle * flows[ON_VOLUME + 1] + surging;
    flows[ON_VOLUME + 2] = middle * flows[ON_VOLUME + 2] + squared;
    flows[ON_VOLUME + 3] = quick * flows[ON_VOLUME + 3] + surging;
    flows[ON_VOLUME + 4] = quick * flows[ON_VOLUME + 4] + squared;
    flows[ON_VOLUME + 5] = slow * flows[ON_VOLUME + 5] + surging;
    flows[ON_VOLUME + 6] = middleLess * flows[ON_VOLUME + 6] + move;
    flows[ON_VOLUME + 7] = middleLess * flows[ON_VOLUME + 7] + surging;
    this.#minutes++;
    const share = SHARES[Math.min(this.#minutes, MEAN_MINUTES)];
    this.#explainedSquare += share * (explained * explained - this.#explainedSquare);
    this.#ownSquare += share * (move * move - this.#ownSquare);
  }

  /** How much a surprise surges beyond the last hour's; 0 for a run's first. */
  #surgeOf(surprise: number): number {
    const before = this.#trades++;
    const offset = surprise - surpriseShift(this.#surprise, this.#units.persistence);
    this.#surprise += (surprise - this.#surprise) * SHARES[Math.min(before + 1, MEAN_MINUTES)];
    if (before === 0) return 0;
    // z / sqrt(1 + z²) of the standardised offset, steepened.
    const steep = STEEPNESS * offset;
    const surge = steep / Math.sqrt(Math.max(SURPRISE_FLOOR * SURPRISE_FLOOR, this.#surpriseSquare) + steep * steep);
    this.#surpriseSquare += weightAfter(before) * (offset * offset - this.#surpriseSquare);
    return surge;
  }

  /** A move of the leader in its own deviations. */
  #leaderMoveOf(move: number): number {
    const square = this.#leaderSquare;
    this.#leaderSquare += weightAfter(this.#minutes) * (move * move - square);
    if (square === 0) return 0;
    return Math.max(-MOST_LEADER_DEVIATIONS, Math.min(MOST_LEADER_DEVIATIONS, move / Math.sqrt(square)));
  }

  /** About the symbol's correlation with the market. */
  #marketShare(): number {
    return this.#ownSquare > 0 ? Math.min(1, Math.sqrt(this.#explainedSquare / this.#ownSquare)) : 0;
  }

  /**
   * Writes the inputs of the linear forecast to `out[at ...]`, the symbol's own in units of its volatility.
   * @param unit 1 / the one-minute volatility
   * @param blind leaves out what the market says, as if nothing were known of it
   */
  inputs(unit: number, blind: boolean, out: Float64Array, at: number): void {
    const flows = this.#flows;
    const seen = blind ? 0 : 1;
    const share = seen * this.#marketShare();
    for (let f = 0; f < LEADING; f++) out[at + f] = unit * flows[f];
    if (blind) out.fill(0, at + EXPLAINED, at + ON_VOLUME);
    for (let f = LEADING; f < FLOWS; f++) {
      out[at + f] = seen * flows[f];
      out[at + f + FLOWS - LEADING] = share * flows[f];
    }
  }

  /** What weights `[FLOW_INPUTS]` make of the symbol's own flows, in log returns. */
  own(weights: Float64Array): number {
    const flows = this.#flows;
    // Two sums, neither of which waits for the other.
    let even = weights[0] * flows[0];
    let odd = 0;
    for (let f = 1; f < LEADING; f += 2) {
      odd += weights[f] * flows[f];
      even += weights[f + 1] * flows[f + 1];
    }
    return even + odd;
  }

  /** And of the leader's, in volatilities. */
  leading(weights: Float64Array): number {
    const flows = this.#flows;
    const share = this.#marketShare();
    let sum = 0;
    for (let f = LEADING; f < FLOWS; f++) sum += (weights[f] + share * weights[f + FLOWS - LEADING]) * flows[f];
    return sum;
  }
}

/** What the next square counts for after some, on top of what was known beforehand. */
const weightAfter = (count: number): number => SHARES[Math.min(count + 1 + PRIOR_MINUTES, MEAN_MINUTES)];

function fadeWithTime(flows: Float64Array, at: number, value: number): void {
  flows[at] = QUICK * flows[at] + value;
  flows[at + 1] = MIDDLE * flows[at + 1] + value;
  flows[at + 2] = SLOW * flows[at + 2] + value;
}
