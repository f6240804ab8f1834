/**
 * One symbol's trading on one day: the hidden paths, and the bars that are seen of them.
 *
 * The efficient log price p moves by σ(t) z(t) a minute; z is the pattern's (see pattern.ts), with
 * ε = ρ m + sqrt(1 - ρ²) e from the market's innovations m and the symbol's own e. σ(t) is the symbol's volatility
 * times the day's level, the time of day and a slow log-normal factor s (volatility clustering). The bars' closes are
 * exp(p ± half spread), rounded to four decimals.
 *
 * Limits: nights carry no news from the day before: the next open is hashed by itself.
 */

import type { Session } from '../../bars/index.ts';
import { hashText, Random } from '../../base/index.ts';
import { type Character, openingLevel, streamOf } from './character.ts';
import type { PlantedPattern } from './pattern.ts';

/** Slow factor of the volatility: s = exp(l - τ²/2), l an autoregression with coefficient φ and standard deviation τ. */
export const CLUSTER_DECAY = 0.98;
export const CLUSTER_DEVIATION = 0.3;
/** Surge of the volume: log volume deviates from usual by 0.8 x - 0.32, x an autoregression with variance 1. */
const SURGE_DECAY = 0.6;
const SURGE_DEVIATION = 0.8;
/** Correlation of the surge's innovations with those of the volatility. */
const SURGE_CLUSTER_CORRELATION = 0.3;
/** Half the bid-ask spread, in one-minute volatilities. */
const HALF_SPREAD = 0.08;
/** Share of the symbol-days with a hole, and its length in minutes. */
const HOLE_SHARE = 0.004;
const HOLE_SHORTEST = 15;
const HOLE_LONGEST = 45;
/** Random words set aside for one symbol-day. */
const WORDS_A_DAY = 8192;

/** The market's innovations of a day and its level of volatility, common to all symbols. */
export interface MarketDay {
  readonly innovations: Float64Array;
  readonly volatility: number;
}

/** All arrays have one number a session minute. */
export interface DayPath {
  readonly session: Session;
  readonly open: Float64Array;
  readonly high: Float64Array;
  readonly low: Float64Array;
  readonly close: Float64Array;
  readonly volume: Float64Array;
  /** 1 where the minute has a bar. */
  readonly traded: Uint8Array;
  /** The minutes of a hole, [from, to); empty on most days. */
  readonly hole: { readonly from: number; readonly to: number };
  /** p at the minute's end. */
  readonly logPrice: Float64Array;
  /** D: what the pattern has under way at the minute's end. */
  readonly echo: Float64Array;
  /** c: how the symbol responds to it in the minute. */
  readonly response: Float64Array;
  /** λ of the pattern. */
  readonly decay: number;
  /** l: the logarithm of the slow factor s, before its mean is taken off. */
  readonly cluster: Float64Array;
  /** σ(t) / s(t): the part of the volatility that is known beforehand. */
  readonly usualVolatility: Float64Array;
}

export interface PathSettings {
  readonly seed: number;
  readonly planted: PlantedPattern;
  /** a of the pattern; 0 for none. */
  readonly amplitude: number;
  /** Whether trades jump between bid and ask and prices are rounded to a hundredth of a cent; without, to a millionth of a dollar. */
  readonly friction: boolean;
}

const dayNumberOf = (session: Session): number => Math.floor(session.open / 1440);

/** Volatility over the day, about 1 at midday. */
const volatilityAt = (t: number, length: number): number =>
  0.8 + 0.9 * Math.exp(-t / 30) + 0.3 * Math.exp((t + 1 - length) / 25);
/** Volume over the day, about 1 at midday. */
const volumeAt = (t: number, length: number): number =>
  0.8 + 2.2 * Math.exp(-t / 25) + 1.5 * Math.exp((t + 1 - length) / 20);

export function generateMarketDay(seed: number, session: Session): MarketDay {
  const day = dayNumberOf(session);
  const random = new Random(seed, hashText('market innovations'), day * WORDS_A_DAY);
  const level = streamOf(seed, `market volatility ${day}`).normal();
  const innovations = new Float64Array(session.close - session.open);
  for (let t = 0; t < innovations.length; t++) innovations[t] = random.normal();
  return { innovations, volatility: Math.exp(0.25 * level - 0.03) };
}

export function generateDayPath(settings: PathSettings, who: Character, market: MarketDay, session: Session): DayPath {
  const { seed, planted, amplitude, friction } = settings;
  const day = dayNumberOf(session);
  const length = session.close - session.open;
  const random = new Random(seed, hashText(`day ${who.symbol}`), day * WORDS_A_DAY);
  const column = () => new Float64Array(length);
  const path = {
    session,
    open: column(),
    high: column(),
    low: column(),
    close: column(),
    volume: column(),
    traded: new Uint8Array(length),
    hole: drawHole(random, length),
    logPrice: column(),
    echo: column(),
    response: column(),
    decay: planted.decay,
    cluster: column(),
    usualVolatility: column(),
  };
  const level = who.volatility * market.volatility * Math.exp(0.15 * random.normal() - 0.011);
  const halfSpread = friction ? HALF_SPREAD * who.volatility : 0;
  const decimals = friction ? 1e4 : 1e6;
  const priceOf = (logPrice: number) => Math.round(Math.exp(logPrice) * decimals) / decimals;
  const own = Math.sqrt(1 - who.correlation ** 2);
  const surgeStep = Math.sqrt(1 - SURGE_DECAY ** 2);
  const clusterStep = CLUSTER_DEVIATION * Math.sqrt(1 - CLUSTER_DECAY ** 2);
  const surgeOwn = Math.sqrt(1 - SURGE_CLUSTER_CORRELATION ** 2);

  let logPrice = openingLevel(seed, who, day);
  let surge = random.normal();
  let cluster = CLUSTER_DEVIATION * random.normal();
  let echo = 0;
  for (let t = 0; t < length; t++) {
    if (t > 0) {
      const news = random.normal();
      cluster = CLUSTER_DECAY * cluster + clusterStep * news;
      surge = SURGE_DECAY * surge + surgeStep * (SURGE_CLUSTER_CORRELATION * news + surgeOwn * random.normal());
    }
    const innovation = who.correlation * market.innovations[t] + own * random.normal();
    const usual = level * volatilityAt(t, length);
    const volatility = usual * Math.exp(cluster - CLUSTER_DEVIATION ** 2 / 2);
    const before = logPrice;
    const response = planted.response(who.correlation, t, length);
    logPrice += volatility * (innovation + amplitude * response * echo);
    echo = planted.decay * echo + planted.impulse({ innovation, market: market.innovations[t], surge });

    const sides = random.below(4);
    const first = before + (sides & 1 ? halfSpread : -halfSpread);
    const last = logPrice + (sides & 2 ? halfSpread : -halfSpread);
    const reach = 0.4 * volatility;
    path.open[t] = priceOf(first);
    path.close[t] = priceOf(last);
    path.high[t] = priceOf(Math.max(first, last) - reach * Math.log(1 - random.uniform()));
    path.low[t] = priceOf(Math.min(first, last) + reach * Math.log(1 - random.uniform()));
    const deviation = SURGE_DEVIATION * surge - SURGE_DEVIATION ** 2 / 2;
    path.volume[t] = Math.max(1, Math.round(who.volume * volumeAt(t, length) * Math.exp(deviation)));
    path.traded[t] = random.uniform() >= who.quiet && (t < path.hole.from || t >= path.hole.to) ? 1 : 0;
    path.logPrice[t] = logPrice;
    path.echo[t] = echo;
    path.response[t] = response;
    path.cluster[t] = cluster;
    path.usualVolatility[t] = usual;
  }
  return path;
}

/** Draws three words whether there is a hole or not. */
function drawHole(random: Random, length: number): { from: number; to: number } {
  const there = random.uniform() < HOLE_SHARE;
  const from = random.below(length);
  const minutes = HOLE_SHORTEST + random.below(HOLE_LONGEST - HOLE_SHORTEST + 1);
  return there ? { from, to: Math.min(length, from + minutes) } : { from: 0, to: 0 };
}
