import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashText, Random } from '../../src/base/index.ts';
import { planBootstrap } from '../../src/evaluate/bootstrap.ts';
import { scoreForecasts } from '../../src/evaluate/index.ts';
import {
  chooseLag,
  coefficientsByMinute,
  correlation,
  neweyWestT,
  pooledCoefficient,
  ranksOf,
} from '../../src/evaluate/information-coefficient.ts';
import { indexMinutes } from '../../src/evaluate/minute-index.ts';
import { close, OPEN } from './fixtures.ts';

const random = (seed: number) => new Random(seed, 91);

test('ranks are one plus the smaller values plus half of the other equal ones', () => {
  for (let seed = 0; seed < 50; seed++) {
    const dice = random(seed);
    const values = Float64Array.from({ length: 1 + dice.below(40) }, () => dice.below(12));
    const counted = values.map(
      (v) => 1 + values.filter((w) => w < v).length + (values.filter((w) => w === v).length - 1) / 2,
    );
    assert.deepEqual(ranksOf(values), counted);
  }
});

test('the rank correlation without ties is 1 - 6 sum of squared differences / (n (n^2 - 1))', () => {
  for (let seed = 0; seed < 50; seed++) {
    const dice = random(seed);
    const n = 3 + dice.below(40);
    const draw = () => Float64Array.from({ length: n }, () => dice.normal());
    const [x, y] = [ranksOf(draw()), ranksOf(draw())];
    const squared = x.reduce((sum, rank, i) => sum + (rank - y[i]) ** 2, 0);
    assert.ok(close(correlation(x, y), 1 - (6 * squared) / (n * (n * n - 1))));
  }
  assert.equal(correlation(Float64Array.of(1, 1), Float64Array.of(1, 2)), null);
});

test('the t-value is that of a sum over all pairs of minutes, weighted by their distance', () => {
  for (let seed = 0; seed < 30; seed++) {
    const dice = random(seed);
    const minutes: number[] = [];
    for (let at = OPEN; minutes.length < 60; at += 1 + dice.below(4)) minutes.push(at);
    const values = minutes.map(() => 0.1 + dice.normal());
    const lag = dice.below(12);
    const mean = values.reduce((a, b) => a + b) / values.length;
    let variance = 0;
    for (const [i, a] of values.entries()) {
      for (const [j, b] of values.entries()) {
        const weight = Math.max(0, 1 - Math.abs(minutes[i] - minutes[j]) / (lag + 1));
        variance += weight * (a - mean) * (b - mean);
      }
    }
    assert.ok(close(neweyWestT(minutes, values, lag), mean / (Math.sqrt(variance) / values.length), 1e-9));
  }
  assert.equal(neweyWestT([1, 2], [3, 3], 4), null);
  assert.deepEqual([chooseLag(100, 1), chooseLag(100, 5), chooseLag(10_000, 5)], [4, 8, 11]);
});

test('with lag 0 it is the t-value of independent values up to the degree of freedom', () => {
  const values = [0.5, -0.2, 0.9, 0.1, 0.4];
  const mean = 0.34;
  const deviation = Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length);
  assert.ok(close(neweyWestT([0, 1, 2, 3, 4], values, 0), (mean / deviation) * Math.sqrt(5)));
});

test('on overlapping noise the t-value exceeds 2 about as often as it should; a plain one far too often', () => {
  let [robust, plain] = [0, 0];
  const runs = 300;
  for (let seed = 0; seed < runs; seed++) {
    const dice = random(seed);
    const shocks = Array.from({ length: 1004 }, () => dice.normal());
    const minutes = Array.from({ length: 1000 }, (_, i) => OPEN + i);
    const values = minutes.map((_, i) => shocks.slice(i, i + 5).reduce((a, b) => a + b));
    if (Math.abs(neweyWestT(minutes, values, chooseLag(1000, 5))!) > 1.96) robust++;
    if (Math.abs(neweyWestT(minutes, values, 0)!) > 1.96) plain++;
  }
  assert.ok(robust < 0.13 * runs, `${robust} of ${runs}`);
  assert.ok(plain > 0.3 * runs, `${plain} of ${runs} without lags`);
});

/** 12 to 15 symbols at some minutes, 3 at others; forecasts know a share of what comes. */
function sample(seed: number, known: number) {
  const dice = random(seed);
  const rows: { asOf: number; symbol: number; predicted: number; realised: number; volatility: number }[] = [];
  for (let minute = 0; minute < 40; minute++) {
    const count = minute % 4 === 3 ? 3 : 12 + dice.below(4);
    for (let symbol = 0; symbol < count; symbol++) {
      const volatility = 10 ** (-3 + dice.uniform());
      const signal = dice.normal();
      rows.push({
        asOf: OPEN + 2 * minute,
        symbol,
        volatility,
        predicted: volatility * signal,
        realised: volatility * (known * signal + dice.normal()),
      });
    }
  }
  const order = Int32Array.from(rows, (_, i) => i);
  dice.shuffle(order);
  const pick = (of: (row: (typeof rows)[number]) => number) => Float64Array.from(order, (i) => of(rows[i]));
  return {
    rows,
    asOf: Int32Array.from(order, (i) => rows[i].asOf),
    moves: {
      predicted: pick((row) => row.predicted),
      realised: pick((row) => row.realised),
      volatility: pick((row) => row.volatility),
    },
  };
}

test('by minute: mean over the minutes with ten symbols of each minute’s own correlation', () => {
  const { rows, asOf, moves } = sample(5, 0.4);
  const found = coefficientsByMinute(indexMinutes(asOf), moves, 5)!;
  const minutes = [...new Set(rows.map((row) => row.asOf))].filter(
    (at) => rows.filter((row) => row.asOf === at).length >= 10,
  );
  const each = minutes.map((at) => {
    const members = rows.filter((row) => row.asOf === at);
    const column = (of: (row: (typeof rows)[number]) => number) => Float64Array.from(members, of);
    return {
      count: members.length,
      pearson: correlation(
        column((r) => r.predicted / r.volatility),
        column((r) => r.realised / r.volatility),
      )!,
      rank: correlation(ranksOf(column((r) => r.predicted)), ranksOf(column((r) => r.realised)))!,
    };
  });
  const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
  assert.equal(found.minutes, 30);
  assert.ok(close(found.symbols, mean(each.map((e) => e.count))));
  assert.ok(close(found.pearson.mean, mean(each.map((e) => e.pearson))));
  assert.ok(close(found.rank.mean, mean(each.map((e) => e.rank))));
  const t = neweyWestT(
    minutes,
    each.map((e) => e.rank),
    found.lagMinutes,
  );
  assert.ok(close(found.rank.tValue, t!));
  assert.ok(found.pearson.tValue! > 4, `${found.pearson.tValue}`);
});

test('by minute: three symbols rank nothing', () => {
  const moves = { predicted: Float64Array.of(1, 2, 3), realised: Float64Array.of(1, 2, 3) };
  assert.equal(coefficientsByMinute(indexMinutes(Int32Array.of(OPEN, OPEN, OPEN)), moves, 5), null);
});

test('the interval of the pooled coefficient is what copying windows block by block gives', () => {
  const { asOf, moves } = sample(9, 0.3);
  const index = indexMinutes(asOf);
  const plan = { ...planBootstrap(index.minutes.length, 1, { seed: 4, blockMinutes: 3 }), resamples: 200 };
  const { value, ci95 } = pooledCoefficient(index, moves, plan);
  const x = moves.predicted.map((v, i) => v / moves.volatility[i]);
  const y = moves.realised.map((v, i) => v / moves.volatility[i]);
  assert.ok(close(value, correlation(x, y)!));
  // The same draws by hand.
  const dice = new Random(4, hashText('evaluate.bootstrap'));
  const copies: number[] = [];
  for (let r = 0; r < plan.resamples; r++) {
    const chosen: number[] = [];
    while (chosen.length < 40) {
      const start = dice.below(40);
      for (let k = 0; k < 3 && chosen.length < 40; k++) chosen.push((start + k) % 40);
    }
    const windows = chosen.flatMap((minute) => [...index.slot.keys()].filter((i) => index.slot[i] === minute));
    copies.push(
      correlation(
        Float64Array.from(windows, (i) => x[i]),
        Float64Array.from(windows, (i) => y[i]),
      )!,
    );
  }
  copies.sort((a, b) => a - b);
  // Distances of the two ends keep the ratio of the copies' quantiles; the stretch is the same for both.
  const quantile = (level: number) => {
    const place = level * 199;
    return copies[Math.floor(place)] + (place % 1) * (copies[Math.ceil(place)] - copies[Math.floor(place)]);
  };
  const ratio = (value! - ci95![0]) / (value! - quantile(0.025));
  assert.ok(ratio > 1 && ratio < 1.5, `${ratio}`);
  assert.ok(close((ci95![1] - value!) / (quantile(0.975) - value!), ratio, 1e-6));
});

test('a score holds all three kinds, and scaling by volatility changes the scaled one alone', () => {
  const { asOf, moves } = sample(2, 0.5);
  const size = asOf.length;
  const input = {
    symbols: Array.from({ length: 15 }, (_, i) => `S${i}`),
    symbol: new Int32Array(size),
    asOf,
    lastClose: new Float64Array(size).fill(10),
    targetClose: moves.realised.map((move) => 10 * Math.exp(move)),
    volatility: moves.volatility,
    predictedReturn: moves.predicted,
  };
  const score = scoreForecasts(input, { blockMinutes: 4 });
  assert.ok(close(score.informationCoefficient, correlation(moves.predicted, moves.realised)!, 1e-9));
  assert.ok(score.informationCoefficientCi95![0] < score.informationCoefficient!);
  assert.ok(score.informationCoefficientScaled !== score.informationCoefficient);
  assert.equal(score.informationCoefficientByMinute!.minutes, 30);
  const flat = scoreForecasts({ ...input, volatility: new Float64Array(size).fill(1) });
  assert.ok(close(flat.informationCoefficientScaled, flat.informationCoefficient!));
  assert.ok(close(flat.informationCoefficient, score.informationCoefficient!));
});
