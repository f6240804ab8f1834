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

/** What a flow adds up: see {@link Flows.next}. */
const [MOVE, SURGING, SQUARED, TIMED, EXPLAINED, LEADING] = [0, 1, 2, 3, 4, 5];
const SOURCES = 6;

const faded = (of: number, ...decays: number[]) => decays.map((decay) => ({ of, decay, fading: 0 }));

const FLOWS = [
  ...faded(MOVE, 0.7, 0.9, 0.96),
  ...faded(TIMED, 0.7, 0.9, 0.96),
  ...faded(EXPLAINED, 0.7, 0.9, 0.96),
  { of: MOVE, decay: 0.9, fading: 0.15 },
  { of: SURGING, decay: 0.9, fading: 0.15 },
  { of: SQUARED, decay: 0.9, fading: 0.15 },
  { of: SURGING, decay: 0.7, fading: 0.15 },
  { of: SQUARED, decay: 0.7, fading: 0.15 },
  { of: SURGING, decay: 0.96, fading: 0.15 },
  { of: MOVE, decay: 0.9, fading: 0.28 },
  { of: SURGING, decay: 0.9, fading: 0.28 },
  ...faded(LEADING, 0.7, 0.9, 0.96),
];
/** The leader's come last, and once more times the market's share in the symbol's moves. */
const OWN_FLOWS = FLOWS.findIndex(({ of }) => of === LEADING);
const LEADERS_FLOWS = FLOWS.length - OWN_FLOWS;

/** Numbers that a run's flows give the linear forecast. */
export const FLOW_INPUTS = FLOWS.length + LEADERS_FLOWS;

const OF = Uint8Array.from(FLOWS, ({ of }) => of);
const DECAY = Float64Array.from(FLOWS, ({ decay }) => decay);
const FADING = Float64Array.from(FLOWS, ({ decay, fading }) => decay * fading);

/** Steepness of the response to a surge of volume, standardised. */
const STEEPNESS = 1.5;
/** Minutes that running means look back over, and those that a fitted mean square counts for at a run's begin. */
const MEAN_MINUTES = 60;
const PRIOR_MINUTES = 30;
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
  readonly #flows = new Float64Array(FLOWS.length);
  readonly #values = new Float64Array(SOURCES);
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
    const values = this.#values;
    const move = matrix[at + places.logReturn];
    const explained = matrix[at + places.explained];
    const surge = matrix[at + places.quiet] === 1 ? 0 : this.#surgeOf(matrix[at + places.surprise]);
    values[MOVE] = move;
    values[SURGING] = surge * move;
    values[SQUARED] = surge * surge * move;
    values[TIMED] = matrix[at + places.clock] * move;
    values[EXPLAINED] = explained;
    values[LEADING] = this.#leaderMoveOf(matrix[at + places.leader]);
    for (let f = 0; f < flows.length; f++)
      flows[f] = Math.min(1, DECAY[f] - FADING[f] * surge) * flows[f] + values[OF[f]];
    this.#minutes++;
    const share = 1 / Math.min(this.#minutes, MEAN_MINUTES);
    this.#explainedSquare += share * (explained * explained - this.#explainedSquare);
    this.#ownSquare += share * (move * move - this.#ownSquare);
  }

  /** How much a surprise surges beyond the last hour's; 0 for a run's first. */
  #surgeOf(surprise: number): number {
    const before = this.#trades++;
    const offset = surprise - surpriseShift(this.#surprise, this.#units.persistence);
    this.#surprise += (surprise - this.#surprise) / Math.min(before + 1, MEAN_MINUTES);
    if (before === 0) return 0;
    const z = (STEEPNESS * offset) / Math.max(SURPRISE_FLOOR, Math.sqrt(this.#surpriseSquare));
    this.#surpriseSquare += weightAfter(before) * (offset * offset - this.#surpriseSquare);
    return z / Math.sqrt(1 + z * z);
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
    for (let f = 0; f < OWN_FLOWS; f++) out[at + f] = (OF[f] === EXPLAINED ? seen : 1) * unit * flows[f];
    for (let f = OWN_FLOWS; f < flows.length; f++) {
      out[at + f] = seen * flows[f];
      out[at + f + LEADERS_FLOWS] = share * flows[f];
    }
  }

  /** What weights `[FLOW_INPUTS]` make of the symbol's own flows, in log returns. */
  own(weights: Float64Array): number {
    const flows = this.#flows;
    let sum = 0;
    for (let f = 0; f < OWN_FLOWS; f++) sum += weights[f] * flows[f];
    return sum;
  }

  /** And of the leader's, in volatilities. */
  leading(weights: Float64Array): number {
    const flows = this.#flows;
    const share = this.#marketShare();
    let sum = 0;
    for (let f = OWN_FLOWS; f < flows.length; f++) sum += (weights[f] + share * weights[f + LEADERS_FLOWS]) * flows[f];
    return sum;
  }
}

/** What the next square counts for after some, on top of what was known beforehand. */
const weightAfter = (count: number): number => 1 / Math.min(count + 1 + PRIOR_MINUTES, MEAN_MINUTES);
