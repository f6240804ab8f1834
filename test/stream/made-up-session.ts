/** A session of made-up bars and forecasts of two models, minute by minute. */
import type { Bar } from '../../src/bars/index.ts';
import { Random } from '../../src/base/index.ts';
import type { Forecast, LiveState } from '../../src/stream/index.ts';
import { bar, forecastOf, OPEN } from './fixtures.ts';

export type Batch =
  | { readonly bars: readonly Bar[] }
  | { readonly forecasts: readonly Forecast[] }
  | { readonly shadow: readonly Forecast[] };

/** Bars of a minute, the forecasts they make, and those of the shadow, for 150 minutes of thirty symbols. */
export function madeUpSession(minutes = 150, symbols = 30): Batch[] {
  const random = new Random(3);
  const closes = new Array<number>(symbols).fill(100);
  const batches: Batch[] = [];
  for (let m = 0; m < minutes; m++) {
    // One symbol in ten trades in two minutes of three.
    const traded = closes.map((_, i) => i).filter((i) => i % 10 !== 0 || random.uniform() < 0.67);
    for (const i of traded) closes[i] *= Math.exp(0.001 * random.normal());
    const forecasts = (noise: number) =>
      traded.map((i) => forecastOf(`S${i}`, OPEN + m + 1, closes[i], noise * random.normal(), 0.003));
    const barOf = (i: number) => {
      const [made, wide] = [
        bar(`S${i}`, OPEN + m, closes[i], Math.floor(1000 * random.uniform())),
        0.001 * random.uniform(),
      ];
      return { ...made, high: made.high * (1 + wide), low: made.low * (1 - wide) };
    };
    batches.push({ bars: traded.map(barOf) }, { forecasts: forecasts(0.0003) });
    batches.push({ shadow: forecasts(0.0001).map((it) => ({ ...it, model: 'shy', weightsHash: 'def456' })) });
  }
  return batches;
}

export function takeBatch(state: LiveState, batch: Batch): void {
  if ('bars' in batch) state.acceptBars(batch.bars);
  else if ('forecasts' in batch) state.acceptForecasts(batch.forecasts);
  else state.acceptShadow(batch.shadow);
}
