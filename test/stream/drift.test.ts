import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { nextSession } from '../../src/bars/index.ts';
import { epochMinute, Random } from '../../src/base/index.ts';
import { addSample, CUSUM_BOUND, emptyCusum, normalDeviate, populationStability } from '../../src/stream/cusum.ts';
import { DriftMonitor } from '../../src/stream/drift.ts';
import { addExact, exactValue, exactZero } from '../../src/stream/exact-sum.ts';
import { OPEN } from './fixtures.ts';

describe('exact sums', () => {
  test('do not depend on the order of their terms and lose nothing', () => {
    const random = new Random(1);
    const terms = Array.from({ length: 2000 }, () => Math.exp(20 * random.normal() - 20));
    const sumOf = (list: readonly number[]) => {
      const sum = exactZero();
      for (const term of list) addExact(sum, term);
      return sum;
    };
    const forwards = sumOf(terms);
    assert.deepEqual(sumOf([...terms].reverse()), forwards);
    assert.deepEqual(sumOf([...terms].sort((a, b) => a - b)), forwards);
    // The same in whole numbers of any size.
    const units = terms.reduce((sum, it) => sum + BigInt(Math.round(Math.min(it, 2 ** 20) * 2 ** 64)), 0n);
    assert.equal(BigInt(forwards.high) * 2n ** 52n + BigInt(forwards.low), units);
    const plain = terms.reduce((sum, it) => sum + Math.min(it, 2 ** 20), 0);
    assert.ok(Math.abs(exactValue(forwards) / plain - 1) < 1e-12);
  });
});

describe('the tests for a change', () => {
  test("Student's t becomes a normal deviate", () => {
    // Quantiles of t and of the normal distribution at the same probabilities (tables).
    for (const [t, degrees, z] of [
      [2.228, 10, 1.96],
      [-3.169, 10, -2.576],
      [2.042, 30, 1.96],
      [3.707, 6, 2.576],
      [0, 9, 0],
    ])
      assert.ok(Math.abs(normalDeviate(t, degrees) - z) < 0.01, `${t} ${degrees}: ${normalDeviate(t, degrees)}`);
  });

  test('CUSUM is silent for hundreds of samples of one kind and tells a shift of a deviation within a few dozen', () => {
    const random = new Random(2);
    const runs: number[] = [];
    const delays: number[] = [];
    for (let run = 0; run < 60; run++) {
      const quiet = emptyCusum();
      let length = 0;
      while (quiet.below <= CUSUM_BOUND && length < 5000) {
        addSample(quiet, 0.01 + 0.05 * random.normal(), true);
        length++;
      }
      runs.push(length);
      const shifted = emptyCusum();
      for (let i = 0; i < 60; i++) addSample(shifted, 0.01 + 0.05 * random.normal(), true);
      if (shifted.below > CUSUM_BOUND) continue;
      let delay = 0;
      while (shifted.below <= CUSUM_BOUND && delay < 1000) {
        addSample(shifted, 0.01 - 0.05 + 0.05 * random.normal(), true);
        delay++;
      }
      delays.push(delay);
    }
    const mean = (list: readonly number[]) => list.reduce((sum, it) => sum + it, 0) / list.length;
    assert.ok(mean(runs) > 500, `${mean(runs)} samples to a false alarm`);
    // Not the mean: what is shifted enters the reference too, until an alarm; a few runs get used to it.
    const median = delays.sort((a, b) => a - b)[delays.length >> 1];
    assert.ok(median < 20, `${median} samples to an alarm`);
  });

  test('the stability index is near 0 for one distribution and above a quarter for another', () => {
    const random = new Random(3);
    const histogram = (n: number, shift: number) => {
      const counts = new Array<number>(10).fill(0);
      for (let i = 0; i < n; i++) counts[Math.max(0, Math.min(9, Math.floor(5 + 2 * (shift + random.normal()))))]++;
      return counts;
    };
    const reference = histogram(20_000, 0);
    assert.ok(populationStability(histogram(2000, 0), reference) < 0.02);
    assert.ok(populationStability(histogram(2000, 0.7), reference) > 0.25);
    assert.ok(Number.isFinite(populationStability(new Array(10).fill(0), reference)));
  });
});

describe('the drift monitors', () => {
  /** A market of 60 symbols for some quarters of an hour; what the model is worth can be set. */
  function market(seed: number) {
    const random = new Random(seed);
    const monitor = new DriftMonitor({ level: 0.8, horizonMinutes: 5 });
    let minute = OPEN as number;
    const changes: string[] = [];
    /** Quarters of one session after another. */
    const go = (quarters: number, { skill = 0.1, spread = 1, stuck = 0, range = 1, volume = 1 } = {}) => {
      for (let m = 0; m < quarters * 15; m++, minute++) {
        minute = Math.max(minute, nextSession(epochMinute(minute)).open);
        for (let s = 0; s < 60; s++) {
          // The interval at 80% reaches 1.28 deviations to each side.
          const realised = 0.001 * spread * random.normal();
          const predicted = skill > 0 ? realised * skill : -realised * Math.abs(skill);
          const covered = Math.abs(realised) < 0.00128;
          const last = random.uniform() < stuck ? 0 : 0.0004 * random.normal();
          const outcome = { predictedReturn: predicted, realisedReturn: realised, volatility: 0.001, covered };
          // The range of a minute is about its volatility, some 0.45 of the horizon's; volumes vary by a factor of two.
          const wide = 0.00045 * range * Math.exp(0.5 * random.normal());
          const busy = volume * Math.exp(0.7 * random.normal());
          monitor.add(minute + 1, outcome, { lastReturn: last, range: wide, volumeShare: busy / (busy + 1) });
        }
        if (monitor.advance(minute + 6)) changes.push(stateOf());
      }
    };
    const stateOf = () =>
      monitor
        .report()
        .monitors.filter(({ state }) => state === 'alarm')
        .map(({ name }) => name)
        .join();
    return { monitor, go, changes, stateOf };
  }

  test('learn, then stay in bounds while nothing changes', () => {
    const { monitor, go, changes } = market(1);
    go(4);
    assert.deepEqual(
      monitor.report().monitors.map(({ state }) => state),
      ['learning', 'learning', 'in bounds', 'learning', 'learning'],
    );
    go(100);
    const { alarm, samples, monitors } = monitor.report();
    assert.deepEqual([alarm, changes], [false, []]);
    assert.ok(samples >= 100, `${samples}`);
    assert.ok(monitors.every(({ state, statistic, bound }) => state === 'in bounds' && statistic < bound));
  });

  test('a model that loses its skill', () => {
    const { monitor, go, stateOf } = market(2);
    go(30);
    go(6, { skill: -0.3 });
    assert.equal(stateOf(), 'skill');
    const [skill] = monitor.report().monitors;
    assert.ok(skill.value! < 0 && skill.usual! > 0.1 && skill.statistic > skill.bound);
    assert.match(skill.since!, /^2020-01-\d\dT.*Z$/);
    go(60, { skill: -0.3 });
    assert.equal(stateOf(), 'skill', 'what is wrong does not become usual');
    go(40);
    assert.equal(stateOf(), '', 'and it ends when the skill is back');
  });

  test('intervals that no longer cover', () => {
    const { go, stateOf } = market(3);
    go(30);
    go(8, { spread: 1.6 });
    assert.match(stateOf(), /coverage/);
  });

  test('prices that stand still', () => {
    const { go, stateOf } = market(4);
    go(30);
    go(3, { stuck: 0.6 });
    assert.equal(stateOf(), 'inputs');
    go(3);
    assert.equal(stateOf(), '');
  });

  for (const [monitor, changes] of [
    ['range', [{ range: 1.4 }, { range: 0.7 }]],
    ['volume', [{ volume: 1.6 }, { volume: 0.5 }]],
  ] as const) {
    test(`a ${monitor} that grows or shrinks`, () => {
      for (const [i, change] of changes.entries()) {
        const { monitor: drift, go, stateOf } = market(6 + i);
        // Two sessions to know the time of day, and eight samples.
        go(70);
        go(6, change);
        assert.equal(stateOf(), monitor);
        const { value, usual } = drift.report().monitors.find(({ name }) => name === monitor)!;
        assert.equal(value! > usual!, i === 0, `${value} was ${usual}`);
        go(30, change);
        assert.equal(stateOf(), monitor, 'what is wrong does not become usual');
        go(30);
        assert.equal(stateOf(), '', 'and it ends when all is as before');
      }
    });
  }

  test('a snapshot from before range and volume were watched begins to learn them', () => {
    const { monitor, go } = market(8);
    go(70);
    const { range: _, volume: __, ...old } = monitor.snapshot() as Record<string, unknown>;
    const without = (gathered: object) => {
      const { range: _, volume: __, ...rest } = gathered as Record<string, unknown>;
      return rest;
    };
    old.sample = without(old.sample as object);
    old.open = Object.fromEntries(Object.entries(old.open as object).map(([block, it]) => [block, without(it)]));
    const copy = new DriftMonitor({ level: 0.8, horizonMinutes: 5 });
    assert.ok(copy.restore(JSON.parse(JSON.stringify(old))));
    const [reports, before] = [copy, monitor].map((it) => it.report().monitors);
    assert.deepEqual(reports.slice(0, 3), before.slice(0, 3));
    assert.deepEqual(
      reports.slice(3).map(({ state }) => state),
      ['learning', 'learning'],
    );
  });

  test('a snapshot goes on to the same reports, and nonsense is none', () => {
    const { monitor, go } = market(5);
    go(30);
    go(3, { skill: -0.2 });
    const copy = new DriftMonitor({ level: 0.8, horizonMinutes: 5 });
    assert.ok(copy.restore(JSON.parse(JSON.stringify(monitor.snapshot()))));
    assert.deepEqual(copy.report(), monitor.report());
    for (const nonsense of [undefined, null, 7, {}, { ...monitor.snapshot(), sample: {} }])
      assert.equal(copy.restore(nonsense), false);
  });
});
