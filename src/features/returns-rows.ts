/** The rows of recipe `returns`: what a minute of a symbol puts into the feature matrix, and where. */
import { LINEAR_DEVIATIONS } from './linear-forecast.ts';
import type { Recipe } from './recipe.ts';
import { logReturnOf, logVolumeOf, type RowFormula, SESSION_MINUTES } from './rows.ts';

export const WINDOW_LENGTH = 60;
export const HORIZON_MINUTES = 5;
const FEATURES = [
  'return',
  'volume',
  'range',
  'closePosition',
  'quiet',
  'clock',
  'explained',
  'peers',
  'turbulence',
  'strain',
  'linear',
  'volatility',
  'tick',
  'liquidity',
  ...LINEAR_DEVIATIONS.map(({ name }) => name),
  'surprise',
  'leader',
  'ownFlows',
  'leadersFlows',
];
export const F = FEATURES.length;
export const [RETURN, VOLUME, RANGE, CLOSE_POSITION, QUIET, CLOCK] = [0, 1, 2, 3, 4, 5];
export const [EXPLAINED, PEERS, TURBULENCE, STRAIN] = [6, 7, 8, 9];
export const [LINEAR, VOLATILITY, TICK, LIQUIDITY] = [10, 11, 12, 13];
/** The first of the deviations. */
export const DEVIATION = 14;
export const SURPRISE = DEVIATION + LINEAR_DEVIATIONS.length;
export const LEADER = SURPRISE + 1;
export const [OWN_FLOWS, LEADERS_FLOWS] = [LEADER + 1, LEADER + 2];
export const LINEAR_COLUMNS = {
  logReturn: RETURN,
  range: RANGE,
  closePosition: CLOSE_POSITION,
  explained: EXPLAINED,
  peers: PEERS,
};
const MARKET_COLUMNS = {
  explained: EXPLAINED,
  peers: PEERS,
  turbulence: TURBULENCE,
  strain: STRAIN,
  leader: LEADER,
  surprise: SURPRISE,
  volume: VOLUME,
};
export const FLOW_COLUMNS = {
  logReturn: RETURN,
  quiet: QUIET,
  clock: CLOCK,
  explained: EXPLAINED,
  leader: LEADER,
  surprise: SURPRISE,
  turbulence: TURBULENCE,
  strain: STRAIN,
  own: OWN_FLOWS,
  leading: LEADERS_FLOWS,
};

/** Features that are 1 in every row: the window's own scales turn them into constants. */
const CONSTANTS = [LINEAR, VOLATILITY, TICK, LIQUIDITY, ...LINEAR_DEVIATIONS.map((_, i) => DEVIATION + i)];

/** An empty place for the market, and the constants' ones. */
const row: RowFormula = {
  blank: Float32Array.from({ length: F }, (_, f) => (CONSTANTS.includes(f) ? 1 : 0)),
  volumeOf: logVolumeOf,
  bar(matrix, at, logReturn, high, low, close, logVolume, minutesSinceOpen) {
    matrix[at + RETURN] = logReturn;
    matrix[at + VOLUME] = logVolume;
    matrix[at + RANGE] = logReturnOf(high, low);
    const position = high > low ? (2 * close - high - low) / (high - low) : 0;
    matrix[at + CLOSE_POSITION] = Math.max(-1, Math.min(1, position));
    matrix[at + SURPRISE] = logVolume;
    matrix[at + CLOCK] = clockAt(minutesSinceOpen);
  },
  quiet(matrix, at, _close, minutesSinceOpen) {
    matrix[at + QUIET] = 1;
    matrix[at + CLOCK] = clockAt(minutesSinceOpen);
  },
};

const clockAt = (minutesSinceOpen: number): number => (2 * minutesSinceOpen) / SESSION_MINUTES - 1;

/** What the recipe says of its rows. */
export const RETURNS_ROWS = {
  windowLength: WINDOW_LENGTH,
  horizonMinutes: HORIZON_MINUTES,
  features: FEATURES,
  oneMinuteReturns: { feature: RETURN, holds: 'logReturn' },
  row,
  quiet: { longestRun: 15, most: 45 },
  market: MARKET_COLUMNS,
  flows: FLOW_COLUMNS,
} as const satisfies Partial<Recipe>;
