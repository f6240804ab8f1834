import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BarcastError, Random } from '../../src/base/index.ts';
import { type ScoreInput, scoreForecasts, scoreIntervals } from '../../src/evaluate/index.ts';
import { close, makeMarket, OPEN, pick, shuffled } from './fixtures.ts';

const f64 = (...values: number[]) => Float64Array.from(values);

/** Four windows whose scores can be worked out on paper: prices 100 and 10, moves in powers of e. */
const tiny: ScoreInput = {
  symbols: ['A', 'B'],
  symbol: Int32Array.of(0, 0, 1, 1),
  asOf: Int32Array.of(OPEN, OPEN + 1, OPEN, OPEN + 1),
  lastClose: f64(100, 100, 10, 10),
  targetClose: f64(100 * Math.E ** 0.02, 100 * Math.E ** -0.01, 10, 10 * Math.E ** 0.04),
  volatility: f64(0.01, 0.01, 0.02, 0.02),
  predictedReturn: f64(0.01, 0.01, 0.01, 0.02),
  low: f64(100, 99.5, 9, 10),
  high: f64(103, 101, 10, 10.1),
};

test('scores of four windows agree with those worked out by hand', () => {
  const score = scoreForecasts(tiny);
  assert.equal(score.windows, 4);
  // Errors of log returns 0.01, -0.02, -0.01, 0.02; moves 0.02, -0.01, 0, 0.04.
  assert.ok(close(score.skill, 1 - (1 + 4 + 1 + 4) / (4 + 1 + 0 + 16)));
  // Divided by 0.01, 0.01, 0.02, 0.02: errors 1, -2, -0.5, 1; moves 2, -1, 0, 2.
  assert.ok(close(score.skillScaled, 1 - (1 + 4 + 0.25 + 1) / (4 + 1 + 0 + 4)));
  // Predicted prices 101.0050, 101.0050, 10.1005, 10.2020; realised 102.0201, 99.0050, 10, 10.4081.
  const errors = [
    102.02013400267558 - 101.00501670841679,
    99.0049833749168 - 101.00501670841679,
    10 - 10.10050167084168,
    10.408107741923882 - 10.20201340026756,
  ];
  const rmse = Math.sqrt(errors.reduce((sum, e) => sum + e * e, 0) / 4);
  assert.ok(close(score.rmse, rmse));
  assert.ok(close(score.mae, errors.reduce((sum, e) => sum + Math.abs(e), 0) / 4));
  assert.ok(close(score.rmseNormalized, rmse / (102.02013400267558 - 10)));
  // Three windows moved: up, down, up; the prediction is always up.
  assert.ok(close(score.directionalAccuracy, 2 / 3));
  // Predictions (1, 1, 1, 2) / 100, mean 1.25; moves (2, -1, 0, 4) / 100, mean 1.25.
  const covariance = -0.25 * 0.75 + -0.25 * -2.25 + -0.25 * -1.25 + 0.75 * 2.75;
  const deviations = Math.sqrt((3 * 0.0625 + 0.5625) * (0.5625 + 5.0625 + 1.5625 + 7.5625));
  assert.ok(close(score.informationCoefficient, covariance / deviations));
  // Inside, below, on the upper bound, above.
  assert.equal(score.coverage80, 0.5);
  assert.equal(score.skillCi95, null, 'two minutes hold no five blocks');
});

test('a range of closes given from outside divides the normalised error', () => {
  const score = scoreForecasts(tiny, { closeRange: { low: 1, high: 2001 } });
  assert.ok(close(score.rmseNormalized, score.rmse! / 2000));
});

test('persistence has skill zero, no direction and no correlation; a perfect forecast has skill one', () => {
  const market = makeMarket({ symbols: 3, days: 4, seed: 1 });
  const realised = market.targetClose.map((target, i) => Math.log(target / market.lastClose[i]));
  const persistence = scoreForecasts({ ...market, predictedReturn: new Float64Array(realised.length) });
  assert.equal(persistence.skill, 0);
  assert.equal(persistence.skillScaled, 0);
  assert.deepEqual(persistence.skillCi95, [0, 0]);
  assert.deepEqual(persistence.skillScaledCi95, [0, 0]);
  assert.equal(persistence.directionalAccuracy, null);
  assert.equal(persistence.informationCoefficient, null);
  assert.equal(persistence.coverage80, null);
  const perfect = scoreForecasts({ ...market, predictedReturn: realised });
  assert.equal(perfect.skill, 1);
  assert.deepEqual(perfect.skillScaledCi95, [1, 1]);
  assert.equal(perfect.directionalAccuracy, 1);
  assert.ok(close(perfect.informationCoefficient, 1));
  assert.ok(perfect.rmse! < 1e-10);
});

test('what is not defined is null, and JSON holds no other absence', () => {
  const empty = pick(makeMarket({ symbols: 1, days: 1, seed: 1 }), []);
  const none = scoreForecasts({ ...empty, predictedReturn: f64(), low: f64(), high: f64() });
  const { windows, ...rest } = none;
  assert.equal(windows, 0);
  for (const [name, value] of Object.entries(rest)) assert.equal(value, null, name);

  const still = scoreForecasts({ ...tiny, targetClose: tiny.lastClose });
  assert.deepEqual(
    [still.skill, still.skillScaled, still.skillScaledCi95, still.directionalAccuracy, still.informationCoefficient],
    [null, null, null, null, null],
  );
  assert.ok(still.rmse! > 0);

  const flat = { ...tiny, lastClose: f64(5, 5, 5, 5), targetClose: f64(5, 5, 5, 5) };
  assert.equal(scoreForecasts(flat).rmseNormalized, null);

  const constant = scoreForecasts({ ...tiny, predictedReturn: f64(0.1, 0.1, 0.1, 0.1) });
  assert.equal(constant.informationCoefficient, null);
  assert.ok(close(constant.directionalAccuracy, 2 / 3));
});

test('the order of the windows does not matter', () => {
  const market = makeMarket({ symbols: 4, days: 3, seed: 2 });
  const random = new Random(3);
  const predicted = market.lastClose.map(() => 5e-4 * random.normal());
  const order = shuffled(predicted.length, 9);
  const straight = scoreForecasts({ ...market, predictedReturn: predicted });
  const mixed = scoreForecasts({
    ...pick(market, order),
    predictedReturn: Float64Array.from(order, (i) => predicted[i]),
  });
  assert.notEqual(straight.skillScaledCi95, null);
  for (const name of Object.keys(straight) as (keyof typeof straight)[]) {
    const [a, b] = [straight[name], mixed[name]].map((value) => (Array.isArray(value) ? value : [value]));
    for (const k of a.keys()) assert.ok(a[k] === b[k] || close(a[k] as number, b[k] as number, 1e-11), name);
  }
});

test('a scaled score is not moved by the unit of volatility, a raw one not by volatility at all', () => {
  const market = makeMarket({ symbols: 2, days: 2, seed: 4 });
  const random = new Random(5);
  const predictedReturn = market.lastClose.map(() => 5e-4 * random.normal());
  const one = scoreForecasts({ ...market, predictedReturn });
  const ten = scoreForecasts({ ...market, volatility: market.volatility.map((v) => 10 * v), predictedReturn });
  assert.ok(close(ten.skillScaled, one.skillScaled!));
  assert.equal(ten.skill, one.skill);
});

test('unknown or impossible values and arrays of another length are refused with a code', () => {
  const refused = (change: Partial<ScoreInput>, code: string) =>
    assert.throws(
      () => scoreForecasts({ ...tiny, ...change }),
      (error: unknown) => error instanceof BarcastError && error.code === code,
    );
  refused({ targetClose: f64(100, Number.NaN, 10, 10) }, 'BARCAST_E_NOT_FINITE');
  refused({ lastClose: f64(100, 0, 10, 10) }, 'BARCAST_E_NOT_FINITE');
  refused({ volatility: f64(0.1, 0.1, 0, 0.1) }, 'BARCAST_E_NOT_FINITE');
  refused({ predictedReturn: f64(0, Number.POSITIVE_INFINITY, 0, 0) }, 'BARCAST_E_NOT_FINITE');
  refused({ low: f64(1, 1, 1, Number.NaN) }, 'BARCAST_E_NOT_FINITE');
  refused({ predictedReturn: f64(0, 0, 0) }, 'BARCAST_E_SHAPE');
  refused({ symbol: Int32Array.of(0) }, 'BARCAST_E_SHAPE');
});

test('intervals: coverage counts the bounds, widths are in currency and in shares of the price', () => {
  const score = scoreIntervals({
    low: f64(99, 9, 50, 1),
    high: f64(101, 11, 60, 2),
    targetClose: f64(101, 9, 49.99, 1.5),
    lastClose: f64(100, 10, 50, 2),
  });
  assert.equal(score.coverage, 0.75);
  assert.ok(close(score.meanWidth, (2 + 2 + 10 + 1) / 4));
  assert.ok(close(score.meanRelativeWidth, (0.02 + 0.2 + 0.2 + 0.5) / 4));
});

test('an interval of known quantiles holds what it should', () => {
  const random = new Random(8);
  const windows = 20_000;
  const lastClose = new Float64Array(windows).fill(50);
  const targetClose = lastClose.map((price) => price * Math.exp(1e-3 * random.normal()));
  // 10% and 90% quantiles of the standard normal.
  const bound = (z: number) => lastClose.map((price) => price * Math.exp(1e-3 * z));
  const { coverage } = scoreIntervals({ low: bound(-1.2815516), high: bound(1.2815516), targetClose, lastClose });
  assert.ok(Math.abs(coverage! - 0.8) < 4 * Math.sqrt((0.8 * 0.2) / windows), `${coverage}`);
});
