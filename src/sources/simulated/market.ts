/**
 * The simulated market: every symbol's bars on every session, determined by (seed, symbol, day) alone. Any symbol-day
 * is made by itself when asked for; some are kept.
 */

import { type Session, SP500 } from '../../bars/index.ts';
import { BarcastError } from '../../base/index.ts';
import { type Character, characterOf, INDEX_SYMBOL } from './character.ts';
import { type DayPath, generateDayPath, generateMarketDay, type MarketDay, type PathSettings } from './day-path.ts';
import { amplitudeOf, DEFAULT_STRENGTH, PATTERNS, type Pattern } from './pattern.ts';
import { type BestReachable, type ReachableRequest, ReachableScore } from './reachable.ts';

export interface MarketOptions {
  /** Any whole number; the same seed is the same market for ever. */
  readonly seed: number;
  /** Canonical; default the S&P 500's constituents and SPY. */
  readonly symbols?: readonly string[];
  /** See pattern.ts; default `echo`. */
  readonly pattern?: Pattern;
  /** Best skill at five minutes before bid-ask bounce; default 0.2. */
  readonly strength?: number;
  /** Symbol-days kept in memory at most, about 35 kB each; default 1,200. */
  readonly keptDays?: number;
}

/** Symbol-days kept: about 40 MB, and today of every default symbol with a week of a few besides. */
const KEPT_DAYS = 1200;
const KEPT_MARKET_DAYS = 64;

export class Market {
  readonly seed: number;
  readonly pattern: Pattern;
  /** Sorted. */
  readonly symbols: readonly string[];
  /** a of the pattern. */
  readonly amplitude: number;
  readonly #settings: PathSettings;
  readonly #keptDays: number;
  readonly #characters = new Map<string, Character>();
  readonly #days = new Map<string, DayPath>();
  readonly #marketDays = new Map<number, MarketDay>();

  /** @throws BARCAST_E_USAGE for a strength that cannot be planted */
  constructor(options: MarketOptions) {
    this.seed = options.seed;
    this.#keptDays = options.keptDays ?? KEPT_DAYS;
    this.pattern = options.pattern ?? 'echo';
    this.symbols = [...new Set(options.symbols ?? [INDEX_SYMBOL, ...SP500])].sort();
    // A random walk is any pattern with amplitude 0.
    const name = this.pattern === 'none' ? 'echo' : this.pattern;
    this.amplitude = this.pattern === 'none' ? 0 : amplitudeOf(options.strength ?? DEFAULT_STRENGTH, name);
    const friction = this.pattern !== 'none';
    this.#settings = { seed: this.seed, planted: PATTERNS[name], amplitude: this.amplitude, friction };
    for (const symbol of this.symbols) this.#characters.set(symbol, characterOf(this.seed, symbol));
  }

  has(symbol: string): boolean {
    return this.#characters.has(symbol);
  }

  /** @throws BARCAST_E_SYMBOL for a symbol that is not listed */
  character(symbol: string): Character {
    const character = this.#characters.get(symbol);
    if (character === undefined) {
      throw new BarcastError('BARCAST_E_SYMBOL', `the simulated exchange does not list ${symbol}`, 'name a listed one');
    }
    return character;
  }

  /** One symbol's whole session. @throws BARCAST_E_SYMBOL for a symbol that is not listed */
  day(symbol: string, session: Session): DayPath {
    const key = `${symbol} ${session.day}`;
    const kept = this.#days.get(key);
    if (kept !== undefined) {
      // Moved to the end: a Map's order is that of insertion, and the first is dropped first.
      this.#days.delete(key);
      this.#days.set(key, kept);
      return kept;
    }
    const path = generateDayPath(this.#settings, this.character(symbol), this.#marketDay(session), session);
    keep(this.#days, key, path, this.#keptDays);
    return path;
  }

  #marketDay(session: Session): MarketDay {
    const kept = this.#marketDays.get(session.open);
    if (kept !== undefined) return kept;
    const made = generateMarketDay(this.seed, session);
    keep(this.#marketDays, session.open as number, made, KEPT_MARKET_DAYS);
    return made;
  }

  /**
   * The best score that any forecaster could reach; see {@link ReachableScore}. About a second for 500 symbols and
   * four days.
   */
  bestReachable(request: ReachableRequest): BestReachable {
    const score = new ReachableScore(this, request);
    for (const symbol of request.symbols) score.add(symbol);
    return score.result();
  }
}

function keep<K, V>(map: Map<K, V>, key: K, value: V, most: number): void {
  map.set(key, value);
  if (map.size > most) {
    for (const oldest of map.keys()) {
      map.delete(oldest);
      break;
    }
  }
}
