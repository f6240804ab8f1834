/** Small made-up markets for the tests of scores and baselines. */
import { Random } from '../../src/base/index.ts';
import type { ReturnsView, ScoredWindows } from '../../src/evaluate/index.ts';

/** 2020-01-06T14:30Z, a session's open. */
export const OPEN = 26305350;
const DAY = 1440;

export interface Sample extends ScoredWindows {
  readonly returns: ReturnsView;
}

export interface MarketOptions {
  readonly symbols: number;
  readonly days: number;
  readonly minutesPerDay?: number;
  readonly seed: number;
  /** Weight of the last one-minute return in each next one; 0 makes a random walk. */
  readonly echo?: number;
  /** Features a row; returns lie in the last one, other features hold noise. */
  readonly stride?: number;
}

/** Windows of 60 minutes and 5 to come, of returns of one per mille and prices from 1 to 1000; sorted by symbol. */
export function makeMarket(options: MarketOptions): Sample {
  const { symbols, days, minutesPerDay = 120, seed, echo = 0, stride = 1 } = options;
  const random = new Random(seed, 77);
  const matrix = new Float32Array(symbols * days * minutesPerDay * stride);
  const columns = { symbol: [] as number[], asOf: [] as number[], last: [] as number[], target: [] as number[] };
  const starts: number[] = [];
  const volatility: number[] = [];
  for (let symbol = 0, row = 0; symbol < symbols; symbol++) {
    for (let day = 0; day < days; day++) {
      const first = row;
      let logPrice = Math.log(1000) * random.uniform();
      const prices = [];
      for (let minute = 0; minute < minutesPerDay; minute++, row++) {
        const before = minute > 0 ? matrix[row * stride - 1] : 0;
        for (let f = 0; f < stride; f++) matrix[row * stride + f] = random.normal();
        const own = row * stride + stride - 1;
        matrix[own] = echo * before + 1e-3 * matrix[own];
        logPrice += matrix[own];
        prices.push(Math.exp(logPrice));
      }
      for (let end = 59; end + 5 < minutesPerDay; end++) {
        let squares = 0;
        for (let k = end - 59; k <= end; k++) squares += matrix[(first + k) * stride + stride - 1] ** 2;
        columns.symbol.push(symbol);
        columns.asOf.push(OPEN + day * DAY + end + 1);
        columns.last.push(prices[end]);
        columns.target.push(prices[end + 5]);
        starts.push(first + end - 59);
        volatility.push(Math.sqrt((squares / 60) * 5));
      }
    }
  }
  return {
    symbols: Array.from({ length: symbols }, (_, i) => `S${i}`),
    symbol: Int32Array.from(columns.symbol),
    asOf: Int32Array.from(columns.asOf),
    lastClose: Float64Array.from(columns.last),
    targetClose: Float64Array.from(columns.target),
    volatility: Float64Array.from(volatility),
    returns: {
      matrix,
      starts: Int32Array.from(starts),
      windowLength: 60,
      stride,
      feature: stride - 1,
      holds: 'logReturn',
    },
  };
}

/** The windows `keep` names, in that order. */
export function pick(sample: Sample, keep: readonly number[]): Sample {
  const ints = (values: Int32Array) => Int32Array.from(keep, (i) => values[i]);
  const floats = (values: Float64Array) => Float64Array.from(keep, (i) => values[i]);
  return {
    symbols: sample.symbols,
    symbol: ints(sample.symbol),
    asOf: ints(sample.asOf),
    lastClose: floats(sample.lastClose),
    targetClose: floats(sample.targetClose),
    volatility: floats(sample.volatility),
    returns: { ...sample.returns, starts: ints(sample.returns.starts) },
  };
}

/** Whole numbers below `count` in a random order. */
export function shuffled(count: number, seed: number): number[] {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  new Random(seed, 5).shuffle(order);
  return [...order];
}

/** Windows before and from a minute on. */
export function splitAt(sample: Sample, minute: number): readonly [Sample, Sample] {
  const all = [...sample.asOf.keys()];
  return [
    pick(
      sample,
      all.filter((i) => sample.asOf[i] < minute),
    ),
    pick(
      sample,
      all.filter((i) => sample.asOf[i] >= minute),
    ),
  ];
}

/** Midnight UTC at which the day-th day of a made-up market begins. */
export const dayStart = (day: number): number => OPEN - 870 + day * DAY;

export const close = (a: number | null, b: number, tolerance = 1e-12): boolean =>
  a !== null && Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b));
