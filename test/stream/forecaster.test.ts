import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { recipeOf } from '../../src/features/index.ts';
import { Forecaster, fixedModel, makeForecasts, memoryBus } from '../../src/stream/index.ts';
import { bar, CountingMarket, MODEL, OPEN, series, ToyPredictor } from './fixtures.ts';
import { bytesOf, madeUpMinutes, scalerOf, sensitiveModel } from './sensitive-model.ts';
import { undisturbed } from './shared-support.ts';

const setUp = (length: number) => {
  const predictor = new ToyPredictor();
  return { predictor, forecaster: new Forecaster(fixedModel(predictor), () => new CountingMarket(length)) };
};
const named = (forecasts: readonly { symbol: string; asOf: string }[]) =>
  forecasts.map((it) => `${it.symbol} ${it.asOf.slice(11, 16)}`);

describe('makeForecasts', () => {
  const windows = {
    symbols: ['A', 'B', 'C'],
    symbol: Int32Array.of(2, 0, 1),
    asOf: Int32Array.of(OPEN + 60, OPEN + 61, OPEN + 61),
    lastClose: Float64Array.of(50, 200, 10),
    volatility: Float64Array.of(0.001, 0.002, 0.003),
  };
  const predictions = {
    predictedReturn: Float64Array.of(Math.log(1.02), Math.log(0.99), Number.NaN),
    low: Float64Array.of(Math.log(1.01), Math.log(0.98), 0),
    high: Float64Array.of(Math.log(1.03), 0, 0),
  };
  const forecasts = makeForecasts(windows, predictions, MODEL, 1.23456);

  test('has the fields of the contract', () => {
    const [first] = forecasts;
    assert.deepEqual(
      { ...first, predictedClose: 0, interval: { ...first.interval, low: 0, high: 0 } },
      {
        symbol: 'C',
        asOf: '2020-01-02T15:30:00.000Z',
        horizonMinutes: 5,
        lastClose: 50,
        predictedClose: 0,
        predictedReturn: Math.log(1.02),
        volatility: 0.001,
        interval: { level: 0.8, low: 0, high: 0 },
        model: 'toy',
        weightsHash: 'abc123',
        latencyMs: 1.235,
      },
    );
  });

  test('turns log returns into prices', () => {
    const near = (actual: number, expected: number) => assert.ok(Math.abs(actual - expected) < 1e-9, `${actual}`);
    near(forecasts[0].predictedClose, 51);
    near(forecasts[0].interval.low, 50.5);
    near(forecasts[0].interval.high, 51.5);
    near(forecasts[1].predictedClose, 198);
    near(forecasts[1].interval.high, 200);
  });

  test('leaves out an answer that is not finite', () => {
    assert.deepEqual(
      forecasts.map((it) => it.symbol),
      ['C', 'A'],
    );
  });
});

describe('the forecaster', () => {
  test('makes one prediction for all windows of a minute, and none while they warm up', async () => {
    const { predictor, forecaster } = setUp(2);
    const minute = (m: number) => ['A', 'B', 'C'].map((symbol) => bar(symbol, OPEN + m, 100));
    assert.deepEqual((await forecaster.accept(minute(0))).forecasts, []);
    const { forecasts } = await forecaster.accept(minute(1));
    assert.deepEqual(named(forecasts), ['A 14:32', 'B 14:32', 'C 14:32']);
    assert.deepEqual(predictor.calls, [['A@2', 'B@2', 'C@2']]);
    assert.equal(forecaster.counts.warmingBars, 3);
  });

  test('forecasts each minute of a batch that catches up, oldest first', async () => {
    const { predictor, forecaster } = setUp(1);
    const { forecasts } = await forecaster.accept([...series('A', [1, 2, 3]), ...series('B', [1, 2], OPEN + 1)]);
    assert.deepEqual(named(forecasts), ['A 14:31', 'A 14:32', 'B 14:32', 'A 14:33', 'B 14:33']);
    assert.deepEqual(predictor.calls, [['A@1'], ['A@2', 'B@2'], ['A@3', 'B@3']]);
  });

  test('a repeated bar makes no second forecast, whatever its values', async () => {
    const { predictor, forecaster } = setUp(1);
    await forecaster.accept([bar('A', OPEN, 100)]);
    assert.deepEqual((await forecaster.accept([bar('A', OPEN, 100), bar('A', OPEN, 105)])).forecasts, []);
    assert.equal(forecaster.counts.repeatedBars, 2);
    assert.equal(predictor.calls.length, 1);
  });

  test('a bar twice in one batch counts once, and the first one stands', async () => {
    const { forecaster } = setUp(1);
    const { forecasts } = await forecaster.accept([bar('A', OPEN, 100), bar('A', OPEN, 105)]);
    assert.deepEqual(
      forecasts.map((it) => it.lastClose),
      [100],
    );
  });

  test('a late bar is left out and counted', async () => {
    const { forecaster } = setUp(1);
    await forecaster.accept([bar('A', OPEN + 5, 100)]);
    const { forecasts } = await forecaster.accept([bar('A', OPEN + 4, 90), bar('B', OPEN + 4, 90)]);
    assert.deepEqual(named(forecasts), ['B 14:35'], 'late is judged by symbol');
    assert.equal(forecaster.counts.lateBars, 1);
  });

  test('preloaded bars warm the windows and make no forecast', async () => {
    const { predictor, forecaster } = setUp(3);
    forecaster.preload(series('A', [1, 2]));
    assert.equal(predictor.calls.length, 0);
    const again = await forecaster.accept([bar('A', OPEN + 1, 2)]);
    assert.deepEqual(again.forecasts, [], 'the source repeats a preloaded bar');
    const { forecasts } = await forecaster.accept([bar('A', OPEN + 2, 3)]);
    assert.deepEqual(named(forecasts), ['A 14:33']);
  });

  test('a prediction that fails is handed back and the next one works', async () => {
    const { predictor, forecaster } = setUp(1);
    const answer = predictor.answer;
    predictor.answer = () => {
      throw new Error('no kernel');
    };
    const failed = await forecaster.accept([bar('A', OPEN, 100)]);
    assert.equal((failed.failure as Error).message, 'no kernel');
    assert.equal(forecaster.counts.failedPredictions, 1);
    predictor.answer = answer;
    const { forecasts, failure } = await forecaster.accept([bar('A', OPEN + 1, 100)]);
    assert.equal(failure, undefined);
    assert.deepEqual(named(forecasts), ['A 14:32']);
  });

  test('windows without a finite answer are counted', async () => {
    const { predictor, forecaster } = setUp(1);
    predictor.answer = (close) => (close === 13 ? Number.NaN : 0);
    const { forecasts } = await forecaster.accept([bar('A', OPEN, 13), bar('B', OPEN, 14)]);
    assert.deepEqual(named(forecasts), ['B 14:31']);
    assert.equal(forecaster.counts.notFinite, 1);
  });

  test('serves a bus: the forecasts of a batch are published as one batch', async () => {
    const bus = memoryBus();
    const { forecaster } = setUp(1);
    const out: string[][] = [];
    const forecasts = await bus.subscribe('forecasts', { name: 'out' });
    const reading = (async () => {
      for await (const { items } of forecasts) out.push(named(items));
    })();
    const bars = await bus.subscribe('bars', { name: 'forecaster' });
    const running = forecaster.run(bars, bus);
    await bus.publish('bars', [bar('A', OPEN, 1), bar('B', OPEN, 1)]);
    await bus.publish('bars', [bar('A', OPEN, 1), bar('B', OPEN, 1)]);
    await bus.publish('bars', [bar('B', OPEN + 1, 1)]);
    bars.drain();
    await running;
    await bus.close();
    await reading;
    assert.deepEqual(out, [['A 14:31', 'B 14:31'], ['B 14:32']]);
  });

  test('a model that comes new makes the forecasts of what is held, a batch of many minutes too', async () => {
    const minutes = madeUpMinutes(10, 310);
    const cs205 = recipeOf('cs205');
    const other = sensitiveModel(scalerOf(minutes, cs205), 'another', cs205);
    let active = sensitiveModel(scalerOf(minutes));
    const forecaster = new Forecaster({ current: () => ({ active }), close: async () => {} });
    // Three hundred minutes in one batch; the windows keep rows of their own.
    const held = forecaster.take(minutes.slice(0, 300).flat(), [], true);
    active = other;
    const taken = [...held, ...forecaster.take(minutes[300], held)];
    for (const bars of minutes.slice(301)) taken.push(...forecaster.take(bars, taken));
    const { forecasts } = await forecaster.forecast(taken, performance.now());
    assert.deepEqual(bytesOf(forecasts), bytesOf(await undisturbed(minutes, other)));
  });
});
