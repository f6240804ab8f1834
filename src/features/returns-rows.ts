/** The rows of recipe `returns`: what a minute of a symbol puts into the feature matrix, and where. */
import { LINEAR_DEVIATIONS } from './linear-forecast.ts';
import type { Recipe } from './recipe.ts';
import { logReturnOf, logVolumeOf, type RowFormula, SESSION_MINUTES, sharesOf } from './rows.ts';

export const WINDOW_LENGTH = 60;
export const HORIZON_MINUTES = 5;
/** Of each minute. */
const OF_ROWS = [
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
  'surprise',
  'leader',
];
/** Constant over a window: 1 in every row, so none stands there, and the window's own scale makes them what they are. */
const OF_WINDOWS = ['linear', 'volatility', 'tick', 'liquidity', ...LINEAR_DEVIATIONS.map(({ name }) => name)];
const FEATURES = [...OF_ROWS, ...OF_WINDOWS];
export const F = FEATURES.length;
/** Numbers of a row in the matrix. */
export const COLUMNS = OF_ROWS.length;
export const [RETURN, VOLUME, RANGE, CLOSE_POSITION, QUIET, CLOCK] = [0, 1, 2, 3, 4, 5];
export const [EXPLAINED, PEERS, TURBULENCE, STRAIN, SURPRISE, LEADER] = [6, 7, 8, 9, 10, 11];
export const [LINEAR, VOLATILITY, TICK, LIQUIDITY] = [12, 13, 14, 15];
/** The first of the deviations. */
export const DEVIATION = 16;
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
};

// A loop reads what a module exports from memory each time, and this file's own constants never.
const WIDTH = COLUMNS;

const BLANK = new Float32Array(COLUMNS);

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
  matrix[at + 10] = logVolume;
  matrix[at + 11] = 0;
}

function fillQuiet(matrix: Float32Array, at: number, _close: number, minutesSinceOpen: number): void {
  for (let f = 0; f < WIDTH; f++) matrix[at + f] = 0;
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
  columns: COLUMNS,
  oneMinuteReturns: { feature: RETURN, holds: 'logReturn' },
  row,
  quiet: { longestRun: 15, most: 45 },
  market: MARKET_COLUMNS,
  flows: FLOW_COLUMNS,
} as const satisfies Partial<Recipe>;
