/**
 * The pattern that the simulated market plants into its returns, and what can be known of the future because of it.
 *
 * A move on unusually high volume goes on for some minutes; a move on low volume is taken back (the signs that
 * Llorente, Michaely, Saar & Wang, "Dynamic volume-return relation of individual stocks", Review of Financial Studies
 * 2002, read as informed and uninformed trading). With ε independent standard normal numbers and x the standardised
 * surge of volume, a minute's standardised return is
 *
 *     z(t) = ε(t) + a D(t-1),    D(t) = λ D(t-1) + g(x(t)) ε(t),    g(x) = tanh(κ x + b).
 *
 * What follows minute t is known as far as D(t) is: E[z(t+h)] = a λ^(h-1) D(t), without approximation.
 * `docs/concepts/simulated-exchange.md` derives the best score that follows.
 */
import { BarcastError } from '../../base/index.ts';

/** λ: what is left of an echo a minute later; half of it after 6.6 minutes. */
export const ECHO_DECAY = 0.9;
/** κ and b of g. With b above 0 the mean of g is positive: past returns alone tell a linear model 40% of it. */
const STEEPNESS = 2;
const LEAN = 0.5;

export const DEFAULT_STRENGTH = 0.2;
/** The horizon for which the strength is stated. */
export const STRENGTH_HORIZON = 5;

/** g: what share of a move is repeated (positive) or taken back (negative), by the standardised surge of its volume. */
export const echoOf = (surge: number): number => Math.tanh(STEEPNESS * surge + LEAN);

/** Mean and mean square of g(x) for a standard normal x, by the trapezoidal rule. */
export function echoMoments(): { mean: number; meanSquare: number } {
  const step = 1 / 64;
  let mean = 0;
  let meanSquare = 0;
  for (let x = -9; x <= 9; x += step) {
    const density = (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) * step;
    mean += density * echoOf(x);
    meanSquare += density * echoOf(x) ** 2;
  }
  return { mean, meanSquare };
}

/** S(h) = 1 + λ + … + λ^(h-1): an echo's sum over h minutes. */
const echoSum = (minutes: number): number => (1 - ECHO_DECAY ** minutes) / (1 - ECHO_DECAY);

/** P = foreseen a² and N = horizon + linear a + square a²: the variances of {@link bestSkillOf}. */
function variances(horizon: number): { foreseen: number; linear: number; square: number } {
  const { mean, meanSquare } = echoMoments();
  let linear = 0;
  let square = 0;
  for (let m = 0; m < horizon; m++) {
    linear += 2 * mean * echoSum(m);
    square += meanSquare * echoSum(m) ** 2;
  }
  return { foreseen: (meanSquare * echoSum(horizon) ** 2) / (1 - ECHO_DECAY ** 2), linear, square };
}

/**
 * The best skill at a horizon for constant volatility and no bid-ask bounce: P / (P + N), where
 * P = a² S(h)² E[g²] / (1 - λ²) is the variance of what is known and N = Σ_{m<h} E[(1 + a g S(m))²] of what is not.
 */
export function bestSkillOf(amplitude: number, horizon: number): number {
  const { foreseen, linear, square } = variances(horizon);
  const p = amplitude ** 2 * foreseen;
  return p / (p + horizon + amplitude * linear + amplitude ** 2 * square);
}

/**
 * The amplitude a whose best skill at five minutes is `strength`.
 * @throws BARCAST_E_USAGE for a strength outside [0, 0.6]
 */
export function amplitudeOf(strength: number): number {
  if (!(strength >= 0 && strength <= 0.6)) {
    throw new BarcastError('BARCAST_E_USAGE', `a pattern of strength ${strength} cannot be planted`, 'use 0 to 0.6');
  }
  // P (1 - strength) = strength N is a quadratic equation in a.
  const { foreseen, linear, square } = variances(STRENGTH_HORIZON);
  const a2 = foreseen * (1 - strength) - strength * square;
  const a1 = -strength * linear;
  const a0 = -strength * STRENGTH_HORIZON;
  return (-a1 + Math.sqrt(a1 * a1 - 4 * a2 * a0)) / (2 * a2);
}
