/**
 * What distinguishes the symbols of the simulated market, and the levels they stand at day by day. All of it is hashed
 * from (seed, symbol) and (seed, symbol, day), so that any day can be had without the days before it.
 */
import { hashText, Random } from '../../base/index.ts';
import { CORRELATIONS } from './pattern.ts';

/** The symbol that is the market itself. */
export const INDEX_SYMBOL = 'SPY';

export interface Character {
  readonly symbol: string;
  /** Around which the price wanders over the years, in dollars. */
  readonly price: number;
  /** Typical standard deviation of a one-minute log return. */
  readonly volatility: number;
  /** Correlation of the one-minute innovations with the market's. Beta is this times the ratio of the volatilities. */
  readonly correlation: number;
  /** Shares in a typical minute at midday. */
  readonly volume: number;
  /** Probability that a minute has no trade; above 0 for a few thin symbols only. */
  readonly quiet: number;
}

/** One symbol in this many is thin. */
const THIN_ONE_IN = 40;

/** A random stream of a name's own. */
export const streamOf = (seed: number, name: string): Random => new Random(seed, hashText(name));

export function characterOf(seed: number, symbol: string): Character {
  if (symbol === INDEX_SYMBOL) {
    return { symbol, price: 500, volatility: 0.00025, correlation: 1, volume: 120_000, quiet: 0 };
  }
  const random = streamOf(seed, `character ${symbol}`);
  const price = Math.min(5000, Math.max(1.2, 90 * Math.exp(1.25 * random.normal())));
  const volatility = 0.0004 * 3 ** random.uniform();
  const correlation = CORRELATIONS.least + (CORRELATIONS.most - CORRELATIONS.least) * random.uniform();
  const dollars = 400_000 * Math.exp(0.8 * random.normal());
  const thin = random.below(THIN_ONE_IN) === 0;
  const quiet = thin ? 0.05 + 0.25 * random.uniform() : 0;
  return { symbol, price, volatility, correlation, volume: Math.max(400, dollars / price / (thin ? 20 : 1)), quiet };
}

/** Octaves of {@link wander}: periods of 1, 2, 4, … 1024 days. */
const OCTAVES = 11;

/**
 * A number that changes from day to day about as a random walk does, and stays within bounds over decades: straight
 * lines between hashed normal numbers, one octave for every period, its size the square root of the period. A one-day
 * step has a standard deviation of about 1.9, the whole about 35.
 */
export function wander(seed: number, name: string, day: number): number {
  let sum = 0;
  for (let octave = 0; octave < OCTAVES; octave++) {
    const period = 2 ** octave;
    const knot = Math.floor(day / period);
    const share = day / period - knot;
    const stream = hashText(`${name} ${octave}`);
    const at = (k: number) => new Random(seed, stream, 4 * k).normal();
    sum += Math.sqrt(period) * (at(knot) + share * (at(knot + 1) - at(knot)));
  }
  return sum;
}

/** Natural logarithm of the price at a day's open. */
export const openingLevel = (seed: number, character: Character, day: number): number =>
  Math.log(character.price) + 6 * character.volatility * wander(seed, `level ${character.symbol}`, day);
