/**
 * How much of a forecast to believe: the amplitude of each of its parts, fitted on the validation part and drawn towards
 * what was thought of it before, and what is taken off windows that trade most.
 */
import { calibratedReturn, tradingOf } from '../model/index.ts';

/** A part without any skill on the validation part keeps this share of its amplitude, so that its ranking survives. */
const LEAST_GAIN = 0.05;
const MOST_GAIN = 1.25;

/**
 * What amplitudes are thought to be before the validation part has spoken, mean and standard deviation. A linear
 * forecast of much effect comes with about the right one; of what a network finds in what that leaves over, days that
 * it was not trained on keep a fifth (walk-forward, `docs/concepts/what-was-tried.md`).
 */
const FIRST_GAIN = { mean: 0.95, deviation: 0.1 };
const OTHER_GAIN = { mean: 0.2, deviation: 0.1 };
/** Minutes whose errors, over all symbols, count as one observation of an amplitude. */
const BLOCK_MINUTES = 30;
/** Standard deviation of a good amplitude from one day to the next, beyond what half hours tell. */
const DAY_DEVIATION = 0.1;
/**
 * What is thought of the amplitudes falls by 1 + this many squared standard errors of the first: where the validation
 * part cannot tell a forecast from noise, the training part, some five times as long, could not tell some twenty
 * directions of noise from one either.
 */
const DOUBT = 4;

/**
 * The amplitude of each part: coordinate descent on the squared error of scaled returns, each within
 * [{@link LEAST_GAIN}, {@link MOST_GAIN}]. With `asOf` each is drawn towards what was thought of it before by as much
 * as the validation part leaves it uncertain (the mean of a normal posterior). Symbols share a market and windows
 * overlap, so many symbols say less than their number: the uncertainty is that of sums over blocks of minutes, and a
 * day adds its own, however many minutes it has.
 *
 * @param parts `[N]` each, divided by the volatility
 * @param asOf `[N]` EpochMinute
 */
export function fitGains(parts: readonly Float64Array[], realised: Float64Array, asOf?: Int32Array): number[] {
  const P = parts.length;
  const products = parts.map((a) => parts.map((b) => dot(a, b)));
  const targets = parts.map((a) => dot(a, realised));
  if (asOf) {
    const priors = parts.map((_, p) => (p === 0 ? FIRST_GAIN : OTHER_GAIN));
    const expected = calibratedReturn({ parts }, { gains: priors.map(({ mean }) => mean) });
    const errors = realised.map((value, i) => value - expected[i]);
    const ofDays = DAY_DEVIATION ** 2 / Math.max(1, new Set(asOf.map((minute) => Math.floor(minute / 1440))).size);
    const variances = parts.map((part, p) => blockSquares(part, errors, asOf) / products[p][p] ** 2);
    const belief = Number.isFinite(variances[0]) ? 1 / (1 + DOUBT * variances[0]) : 1;
    priors.forEach(({ mean, deviation }, p) => {
      const believed = belief * mean;
      // The less is believed, the wider: between nothing and what would be thought without doubt.
      const width = Math.max(deviation, (mean - believed) / 2);
      const weight = ((variances[p] + ofDays) * products[p][p]) / width ** 2;
      if (!Number.isFinite(weight)) return;
      products[p][p] += weight;
      targets[p] += weight * believed;
    });
  }
  const gains = new Array<number>(P).fill(1);
  for (let round = 0; round < 50; round++) {
    for (let p = 0; p < P; p++) {
      if (!(products[p][p] > 0)) continue;
      let left = targets[p];
      for (let q = 0; q < P; q++) if (q !== p) left -= products[p][q] * gains[q];
      gains[p] = Math.min(MOST_GAIN, Math.max(LEAST_GAIN, left / products[p][p]));
    }
  }
  return gains;
}

/** Before windows have spoken the damping is thought to be 0, with this standard deviation; at most the other. */
const DAMPING_DEVIATION = 0.5;
const MOST_DAMPING = 0.8;
/** A slope below this is no measure for the damping. */
const LEAST_SLOPE = 0.3;

/**
 * The share of the first part's amplitude to take off windows that trade most: what the slope of the outcomes on the
 * part loses from windows that trade little to those, relative to it. Least squares, drawn towards 0 as in
 * {@link fitGains}. It is a ratio of slopes, so training windows tell it too, on which all slopes are too high.
 *
 * @param parts `[N]` each, divided by the volatility
 * @param liquidity `[N]`
 */
export function fitDamping(
  parts: readonly Float64Array[],
  liquidity: Float64Array | undefined,
  realised: Float64Array,
  asOf: Int32Array,
): number {
  if (!liquidity) return 0;
  const [base, ...others] = parts;
  const traded = base.map((value, i) => -value * tradingOf(liquidity[i]));
  const left = realised.map((value, i) => others.reduce((rest, part) => rest - OTHER_GAIN.mean * part[i], value));
  const errors = left.map((value, i) => value - FIRST_GAIN.mean * base[i]);
  const squares = dot(traded, traded);
  const crossed = dot(base, traded);
  const weighted = squares + blockSquares(traded, errors, asOf) / squares / DAMPING_DEVIATION ** 2;
  const whole = dot(base, base);
  const determinant = whole * weighted - crossed ** 2;
  if (!(squares > 0) || !(determinant > 0)) return 0;
  const [onBase, onTraded] = [dot(base, left), dot(traded, left)];
  const slope = (weighted * onBase - crossed * onTraded) / determinant;
  const loss = (whole * onTraded - crossed * onBase) / determinant;
  return Math.max(0, Math.min(MOST_DAMPING, loss / Math.max(slope, LEAST_SLOPE)));
}

/** The sum over blocks of minutes of the square of what part times error adds up to in them. */
function blockSquares(part: Float64Array, errors: Float64Array, asOf: Int32Array): number {
  const sums = new Map<number, number>();
  for (let i = 0; i < part.length; i++) {
    const block = Math.floor(asOf[i] / BLOCK_MINUTES);
    sums.set(block, (sums.get(block) ?? 0) + part[i] * errors[i]);
  }
  let square = 0;
  for (const sum of sums.values()) square += sum * sum;
  return square;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
