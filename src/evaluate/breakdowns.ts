/**
 * The model's scores by symbol, by hour of the session, by how much a symbol is traded and by how wild the moment was.
 * Each part is scored as if it were all there is, so a part's numbers are those of an evaluation of its windows alone.
 */
import { sessionAt } from '../bars/index.ts';
import { epochMinute } from '../base/index.ts';
import { quantile } from './bootstrap.ts';
import { scoreIntervals } from './intervals.ts';
import { type ScoredWindows, type ScoreOptions, scoreForecasts } from './scores.ts';

/** One part of a breakdown. Null where a score is not defined; intervals need five blocks of time. */
export interface PartScore {
  /** A symbol, `10:30` for the hour that begins then in New York (on any day), or `1 of 5` from low to high. */
  readonly part: string;
  /** What the part holds, from and to: currency a session minute for liquidity, log return for volatility. */
  readonly bounds?: readonly [number, number];
  readonly windows: number;
  readonly symbols: number;
  readonly skill: number | null;
  readonly skillScaled: number | null;
  readonly skillScaledCi95: readonly [number, number] | null;
  readonly directionalAccuracy: number | null;
  readonly informationCoefficient: number | null;
  readonly informationCoefficientScaled: number | null;
  readonly informationCoefficientScaledCi95: readonly [number, number] | null;
  readonly coverage80: number | null;
  readonly meanRelativeWidth: number | null;
}

export interface Breakdowns {
  readonly bySymbol: readonly PartScore[];
  readonly byHour: readonly PartScore[];
  /** Fifths of the symbols by turnover; empty when it is not known. */
  readonly byLiquidity: readonly PartScore[];
  /** Fifths of the windows by their own volatility. */
  readonly byVolatility: readonly PartScore[];
}

export interface BreakdownInput {
  readonly windows: ScoredWindows;
  readonly predictedReturn: Float64Array;
  readonly low?: Float64Array;
  readonly high?: Float64Array;
  /** `[symbols]` currency traded a session minute; NaN where it is not known. */
  readonly liquidity?: Float64Array;
}

const FIFTHS = 5;

export function breakDown(input: BreakdownInput, options: ScoreOptions): Breakdowns {
  const { windows, liquidity } = input;
  const { symbols, symbol, volatility, asOf } = windows;
  const score = (part: string, keep: Int32Array, bounds?: readonly [number, number]): PartScore =>
    scorePart(input, part, keep, options, bounds);
  const hours = [...groupBy(asOf.length, (i) => hourOf(asOf[i]))].sort(([a], [b]) => (a < b ? -1 : 1));
  const bySymbol = [...groupBy(asOf.length, (i) => symbols[symbol[i]])].sort(([a], [b]) => (a < b ? -1 : 1));
  const volatilityFifth = fifthsOf(volatility);
  const byVolatility = [...groupBy(asOf.length, (i) => volatilityFifth.of(volatility[i]))].sort(([a], [b]) => a - b);
  return {
    bySymbol: bySymbol.map(([part, keep]) => score(part, keep)),
    byHour: hours.map(([part, keep]) => score(part, keep)),
    byLiquidity: liquidity ? liquidityParts(windows, liquidity).map(([p, keep, b]) => score(p, keep, b)) : [],
    byVolatility: byVolatility.map(([k, keep]) => score(`${k + 1} of ${FIFTHS}`, keep, volatilityFifth.bounds(k))),
  };
}

/** Fifths of those symbols that have windows and a known turnover. */
function liquidityParts(windows: ScoredWindows, liquidity: Float64Array): [string, Int32Array, [number, number]][] {
  const { symbol } = windows;
  const present = [...new Set(symbol)].filter((s) => !Number.isNaN(liquidity[s]));
  if (present.length < FIFTHS) return [];
  const fifths = fifthsOf(Float64Array.from(present, (s) => liquidity[s]));
  const groups = groupBy(symbol.length, (i) => {
    const turnover = liquidity[symbol[i]];
    return Number.isNaN(turnover) ? -1 : fifths.of(turnover);
  });
  return [...groups]
    .filter(([k]) => k >= 0)
    .sort(([a], [b]) => a - b)
    .map(([k, keep]) => [`${k + 1} of ${FIFTHS}`, keep, fifths.bounds(k)]);
}

/** Edges between fifths; a value on an edge belongs to the upper one. */
function fifthsOf(values: Float64Array) {
  const sorted = values.slice().sort();
  const edges = Array.from({ length: FIFTHS + 1 }, (_, k) => (sorted.length > 0 ? quantile(sorted, k / FIFTHS) : 0));
  return {
    of(value: number): number {
      let k = 0;
      while (k < FIFTHS - 1 && value >= edges[k + 1]) k++;
      return k;
    },
    bounds: (k: number): [number, number] => [edges[k], edges[k + 1]],
  };
}

/** The hour of the session in which a forecast was made: `09:30`, `10:30` … in New York's time. */
export function hourOf(asOf: number): string {
  const session = sessionAt(epochMinute(asOf - 1));
  if (session === undefined) return 'outside the session';
  const last = Math.ceil((session.close - session.open) / 60) - 1;
  const hour = Math.min(Math.floor((asOf - session.open) / 60), last);
  return `${String(9 + hour).padStart(2, '0')}:30`;
}

function groupBy<K>(length: number, keyOf: (i: number) => K): Map<K, Int32Array> {
  const lists = new Map<K, number[]>();
  for (let i = 0; i < length; i++) {
    const key = keyOf(i);
    const list = lists.get(key);
    if (list) list.push(i);
    else lists.set(key, [i]);
  }
  return new Map([...lists].map(([key, list]) => [key, Int32Array.from(list)]));
}

function scorePart(
  input: BreakdownInput,
  part: string,
  keep: Int32Array,
  options: ScoreOptions,
  bounds?: readonly [number, number],
): PartScore {
  const floats = (values: Float64Array) => Float64Array.from(keep, (i) => values[i]);
  const { windows } = input;
  const targetClose = floats(windows.targetClose);
  const lastClose = floats(windows.lastClose);
  const symbol = keep.map((i) => windows.symbol[i]);
  const interval = input.low && input.high ? { low: floats(input.low), high: floats(input.high) } : {};
  const score = scoreForecasts(
    {
      symbols: windows.symbols,
      symbol,
      asOf: keep.map((i) => windows.asOf[i]),
      lastClose,
      targetClose,
      volatility: floats(windows.volatility),
      predictedReturn: floats(input.predictedReturn),
    },
    options,
  );
  const held = interval.low ? scoreIntervals({ ...interval, targetClose, lastClose }) : undefined;
  return {
    part,
    ...(bounds ? { bounds } : {}),
    windows: score.windows,
    symbols: new Set(symbol).size,
    skill: score.skill,
    skillScaled: score.skillScaled,
    skillScaledCi95: score.skillScaledCi95,
    directionalAccuracy: score.directionalAccuracy,
    informationCoefficient: score.informationCoefficient,
    informationCoefficientScaled: score.informationCoefficientScaled,
    informationCoefficientScaledCi95: score.informationCoefficientScaledCi95,
    coverage80: held?.coverage ?? null,
    meanRelativeWidth: held?.meanRelativeWidth ?? null,
  };
}
