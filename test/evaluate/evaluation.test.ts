import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../src/base/index.ts';
import { evaluateForecasts, renderScores, scoreForecasts, verdictOf } from '../../src/evaluate/index.ts';
import { close, makeMarket, pick } from './fixtures.ts';

const market = makeMarket({ symbols: 5, days: 12, seed: 31 });
const size = market.asOf.length;
const realised = market.targetClose.map((target, i) => Math.log(target / market.lastClose[i]));
/** Noise of the size of some share of a window's volatility. */
const noise = (share: number, seed: number) => {
  const random = new Random(seed, 3);
  return market.volatility.map((volatility) => share * volatility * random.normal());
};
const bound = (z: number) => market.lastClose.map((price, i) => price * Math.exp(z * market.volatility[i]));

test('an evaluation holds the contract in JSON: three forecasters on the same windows', () => {
  const predictedReturn = noise(0.1, 1);
  const [low, high] = [bound(-1.28), bound(1.28)];
  const ridgeReturn = realised.map((move) => 0.1 * move);
  const evaluation = evaluateForecasts({ windows: market, predictedReturn, low, high, ridgeReturn }, { seed: 5 });
  assert.deepEqual(JSON.parse(JSON.stringify(evaluation)), evaluation);
  const { model, persistence, ridge } = evaluation;
  const contract =
    'rmse rmseNormalized mae skill skillCi95 skillScaled skillScaledCi95 directionalAccuracy informationCoefficient';
  for (const score of [model, persistence, ridge!]) {
    for (const name of contract.split(' ')) assert.ok(name in score, name);
    assert.equal(score.windows, size);
  }
  assert.equal(evaluation.windows, size);
  assert.equal(evaluation.symbols, 5);
  assert.equal(evaluation.firstAsOf, '2020-01-06T15:30:00.000Z');
  assert.equal(evaluation.lastAsOf, '2020-01-17T16:25:00.000Z');
  assert.ok(evaluation.coverage80! > 0.7 && evaluation.coverage80! < 0.9);
  assert.equal(evaluation.interval80?.coverage, evaluation.coverage80);
  assert.ok(close(ridge!.skill, 1 - 0.9 ** 2));
  assert.deepEqual(model, scoreForecasts({ ...market, predictedReturn, low, high }, { seed: 5 }));
  assert.deepEqual(persistence.skillScaledCi95, [0, 0]);
  assert.deepEqual(evaluation.bootstrap, { seed: 5, resamples: 1000, blockMinutes: 33, blocks: 20 });
});

test('guessing on a random walk is no edge; only a real signal is; wild guesses are worse', () => {
  const verdict = (predictedReturn: Float64Array) =>
    evaluateForecasts({ windows: market, predictedReturn, ridgeReturn: null }).verdict;
  const counts = new Map<string, number>();
  for (let seed = 0; seed < 60; seed++) {
    const found = verdict(noise(0.01, seed));
    counts.set(found, (counts.get(found) ?? 0) + 1);
  }
  // The interval holds zero about 93 times in 100 here: guesses cost a third of its half-width.
  assert.ok((counts.get('no edge over persistence') ?? 0) >= 48, JSON.stringify([...counts]));
  assert.ok((counts.get('edge over persistence') ?? 0) <= 6, JSON.stringify([...counts]));
  assert.equal(verdict(new Float64Array(size)), 'no edge over persistence');
  assert.equal(verdict(noise(1, 1)), 'worse than persistence');
  const guess = noise(0.1, 2);
  assert.equal(verdict(realised.map((move, i) => 0.1 * move + guess[i])), 'edge over persistence');
});

test('the verdict is about the interval of scaled skill', () => {
  const of = (skillScaledCi95: readonly [number, number] | null) => verdictOf({ skillScaledCi95 });
  assert.equal(of([0.001, 0.01]), 'edge over persistence');
  assert.equal(of([-0.001, 0.01]), 'no edge over persistence');
  assert.equal(of([0, 0.01]), 'no edge over persistence');
  assert.equal(of([-0.01, 0]), 'no edge over persistence');
  assert.equal(of([-0.01, -0.001]), 'worse than persistence');
  assert.equal(of(null), 'too few windows to tell');
});

test('no windows, no ridge and half an interval are said plainly', () => {
  const none = pick(market, []);
  const empty = evaluateForecasts({ windows: none, predictedReturn: new Float64Array(0), ridgeReturn: null });
  assert.equal(empty.windows, 0);
  assert.equal(empty.firstAsOf, null);
  assert.equal(empty.ridge, null);
  assert.equal(empty.coverage80, null);
  assert.equal(empty.verdict, 'too few windows to tell');
  assert.deepEqual(JSON.parse(JSON.stringify(empty)), empty);
  assert.match(renderScores(empty), /0 windows of 0 symbols\n/);
  assert.throws(
    () => evaluateForecasts({ windows: market, predictedReturn: realised, low: realised, ridgeReturn: null }),
    { code: 'BARCAST_E_SHAPE' },
  );
});

test('the table shows model, persistence and ridge in columns', () => {
  const evaluation = evaluateForecasts({
    windows: market,
    predictedReturn: realised.map((move) => 0.5 * move),
    low: bound(-1.28),
    high: bound(1.28),
    ridgeReturn: noise(0.5, 7),
  });
  const lines = renderScores(evaluation).split('\n');
  const cells = (label: string) =>
    lines
      .find((line) => line.startsWith(label))
      ?.slice(label.length)
      .trim()
      .split(/\s{2,}/);
  assert.match(lines[0], /^3,360 windows of 5 symbols, 2020-01-06T15:30:00\.000Z to /);
  assert.deepEqual(cells('             '), ['model', 'persistence', 'ridge']);
  assert.deepEqual(cells('skill  ')?.slice(0, 2), ['+75.000%', '0.000%']);
  assert.match(cells('skill  ')![2], /^-2\d\.\d{3}%$/);
  assert.deepEqual(cells('directional accuracy')?.slice(0, 2), ['100.0%', '-']);
  assert.deepEqual(cells('information coefficient')?.slice(0, 2), ['1.0000', '-']);
  assert.equal(cells('RMSE, currency')?.[1], evaluation.persistence.rmse!.toPrecision(4));
  assert.match(
    lines.at(-1)!,
    /^verdict: edge over persistence \(95% interval of scaled skill, 20 blocks of 33 minutes\)$/,
  );
  assert.match(
    lines.at(-2)!,
    /^80% interval: holds \d\d\.\d%, mean width 0\.\d{3}% of the price; by hour \d\d\.\d% to \d\d\.\d%$/,
  );
});
