/** The simulated exchange: a market made from a seed, and the server that answers for it as Yahoo would. */
export { INDEX_SYMBOL } from './character.ts';
export { type ExchangeClock, type ExchangeClockOptions, exchangeClock } from './clock.ts';
export { type Exchange, type ExchangeOptions, startExchange } from './exchange.ts';
export { FAULT_KINDS, type Fault, type FaultKind, type Faults, parseFaults } from './faults.ts';
export { Market, type MarketOptions } from './market.ts';
export { barsOfMarket } from './market-bars.ts';
export { bestSkillOf, DEFAULT_STRENGTH, PATTERN_NAMES, type Pattern, type PatternName } from './pattern.ts';
export type { BestReachable, ReachableRequest } from './reachable.ts';
export { type SimulatedOptions, type SimulatedSource, simulatedSource } from './source.ts';
