import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashText, Random } from '../../src/base/index.ts';
import { quantile, resampleSkill, skillInterval, stretchOf } from '../../src/evaluate/bootstrap.ts';
import { chooseBlockMinutes, scoreForecasts } from '../../src/evaluate/index.ts';
import { indexMinutes } from '../../src/evaluate/minute-index.ts';
import { OPEN } from './fixtures.ts';

test('minutes are distinct, ascending and counted, in any order of windows', () => {
  const asOf = Int32Array.of(OPEN + 1, OPEN + 2880, OPEN, OPEN + 1, OPEN + 2879, OPEN, OPEN + 1);
  const index = indexMinutes(asOf);
  assert.deepEqual([...index.minutes], [OPEN, OPEN + 1, OPEN + 2879, OPEN + 2880]);
  assert.deepEqual([...index.count], [2, 3, 1, 1]);
  assert.deepEqual(
    Array.from(index.slot, (slot) => index.minutes[slot]),
    [...asOf],
  );
  assert.equal(index.days, 2);
  const none = indexMinutes(new Int32Array(0));
  assert.deepEqual([none.minutes.length, none.days], [0, 0]);
});

test('a resample is what copying windows block by block gives', () => {
  // Minutes with 1, 3, 2, 0 moves, 1, 2, 1 windows, seven in all, blocks of 3 around the circle.
  const windowsOf = [
    [[1, 2]],
    [
      [3, 1],
      [0.5, 2],
      [2, 2],
    ],
    [
      [0, 1],
      [4, 1],
    ],
    [[0.1, 0]],
    [[1, 1]],
    [
      [2, 5],
      [1, 3],
    ],
    [[3, 4]],
  ];
  const sum = (column: number) =>
    Float64Array.from(windowsOf, (list) => list.reduce((total, w) => total + w[column], 0));
  const plan = { seed: 42, resamples: 200, blockMinutes: 3, blocks: 2 };
  const fast = resampleSkill({ squaredError: sum(0), squaredMove: sum(1) }, plan);

  const random = new Random(42, hashText('evaluate.bootstrap'));
  const seen = new Set<number>();
  for (let r = 0; r < plan.resamples; r++) {
    const minutes: number[] = [];
    while (minutes.length < 7) {
      const start = random.below(7);
      for (let k = 0; k < 3 && minutes.length < 7; k++) minutes.push((start + k) % 7);
    }
    const copies = minutes.flatMap((minute) => windowsOf[minute]);
    const skill = 1 - copies.reduce((t, w) => t + w[0], 0) / copies.reduce((t, w) => t + w[1], 0);
    assert.ok(Math.abs(fast[r] - skill) < 1e-12, `resample ${r}: ${fast[r]} instead of ${skill}`);
    seen.add(skill);
  }
  assert.ok(seen.size > 20);
});

test('with blocks of one minute the resamples have the distribution of all possible draws', () => {
  const squaredError = Float64Array.of(1, 5, 2, 7);
  const squaredMove = Float64Array.of(2, 4, 3, 6);
  const all = new Float64Array(4 ** 4);
  for (let code = 0; code < all.length; code++) {
    let [error, move] = [0, 0];
    for (let k = 0, rest = code; k < 4; k++, rest = Math.floor(rest / 4)) {
      error += squaredError[rest % 4];
      move += squaredMove[rest % 4];
    }
    all[code] = 1 - error / move;
  }
  all.sort();
  const plan = { seed: 7, resamples: 40_000, blockMinutes: 1, blocks: 4 };
  const drawn = resampleSkill({ squaredError, squaredMove }, plan);
  // Share at or below each value, compared by the Dvoretzky-Kiefer-Wolfowitz bound at one in a million.
  const bound = Math.sqrt(Math.log(2 / 1e-6) / (2 * plan.resamples));
  for (const value of new Set(all)) {
    const share = (values: Float64Array) => values.filter((v) => v <= value + 1e-12).length / values.length;
    assert.ok(Math.abs(share(drawn) - share(all)) < bound);
  }
});

test('quantiles interpolate, and few blocks stretch the interval as Student does', () => {
  assert.equal(quantile(Float64Array.of(1, 2, 4), 0.25), 1.5);
  assert.equal(quantile(Float64Array.of(1, 2, 4), 1), 4);
  // 97.5% quantiles of Student's t from tables: 4, 9 and 29 degrees of freedom.
  for (const [blocks, t] of [
    [5, 2.7764],
    [10, 2.2622],
    [30, 2.0452],
  ]) {
    const expected = (Math.sqrt(blocks / (blocks - 1)) * t) / 1.95996;
    assert.ok(Math.abs(stretchOf(blocks) / expected - 1) < 0.003, `${blocks}`);
  }
});

test('the interval is the stretched percentiles around the estimate', () => {
  const random = new Random(1);
  const squaredMove = Float64Array.from({ length: 300 }, () => random.uniform());
  const squaredError = squaredMove.map((move) => move * random.uniform());
  const plan = { seed: 3, resamples: 500, blockMinutes: 30, blocks: 10 };
  const estimate = 1 - squaredError.reduce((a, b) => a + b) / squaredMove.reduce((a, b) => a + b);
  const skills = resampleSkill({ squaredError, squaredMove }, plan).sort();
  const [low, high] = skillInterval(estimate, { squaredError, squaredMove }, plan)!;
  assert.ok(low < skills[12] && high > skills[487] && low < estimate && estimate < high);
  assert.ok(Math.abs((estimate - low) / (estimate - quantile(skills, 0.025)) - stretchOf(10)) < 1e-9);
  assert.equal(skillInterval(estimate, { squaredError, squaredMove }, { ...plan, blockMinutes: 61 }), null);
});

test('minutes without a move make no NaN', () => {
  const squaredError = new Float64Array(50).fill(1);
  const squaredMove = new Float64Array(50);
  squaredMove[20] = 1;
  const plan = { seed: 3, resamples: 500, blockMinutes: 1, blocks: 50 };
  const interval = skillInterval(-49, { squaredError, squaredMove }, plan);
  assert.ok(interval?.every(Number.isFinite));
  assert.equal(skillInterval(0, { squaredError, squaredMove: new Float64Array(50) }, plan), null);
});

test('blocks are days when there are enough, hours otherwise, never under three horizons', () => {
  assert.equal(chooseBlockMinutes(252 * 330, 252, 5), 330);
  assert.equal(chooseBlockMinutes(20 * 330, 20, 5), 330);
  assert.equal(chooseBlockMinutes(19 * 330, 19, 5), 60);
  assert.equal(chooseBlockMinutes(600, 2, 5), 30);
  assert.equal(chooseBlockMinutes(100, 1, 5), 15);
  assert.equal(chooseBlockMinutes(100, 1, 30), 90);
});

/**
 * Three symbols over 40 hours; prediction and market error are shared by all symbols and stay for quarters of an
 * hour. Var(prediction) 1/4, var(error) 1 + 1, so that the true skill is 0.25 / 2.25.
 */
function simulate(seed: number) {
  const random = new Random(seed, 12);
  const symbols = 3;
  const minutes = 2400;
  const size = symbols * minutes;
  const asOf = new Int32Array(size);
  const predictedReturn = new Float64Array(size);
  const targetClose = new Float64Array(size);
  let [shared, market] = [0, 0];
  for (let i = 0; i < size; i++) {
    const minute = Math.floor(i / symbols);
    if (i % (15 * symbols) === 0) [shared, market] = [0.5 * random.normal(), random.normal()];
    asOf[i] = OPEN + Math.floor(minute / 300) * 1440 + (minute % 300);
    predictedReturn[i] = 1e-3 * shared;
    targetClose[i] = 10 * Math.exp(1e-3 * (shared + market + random.normal()));
  }
  const constant = (value: number) => new Float64Array(size).fill(value);
  const symbol = Int32Array.from({ length: size }, (_, i) => i % symbols);
  return {
    symbols: ['A', 'B', 'C'],
    symbol,
    asOf,
    lastClose: constant(10),
    targetClose,
    volatility: constant(1e-3),
    predictedReturn,
  };
}

test('the 95% interval holds the true skill about 95 times in 100; one of single minutes does not', () => {
  const truth = 0.25 / 2.25;
  const runs = 300;
  let held = 0;
  let heldByMinutes = 0;
  for (let seed = 0; seed < runs; seed++) {
    const input = simulate(seed);
    const holds = (blockMinutes?: number) => {
      const { skillCi95 } = scoreForecasts(input, { seed, resamples: 200, blockMinutes });
      return skillCi95![0] <= truth && truth <= skillCi95![1];
    };
    if (holds()) held++;
    if (seed < 60 && holds(1)) heldByMinutes++;
  }
  // Three standard deviations of a binomial count about 0.95, and two points of bias below.
  const spread = 3 * Math.sqrt(0.95 * 0.05 * runs);
  assert.ok(held >= 0.93 * runs - spread && held <= 0.95 * runs + spread, `${held} of ${runs}`);
  assert.ok(heldByMinutes < 0.75 * 60, `${heldByMinutes} of 60 with blocks of one minute`);
});

test('the same seed gives the same interval, another seed a slightly different one', () => {
  const input = simulate(1);
  const of = (seed: number) => scoreForecasts(input, { seed }).skillCi95!;
  assert.deepEqual(of(4), of(4));
  assert.notDeepEqual(of(4), of(5));
  const width = of(4)[1] - of(4)[0];
  assert.ok(Math.abs(of(4)[0] - of(5)[0]) < 0.2 * width);
});
