/** The live path and the batch path give the same forecasts: same windows, same answers, same bits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bar } from '../../src/bars/index.ts';
import { epochMinute, Random } from '../../src/base/index.ts';
import { buildWindows, recipeOf, type WindowSet } from '../../src/features/index.ts';
import { makeForecasts, type Predictor, replayForecasts } from '../../src/stream/index.ts';
import { inputsOf } from '../features/fixtures.ts';
import { CLOSE, MODEL, marketOf, NEXT_OPEN, OPEN, readerOf } from './fixtures.ts';

const recipe = recipeOf('returns');

/** Two sessions of three symbols; one of them trades in nine minutes of ten. */
function madeUpBars(): Bar[] {
  const random = new Random(11);
  const bars: Bar[] = [];
  for (const [symbol, share] of [
    ['AAA', 1],
    ['BBB', 1],
    ['THIN', 0.9],
  ] as const) {
    let price = 100;
    for (const [from, to] of [
      [CLOSE - 150, CLOSE],
      [NEXT_OPEN, NEXT_OPEN + 120],
    ]) {
      for (let minute = from; minute < to; minute++) {
        const open = price;
        price *= Math.exp(0.0005 * random.normal());
        const [low, high] = [Math.min(open, price) * 0.9999, Math.max(open, price) * 1.0001];
        const volume = Math.floor(1000 * random.uniform());
        if (random.uniform() < share)
          bars.push({ symbol, minute: epochMinute(minute), open, high, low, close: price, volume });
      }
    }
  }
  return bars;
}

/** Answers with a weighted sum over the scaled window: any bit that differs in a window differs in the answer. */
const predictor: Predictor = {
  ...MODEL,
  recipe,
  scaler: {},
  async predict(windows: WindowSet) {
    const sums = inputsOf(windows, recipe).map((inputs) => inputs.reduce((sum, x, k) => sum + x * Math.cos(k), 0));
    const predictedReturn = Float64Array.from(sums, (sum) => 1e-5 * sum);
    return { predictedReturn, low: predictedReturn.map((r) => r - 0.001), high: predictedReturn.map((r) => r + 0.001) };
  },
};

test('a replay and a batch over the same bars make the same forecasts', async () => {
  const bars = madeUpBars();
  const columns = marketOf(bars);
  const windows = buildWindows(columns, recipe, { requireTarget: false });
  const scaler = recipe.fit(windows, columns);
  const scaled = recipe.scale(windows, scaler);
  const batch = makeForecasts(scaled, await predictor.predict(scaled), MODEL, 0);

  const live = [];
  const symbols = ['AAA', 'BBB', 'THIN'];
  const range = { reader: readerOf(bars), from: OPEN, to: epochMinute(NEXT_OPEN + 390) };
  for await (const forecasts of replayForecasts({
    ...range,
    symbols,
    predictor: { ...predictor, scaler },
  })) {
    live.push(...forecasts.map((it) => ({ ...it, latencyMs: 0 })));
  }
  const inOrder = (a: { symbol: string; asOf: string }, b: { symbol: string; asOf: string }) =>
    a.symbol + a.asOf < b.symbol + b.asOf ? -1 : 1;
  assert.ok(batch.length > 250 && new Set(batch.map((it) => it.symbol)).size >= 2, `${batch.length} windows`);
  assert.deepEqual(live.sort(inOrder), batch.sort(inOrder));
});
