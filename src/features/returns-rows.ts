/** The rows of recipe `returns`: what a minute of a symbol puts into the feature matrix, and where. */
import { LINEAR_DEVIATIONS } from './linear-forecast.ts';
import type { Recipe } from './recipe.ts';
import { logReturnOf, logVolumeOf, type RowFormula, SESSION_MINUTES, sharesOf } from './rows.ts';

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

// A loop reads what a module exports from memory each time, and this file's own constants never.
const WIDTH = F;
/** Features from the first of these up to the second are 1 in every row: a window's own scales make constants of them. */
const [FIRST_CONSTANT, END_OF_CONSTANTS] = [LINEAR, DEVIATION + LINEAR_DEVIATIONS.length];

const BLANK = Float32Array.from({ length: F }, (_, f) => (f >= FIRST_CONSTANT && f < END_OF_CONSTANTS ? 1 : 0));

const clockAt = (minutesSinceOpen: number): number => (2 * minutesSinceOpen) / SESSION_MINUTES - 1;
/** By minute since the open. */
const CLOCKS = Float64Array.from({ length: SESSION_MINUTES }, (_, minute) => clockAt(minute));

/** A whole row, with an empty place for the market. */
function fillBar(
  matrix: Float32Array,
  at: number,
  logReturn: number,
  high: number,
  low: number,
  close: number,
  logVolume: number,
  minutesSinceOpen: number,
): void {
  const position = high > low ? (2 * close - high - low) / (high - low) : 0;
  matrix[at] = logReturn;
  matrix[at + 1] = logVolume;
  matrix[at + 2] = logReturnOf(high, low);
  matrix[at + 3] = position > 1 ? 1 : position < -1 ? -1 : position;
  matrix[at + 4] = 0;
  matrix[at + 5] = CLOCKS[minutesSinceOpen];
  matrix[at + 6] = 0;
  matrix[at + 7] = 0;
  matrix[at + 8] = 0;
  matrix[at + 9] = 0;
  for (let f = FIRST_CONSTANT; f < END_OF_CONSTANTS; f++) matrix[at + f] = 1;
  matrix[at + END_OF_CONSTANTS] = logVolume;
  matrix[at + END_OF_CONSTANTS + 1] = 0;
  matrix[at + END_OF_CONSTANTS + 2] = 0;
  matrix[at + END_OF_CONSTANTS + 3] = 0;
}

function fillQuiet(matrix: Float32Array, at: number, _close: number, minutesSinceOpen: number): void {
  for (let f = 0; f < WIDTH; f++) matrix[at + f] = BLANK[f];
  matrix[at + 4] = 1;
  matrix[at + 5] = CLOCKS[minutesSinceOpen];
}

const row: RowFormula = {
  blank: BLANK,
  volumeOf: logVolumeOf,
  bar: fillBar,
  quiet: fillQuiet,
  run(matrix, start, { minute, open, high, low, close, volume }, first, last, sessionOpen, logReturns) {
    let at = start | 0;
    let next = minute[first]; // the minute of the row at `at`
    let price = open[first];
    for (let bar = first | 0; bar <= last; bar++) {
      const now = minute[bar];
      for (; next < now; next++, at += WIDTH) fillQuiet(matrix, at, price, next - sessionOpen);
      const logReturn = logReturnOf(close[bar], price);
      price = close[bar];
      const logVolume = logVolumeOf(sharesOf(volume[bar]));
      fillBar(matrix, at, logReturn, high[bar], low[bar], price, logVolume, now - sessionOpen);
      logReturns[bar - first] = logReturn;
      next++;
      at += WIDTH;
    }
  },
};

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
