/** A made-up market, and a model whose answer changes with any bit of a window. */
import type { Bar } from '../../src/bars/index.ts';
import { epochMinute, Random } from '../../src/base/index.ts';
import { buildWindows, type FittedScaler, recipeOf, type WindowSet } from '../../src/features/index.ts';
import type { Forecast, Predictor } from '../../src/stream/index.ts';
import { inputsOf } from '../features/fixtures.ts';
import { MODEL, marketOf, OPEN } from './fixtures.ts';

const RETURNS = recipeOf('returns');

/** Minutes from the open on, each with the bars of its symbols; every fifth symbol trades in nine minutes of ten. */
export function madeUpMinutes(symbols: number, minutes: number, from: number = OPEN): Bar[][] {
  const random = new Random(11);
  const prices = new Float64Array(symbols).fill(100);
  return Array.from({ length: minutes }, (_, m) => {
    const bars: Bar[] = [];
    for (let s = 0; s < symbols; s++) {
      const open = prices[s];
      const close = open * Math.exp(0.0005 * random.normal());
      prices[s] = close;
      const volume = Math.floor(1000 * random.uniform());
      if (s % 5 === 4 && random.uniform() < 0.1) continue;
      const [low, high] = [Math.min(open, close) * 0.9999, Math.max(open, close) * 1.0001];
      bars.push({ symbol: `S${s}`, minute: epochMinute(from + m), open, high, low, close, volume });
    }
    return bars;
  });
}

export function scalerOf(minutes: readonly Bar[][], recipe = RETURNS): FittedScaler {
  return recipe.fit(buildWindows(marketOf(minutes.flat()), recipe, { requireTarget: false }));
}

/** Answers with a weighted sum over the scaled window. */
export function sensitiveModel(scaler: FittedScaler, weightsHash = MODEL.weightsHash, recipe = RETURNS): Predictor {
  const [T, F] = [recipe.windowLength, recipe.features.length];
  const weights = Float64Array.from({ length: T * F }, (_, i) => Math.cos(i + weightsHash.length));
  return {
    ...MODEL,
    weightsHash,
    recipe,
    scaler,
    async predict(windows: WindowSet) {
      const sums = inputsOf(windows, recipe).map((inputs) => inputs.reduce((sum, x, k) => sum + x * weights[k], 0));
      const predictedReturn = Float64Array.from(sums, (sum) => 1e-5 * sum);
      const half = 0.001;
      return {
        predictedReturn,
        low: predictedReturn.map((r) => r - half),
        high: predictedReturn.map((r) => r + half),
      };
    },
  };
}

/** Forecasts as text, but for their age, in the order of minutes and symbols: what must be equal to the byte. */
export const bytesOf = (forecasts: readonly Forecast[]): string[] =>
  forecasts.map(({ latencyMs: _, ...rest }) => `${rest.asOf} ${rest.symbol} ${JSON.stringify(rest)}`).sort();
