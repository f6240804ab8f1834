/**
 * The patterns that the simulated market plants into its returns, and what can be known of the future because of them.
 *
 * With ε independent standard normal numbers, a minute's standardised return is
 *
 *     z(t) = ε(t) + a c(t) D(t-1),    D(t) = λ D(t-1) + w(t)
 *
 * where w, the impulse that a minute leaves behind, has mean 0 given everything before it. What follows minute t is
 * known as far as D(t) is: E[z(t+h)] = a c(t+h) λ^(h-1) D(t), without approximation. Patterns differ in λ, in the
 * impulse w and in the response c. `docs/concepts/simulated-exchange.md` derives the best score that follows.
 */
import { BarcastError } from '../../base/index.ts';

export const DEFAULT_STRENGTH = 0.2;
/** The horizon for which the strength is stated. */
export const STRENGTH_HORIZON = 5;

/** The numbers of one symbol's minute that an impulse is made of, each with mean 0 and variance 1. */
export interface MinuteNews {
  /** ε: what is new in the symbol's own return. */
  readonly innovation: number;
  /** m: what is new in the market's. */
  readonly market: number;
  /** x: the surge of the symbol's volume. */
  readonly surge: number;
}

export interface PlantedPattern {
  /** λ: what is left of an impulse a minute later. */
  readonly decay: number;
  /** w */
  impulse(news: MinuteNews): number;
  /**
   * c, by the symbol's correlation with the market and the minute of the session.
   * @param length minutes of the session
   */
  response(correlation: number, minute: number, length: number): number;
  /** E[c w ε] and E[(c w)²], over minutes and symbols: what the strength follows from. */
  moments(): { readonly mean: number; readonly meanSquare: number };
}

export type PatternName = 'echo' | 'reversal' | 'lead' | 'clock';
/** `none`: a random walk without a bid-ask bounce, in which nothing can be found. */
export type Pattern = PatternName | 'none';

/** κ and b of the echo. With b above 0 the mean of g is positive: past returns alone tell a linear model 40% of it. */
const STEEPNESS = 2;
const LEAN = 0.5;

/** g: what share of a move is repeated (positive) or taken back (negative), by the standardised surge of its volume. */
export const echoOf = (surge: number): number => Math.tanh(STEEPNESS * surge + LEAN);

/** Correlations of the symbols with the market lie evenly between these, see character.ts. */
export const CORRELATIONS = { least: 0.3, most: 0.75 };
/** The symbol that is the market itself waits for nobody. */
const LEADS = 1;

/** Over the minutes from the sixtieth on, in which windows end, the clock's response has the mean square 1, and this mean. */
const CLOCK_SCALE = 0.9656;
const CLOCK_MEAN = 0.797;

const always = () => 1;

export const PATTERNS: Readonly<Record<PatternName, PlantedPattern>> = {
  // A move on unusually high volume goes on for some minutes, a move on low volume is taken back: the signs that
  // Llorente, Michaely, Saar & Wang, "Dynamic volume-return relation of individual stocks", Review of Financial Studies
  // 2002, read as informed and uninformed trading.
  echo: {
    decay: 0.9,
    impulse: ({ innovation, surge }) => echoOf(surge) * innovation,
    response: always,
    moments: () => ({ mean: meanOf(echoOf), meanSquare: meanOf((x) => echoOf(x) ** 2) }),
  },
  // Moves are taken back little by little: an ARMA(1, 1), and all that a linear model needs. What is under way is told
  // from returns that count for (λ + a)^k after k minutes: with a slower decay, hours of them at high strengths.
  reversal: {
    decay: 0.6,
    impulse: ({ innovation }) => -innovation,
    response: always,
    moments: () => ({ mean: -1, meanSquare: 1 }),
  },
  // Everybody follows the index with a delay (Lo & MacKinlay, "When are contrarian profits due to stock market
  // overreaction?", Review of Financial Studies 1990).
  lead: {
    decay: 0.85,
    impulse: ({ market }) => market,
    response: (correlation) => (correlation === LEADS ? 0 : correlation),
    moments: () => {
      const { least, most } = CORRELATIONS;
      const meanSquare = (most ** 3 - least ** 3) / (3 * (most - least));
      return { mean: meanSquare, meanSquare };
    },
  },
  // Moves go on for a while early in the day, and ever less of them towards the close.
  clock: {
    decay: 0.9,
    impulse: ({ innovation }) => innovation,
    response: (_, minute, length) => CLOCK_SCALE * (1 + Math.cos((Math.PI * minute) / (length - 1))),
    moments: () => ({ mean: CLOCK_MEAN, meanSquare: 1 }),
  },
};

export const PATTERN_NAMES = Object.keys(PATTERNS) as readonly PatternName[];

/** The mean of a function of a standard normal number, by the trapezoidal rule. */
function meanOf(f: (x: number) => number): number {
  const step = 1 / 64;
  let mean = 0;
  for (let x = -9; x <= 9; x += step) mean += f(x) * (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) * step;
  return mean;
}

/** P = foreseen a² and N = horizon + linear a + square a²: the variances of {@link bestSkillOf}. */
function variances(pattern: PlantedPattern, horizon: number): { foreseen: number; linear: number; square: number } {
  const { decay } = pattern;
  const { mean, meanSquare } = pattern.moments();
  /** S(h) = 1 + λ + … + λ^(h-1): an impulse's sum over h minutes. */
  const sumOver = (minutes: number): number => (1 - decay ** minutes) / (1 - decay);
  let linear = 0;
  let square = 0;
  for (let m = 0; m < horizon; m++) {
    linear += 2 * mean * sumOver(m);
    square += meanSquare * sumOver(m) ** 2;
  }
  return { foreseen: (meanSquare * sumOver(horizon) ** 2) / (1 - decay ** 2), linear, square };
}

/**
 * The best skill at a horizon for constant volatility and no bid-ask bounce: P / (P + N), where
 * P = a² S(h)² E[(c w)²] / (1 - λ²) is the variance of what is known and N = Σ_{m<h} E[(ε + a c w S(m))²] of what is not.
 */
export function bestSkillOf(amplitude: number, horizon: number, name: PatternName = 'echo'): number {
  const { foreseen, linear, square } = variances(PATTERNS[name], horizon);
  const p = amplitude ** 2 * foreseen;
  return p / (p + horizon + amplitude * linear + amplitude ** 2 * square);
}

/**
 * The amplitude a whose best skill at five minutes is `strength`.
 * @throws BARCAST_E_USAGE for a strength outside [0, 0.6]
 */
export function amplitudeOf(strength: number, name: PatternName = 'echo'): number {
  if (!(strength >= 0 && strength <= 0.6)) {
    throw new BarcastError('BARCAST_E_USAGE', `a pattern of strength ${strength} cannot be planted`, 'use 0 to 0.6');
  }
  // P (1 - strength) = strength N is a quadratic equation in a.
  const { foreseen, linear, square } = variances(PATTERNS[name], STRENGTH_HORIZON);
  const a2 = foreseen * (1 - strength) - strength * square;
  const a1 = -strength * linear;
  const a0 = -strength * STRENGTH_HORIZON;
  return (-a1 + Math.sqrt(a1 * a1 - 4 * a2 * a0)) / (2 * a2);
}
