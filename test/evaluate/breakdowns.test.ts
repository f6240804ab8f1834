import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sessionOf } from '../../src/bars/index.ts';
import { type DayString, Random } from '../../src/base/index.ts';
import { hourOf } from '../../src/evaluate/breakdowns.ts';
import { breakDown, evaluateForecasts, scoreForecasts, scoreIntervals } from '../../src/evaluate/index.ts';
import { turnoverPerMinute } from '../../src/evaluate/liquidity.ts';
import { columnsOf } from '../features/fixtures.ts';
import { close, makeMarket, pick } from './fixtures.ts';

const market = makeMarket({ symbols: 7, days: 6, seed: 8 });
const size = market.asOf.length;
const dice = new Random(3, 3);
const predictedReturn = market.volatility.map((v) => 0.1 * v * dice.normal());
const low = market.lastClose.map((price, i) => price * Math.exp(-1.2 * market.volatility[i]));
const high = market.lastClose.map((price, i) => price * Math.exp(1.2 * market.volatility[i]));
const liquidity = Float64Array.from({ length: 7 }, (_, s) => (s === 3 ? Number.NaN : 10 ** s));

test('a part has the scores of an evaluation of its windows alone', () => {
  const { bySymbol, byHour, byLiquidity, byVolatility } = breakDown(
    { windows: market, predictedReturn, low, high, liquidity },
    { seed: 2 },
  );
  const all = [...market.asOf.keys()];
  const check = (part: (typeof bySymbol)[number], keep: number[]) => {
    const some = (values: Float64Array) => Float64Array.from(keep, (i) => values[i]);
    const alone = scoreForecasts({ ...pick(market, keep), predictedReturn: some(predictedReturn) }, { seed: 2 });
    assert.equal(part.windows, keep.length);
    for (const name of ['skill', 'skillScaled', 'skillScaledCi95', 'informationCoefficientScaled'] as const) {
      assert.deepEqual(part[name], alone[name], `${part.part} ${name}`);
    }
    const intervals = { low: some(low), high: some(high), lastClose: some(market.lastClose) };
    const { coverage } = scoreIntervals({ ...intervals, targetClose: some(market.targetClose) });
    assert.equal(part.coverage80, coverage);
  };
  assert.deepEqual(
    bySymbol.map(({ part }) => part),
    market.symbols,
  );
  for (const part of bySymbol)
    check(
      part,
      all.filter((i) => market.symbols[market.symbol[i]] === part.part),
    );
  for (const part of byHour)
    check(
      part,
      all.filter((i) => hourOf(market.asOf[i]) === part.part),
    );
  assert.equal(
    byHour.reduce((sum, { windows }) => sum + windows, 0),
    size,
  );
  // Fifths of windows by volatility: as many in each, and in order.
  assert.equal(
    byVolatility.reduce((sum, { windows }) => sum + windows, 0),
    size,
  );
  for (const part of byVolatility) {
    assert.ok(Math.abs(part.windows - size / 5) <= 2, `${part.windows} of ${size}`);
    const [from, to] = part.bounds!;
    const top = part.part === '5 of 5';
    check(
      part,
      all.filter((i) => market.volatility[i] >= from && (top || market.volatility[i] < to)),
    );
  }
  // Six symbols of known turnover in five parts, the least traded first; the seventh is in none.
  assert.deepEqual(
    byLiquidity.map(({ symbols }) => symbols),
    [1, 1, 1, 1, 2],
  );
  check(
    byLiquidity[0],
    all.filter((i) => market.symbol[i] === 0),
  );
  check(
    byLiquidity[4],
    all.filter((i) => market.symbol[i] >= 5),
  );
});

test('the hour is that of the session in New York, in summer and in winter, and the last one holds the close', () => {
  for (const day of ['2019-07-02', '2019-12-23'] as DayString[]) {
    const { open, close: end } = sessionOf(day)!;
    const at = [open + 1, open + 59, open + 60, open + 389, end];
    assert.deepEqual(at.map(hourOf), ['09:30', '09:30', '10:30', '15:30', '15:30']);
  }
  const early = sessionOf('2019-12-24' as DayString)!;
  assert.deepEqual([early.close, early.close - 31].map(hourOf), ['12:30', '11:30']);
  assert.equal(hourOf(early.open - 5), 'outside the session');
});

test('turnover is currency a session minute over the sessions that a symbol traded in', () => {
  const { open } = sessionOf('2019-12-23' as DayString)!;
  const early = sessionOf('2019-12-24' as DayString)!;
  const bar = (symbol: string, minute: number, price: number, volume: number) =>
    ({ symbol, minute, open: price, high: price, low: price, close: price, volume }) as never;
  const bars = columnsOf([
    bar('A', open, 10, 100),
    bar('A', open + 7, 20, 50),
    bar('A', open + 8, 20, Number.NaN),
    bar('B', open, 1, 390),
    bar('B', early.open, 1, 210),
    bar('C', open - 10, 5, 5),
  ]);
  const [a, b, c] = turnoverPerMinute(bars);
  assert.ok(close(a, 2000 / 390) && close(b, 600 / 600) && Number.isNaN(c));
});

test('the random walk of the window’s volatility holds 80% of a random walk, and the model is set against the ridge', () => {
  const ridgeReturn = market.volatility.map((v) => 0.2 * v * dice.normal());
  const { zeroDrift, modelOverRidge, ridge, model, interval80 } = evaluateForecasts(
    { windows: market, predictedReturn, low, high, ridgeReturn },
    { seed: 2 },
  );
  assert.ok(Math.abs(zeroDrift.interval80.coverage! - 0.8) < 0.04, `${zeroDrift.interval80.coverage}`);
  assert.equal(zeroDrift.coverage80, zeroDrift.interval80.coverage);
  assert.equal(zeroDrift.skill, 0);
  const expected = 1 - (1 - model.skillScaled!) / (1 - ridge!.skillScaled!);
  assert.ok(close(modelOverRidge!.skillScaled, expected));
  assert.ok(modelOverRidge!.skillScaledCi95![0] > 0, 'half the noise is better than all of it');
  assert.ok(interval80!.meanRelativeScore! > interval80!.meanRelativeWidth!);
});

test('the interval score is the width and ten times what lies outside, worked out by hand', () => {
  const score = scoreIntervals({
    low: Float64Array.of(99, 99, 99),
    high: Float64Array.of(101, 101, 102),
    targetClose: Float64Array.of(100, 98.5, 103),
    lastClose: Float64Array.of(100, 100, 100),
  });
  assert.ok(close(score.meanRelativeScore, (0.02 + (0.02 + 10 * 0.005) + (0.03 + 10 * 0.01)) / 3));
  assert.deepEqual([score.coverage, score.below, score.above], [1 / 3, 1 / 3, 1 / 3]);
});
