/** Made-up bars, windows and a predictor whose answers can be told in advance. */

import type { Bar, MarketBars } from '../../src/bars/index.ts';
import { type EpochMinute, epochMinute, epochMs, isoOfMinute } from '../../src/base/index.ts';
import { recipeOf, unscaled, type WindowSet } from '../../src/features/index.ts';
import type { Forecast, LiveWindows, Predictor } from '../../src/stream/index.ts';

/** 09:30 New York of Thursday 2 January 2020, a full session of 390 minutes. */
export const OPEN = epochMinute(Date.UTC(2020, 0, 2, 14, 30) / 60_000);
export const CLOSE = epochMinute(OPEN + 390);
/** 09:30 of the next session. */
export const NEXT_OPEN = epochMinute(OPEN + 1440);

export const bar = (symbol: string, minute: number, close: number, volume = 100): Bar => ({
  symbol,
  minute: epochMinute(minute),
  open: close,
  high: close,
  low: close,
  close,
  volume,
});

/** Bars of one symbol with these closes in consecutive minutes. */
export const series = (symbol: string, closes: readonly number[], from: number = OPEN): Bar[] =>
  closes.map((close, i) => bar(symbol, from + i, close));

export const marketOf = (bars: readonly Bar[]): MarketBars => {
  const symbols = [...new Set(bars.map((it) => it.symbol))].sort();
  const sorted = symbols.flatMap((s) => bars.filter((it) => it.symbol === s).sort((a, b) => a.minute - b.minute));
  const offsets = [0, ...symbols.map((s) => sorted.findLastIndex((it) => it.symbol === s) + 1)];
  const column = (pick: (it: Bar) => number) => Float64Array.from(sorted, pick);
  return {
    symbols,
    offsets: Int32Array.from(offsets),
    minute: Int32Array.from(sorted, (it) => it.minute),
    open: column((it) => it.open),
    high: column((it) => it.high),
    low: column((it) => it.low),
    close: column((it) => it.close),
    volume: column((it) => it.volume),
  };
};

/** A reader over bars in memory, which notes what it was asked for. */
export function readerOf(bars: readonly Bar[]) {
  const asked: { from: EpochMinute; to: EpochMinute }[] = [];
  return {
    asked,
    async read({ symbols, from, to }: { symbols: readonly string[]; from: EpochMinute; to: EpochMinute }) {
      asked.push({ from, to });
      return marketOf(bars.filter((it) => symbols.includes(it.symbol) && it.minute >= from && it.minute < to));
    },
  };
}

/** Live windows of `length` bars without features: a window is ready once a symbol has that many. */
export class CountingMarket implements LiveWindows {
  readonly #length: number;
  readonly #bars = new Map<string, Bar[]>();

  constructor(length: number) {
    this.#length = length;
  }

  push(it: Bar) {
    const bars = this.#bars.get(it.symbol) ?? [];
    bars.push(it);
    this.#bars.set(it.symbol, bars);
    return bars.length >= this.#length ? 'window' : 'warming';
  }

  windows(symbols: readonly string[]): WindowSet {
    const last = symbols.map((symbol) => this.#bars.get(symbol)!.at(-1)!);
    return {
      recipe: 'returns',
      symbols,
      symbol: Int32Array.from(symbols, (_, i) => i),
      asOf: Int32Array.from(last, (it) => it.minute + 1),
      lastClose: Float64Array.from(last, (it) => it.close),
      targetClose: new Float64Array(symbols.length).fill(Number.NaN),
      volatility: new Float64Array(symbols.length).fill(0.001),
      matrix: new Float32Array(symbols.length),
      starts: Int32Array.from(symbols, (_, i) => i),
      flows: new Float32Array(0),
      scaling: unscaled(1),
      scales: new Float32Array(0),
    };
  }
}

export const MODEL = { name: 'toy', weightsHash: 'abc123', horizonMinutes: 5, level: 0.8 };

/** Answers ln(1 + 0.001 x lastClose / 100) with an interval of one percent around it, and notes every call. */
export class ToyPredictor implements Predictor {
  readonly name = MODEL.name;
  readonly weightsHash = MODEL.weightsHash;
  readonly horizonMinutes = MODEL.horizonMinutes;
  readonly level = MODEL.level;
  readonly recipe = recipeOf('returns');
  readonly scaler = {};
  readonly calls: string[][] = [];
  answer = (lastClose: number): number => Math.log1p((0.001 * lastClose) / 100);

  async predict(windows: WindowSet) {
    this.calls.push([...windows.symbol].map((s, i) => `${windows.symbols[s]}@${windows.asOf[i] - OPEN}`));
    const predictedReturn = Float64Array.from(windows.lastClose, (close) => this.answer(close));
    return {
      predictedReturn,
      low: predictedReturn.map((r) => r - 0.01),
      high: predictedReturn.map((r) => r + 0.01),
    };
  }
}

/** A forecast as the toy model would word it. */
export function forecastOf(
  symbol: string,
  asOf: number,
  lastClose: number,
  predictedReturn: number,
  halfWidth = 0.01,
): Forecast {
  return {
    symbol,
    asOf: isoOfMinute(epochMinute(asOf)),
    horizonMinutes: MODEL.horizonMinutes,
    lastClose,
    predictedClose: lastClose * Math.exp(predictedReturn),
    predictedReturn,
    volatility: halfWidth / 1.28,
    interval: {
      level: MODEL.level,
      low: lastClose * Math.exp(predictedReturn - halfWidth),
      high: lastClose * Math.exp(predictedReturn + halfWidth),
    },
    model: MODEL.name,
    weightsHash: MODEL.weightsHash,
    latencyMs: 1,
  };
}

/** A clock that stands where it is put. */
export const clockAt = (minute: number) => ({ now: () => epochMs(minute * 60_000) });

/** Lets everything that is ready to run do so; for asserting that something did NOT happen. */
export const settled = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));
