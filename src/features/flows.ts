/**
 * Inputs of the linear forecast that remember past moves: each move counts for less the longer ago it was, and for how
 * much it counts in the first place is told by the volume it came on, by the time of day, and by who made it. Moves on
 * surging volume tend to go on and others to be taken back (Llorente, Michaely, Saar & Wang 2002), and prices follow
 * the market with a delay (Lo & MacKinlay 1990).
 *
 *     x(t) = min(1, d (1 - c w(t))) x(t-1) + v(t)
 *
 * with d a decay a minute, w the surge of the volume within ±1, and v a move times what it counts for. With c = 0 a
 * move fades with time; above 0 it fades faster while much is traded, on the volume's clock (Clark 1973; Easley, Lopez
 * de Prado & O'Hara 2012), and never grows.
 */
import type { WindowScales } from './linear-columns.ts';
import type { ResidualPaths } from './residual-paths.ts';

/** Minutes that are looked back over. */
const LOOK_BACK = 59;
/** Steepness of the response to a surge of volume, standardised. */
const STEEPNESS = 1.5;

/** Flows that fade with time: three decays of each kind of move. */
const DECAYS = [0.7, 0.9, 0.96];
/** The move; times the session clock; what the factors explain of it; the leader's, as it is and times the market's share. */
const TIMED_KINDS = ['move', 'timed', 'explained', 'leading', 'shared'] as const;
/** Flows on the volume's clock: d and c, and powers of w that a move is taken times. */
const FADING = [
  { decay: 0.9, fading: 0.15, powers: [0, 1, 2] },
  { decay: 0.7, fading: 0.15, powers: [1, 2] },
  { decay: 0.96, fading: 0.15, powers: [1] },
  { decay: 0.9, fading: 0.28, powers: [0, 1] },
] as const;
const POWERS = 3;

const TIMED_INPUTS = TIMED_KINDS.length * DECAYS.length;
export const FLOW_INPUTS = TIMED_INPUTS + FADING.reduce((sum, { powers }) => sum + powers.length, 0);

/** How much surges by which a surprise of the volume; a quiet minute (NaN) has none. */
function surgeOf(surprise: number, mean: number, steepness: number): number {
  if (Number.isNaN(surprise)) return 0;
  const z = steepness * (surprise - mean);
  return z / Math.sqrt(1 + z * z);
}

function sumOfSquares(values: Float64Array, place: number): number {
  let sum = 0;
  for (let at = place - LOOK_BACK + 1; at <= place; at++) sum += values[at] * values[at];
  return sum;
}

/** What the leader's moves are divided by: its own root mean square; their size is told in these units. */
function leaderUnitOf(paths: ResidualPaths, place: number): number {
  const squares = sumOfSquares(paths.leaders, place);
  return squares > 0 ? Math.sqrt(LOOK_BACK / squares) : 0;
}

/** About the symbol's correlation with the market. @param unit 1 / its one-minute volatility */
const marketShareOf = (paths: ResidualPaths, place: number, unit: number): number =>
  Math.min(1, Math.sqrt(sumOfSquares(paths.explained, place) / LOOK_BACK) * unit);

/** Writes the inputs of the window at a place of the paths to `out[at ...]`. */
export function flowInputs(
  paths: ResidualPaths,
  place: number,
  { minuteVolatility, surpriseMean, surpriseGain }: WindowScales,
  out: Float64Array,
  at: number,
): void {
  const { logReturns, timed, explained, leaders, surprises } = paths;
  const unit = 1 / minuteVolatility;
  const leaderUnit = leaderUnitOf(paths, place);
  const series = [
    { values: logReturns, unit },
    { values: timed, unit },
    { values: explained, unit },
    { values: leaders, unit: leaderUnit },
    { values: leaders, unit: leaderUnit * marketShareOf(paths, place, unit) },
  ];
  let i = at;
  for (const { values, unit: scale } of series) {
    for (const decay of DECAYS) {
      let x = 0;
      for (let t = place - LOOK_BACK + 1; t <= place; t++) x = decay * x + values[t];
      out[i++] = x * scale;
    }
  }
  const steepness = STEEPNESS * surpriseGain;
  const first = place - LOOK_BACK + 1;
  for (let k = 0; k < LOOK_BACK; k++) surges[k] = surgeOf(surprises[first + k], surpriseMean, steepness);
  for (const { decay, fading, powers } of FADING) {
    for (const power of powers) {
      let x = 0;
      for (let k = 0; k < LOOK_BACK; k++) {
        const w = surges[k];
        const counts = power === 0 ? 1 : power === 1 ? w : w * w;
        x = Math.min(1, decay * (1 - fading * w)) * x + counts * logReturns[first + k];
      }
      out[i++] = x * unit;
    }
  }
}

/** Of the window at hand. */
const surges = new Float64Array(LOOK_BACK);

/**
 * What weights make of {@link flowInputs}, at a fraction of the time: decays that are the same for all windows are one
 * kernel over the lags, and moves that fade alike are added up beforehand.
 */
export class FlowForecast {
  /** `[59]` by lag, one of each kind. */
  readonly #kernels: Float64Array[];
  /** `[FADING, POWERS]` */
  readonly #fading = new Float64Array(FADING.length * POWERS);

  /** @param weights `[FLOW_INPUTS]` */
  constructor(weights: Float64Array) {
    this.#kernels = TIMED_KINDS.map((_, kind) =>
      Float64Array.from({ length: LOOK_BACK }, (_, lag) =>
        DECAYS.reduce((sum, decay, d) => sum + weights[kind * DECAYS.length + d] * decay ** lag, 0),
      ),
    );
    let at = TIMED_INPUTS;
    FADING.forEach(({ powers }, f) => {
      for (const power of powers) this.#fading[f * POWERS + power] = weights[at++];
    });
  }

  of(paths: ResidualPaths, place: number, scales: WindowScales): number {
    const { logReturns, timed, explained, leaders } = paths;
    const [ofMove, ofTimed, ofExplained, ofLeading, ofShared] = this.#kernels;
    const unit = 1 / scales.minuteVolatility;
    let own = 0;
    let leading = 0;
    let shared = 0;
    for (let lag = 0, t = place; lag < LOOK_BACK; lag++, t--) {
      own += ofMove[lag] * logReturns[t] + ofTimed[lag] * timed[t] + ofExplained[lag] * explained[t];
      leading += ofLeading[lag] * leaders[t];
      shared += ofShared[lag] * leaders[t];
    }
    const leader = paths.blind ? 0 : leading + shared * marketShareOf(paths, place, unit);
    return (own + this.#onVolume(paths, place, scales)) * unit + leader * leaderUnitOf(paths, place);
  }

  /** The flows on the volume's clock, side by side so that none waits for another. */
  #onVolume({ logReturns, surprises }: ResidualPaths, place: number, scales: WindowScales): number {
    const mean = scales.surpriseMean;
    const steepness = STEEPNESS * scales.surpriseGain;
    const [a, b, c, d] = FADING;
    const [a0, a1, a2, , b1, b2, , c1, , d0, d1] = this.#fading;
    let [xa, xb, xc, xd] = [0, 0, 0, 0];
    for (let t = place - LOOK_BACK + 1; t <= place; t++) {
      const w = surgeOf(surprises[t], mean, steepness);
      const move = logReturns[t];
      const surging = w * move;
      xa = Math.min(1, a.decay - a.decay * a.fading * w) * xa + a0 * move + (a1 + a2 * w) * surging;
      xb = Math.min(1, b.decay - b.decay * b.fading * w) * xb + (b1 + b2 * w) * surging;
      xc = Math.min(1, c.decay - c.decay * c.fading * w) * xc + c1 * surging;
      xd = Math.min(1, d.decay - d.decay * d.fading * w) * xd + d0 * move + d1 * surging;
    }
    return xa + xb + xc + xd;
  }
}
