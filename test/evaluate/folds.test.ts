import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sessionMinutesBefore, sessionsBetween } from '../../src/bars/index.ts';
import { type DayString, Random } from '../../src/base/index.ts';
import { type FoldPlan, planFolds, sessionsOf, sliceBars } from '../../src/evaluate/index.ts';
import { columnsOf, randomMarket, SESSIONS } from '../features/fixtures.ts';

/** Forty sessions with a holiday, early closes and a clock change among them. */
const sessions = sessionsBetween('2019-10-21' as DayString, '2019-12-31' as DayString).slice(0, 40);

function randomPlan(dice: Random): FoldPlan {
  return {
    mode: dice.below(2) === 0 ? 'expanding' : 'rolling',
    trainingSessions: 3 + dice.below(12),
    testSessions: 1 + dice.below(5),
    purgeMinutes: dice.below(200),
    embargoMinutes: dice.below(500),
  };
}

test('whatever the plan: tests follow each other whole, and the gap before each holds its session minutes', () => {
  for (let seed = 0; seed < 300; seed++) {
    const plan = randomPlan(new Random(seed, 17));
    const folds = planFolds(sessions, plan);
    const name = JSON.stringify(plan);
    assert.equal(folds.length, Math.ceil((40 - plan.trainingSessions) / plan.testSessions), name);
    assert.equal(folds[0].testFrom, sessions[plan.trainingSessions].open);
    assert.equal(folds.at(-1)!.testTo, sessions[39].close);
    for (const [i, fold] of folds.entries()) {
      assert.equal(fold.number, i + 1);
      assert.ok(fold.trainFrom < fold.trainTo && fold.trainTo <= fold.testFrom && fold.testFrom < fold.testTo, name);
      // No test begins within another, and none leaves a session out.
      if (i > 0) {
        const before = sessions.findIndex(({ close }) => close === folds[i - 1].testTo);
        assert.equal(fold.testFrom, sessions[before + 1].open);
      }
      const gap = sessionMinutesBefore(fold.testFrom) - sessionMinutesBefore(fold.trainTo);
      assert.equal(gap, plan.purgeMinutes + plan.embargoMinutes, name);
      const first = sessions.findIndex(({ open }) => open === fold.trainFrom);
      const test = sessions.findIndex(({ open }) => open === fold.testFrom);
      assert.equal(first, plan.mode === 'expanding' ? 0 : test - plan.trainingSessions);
    }
  }
});

test('no training window or target can touch a test window, even without a gap', () => {
  // A training sees bars before trainTo: its last target lies there, and a test window's first row is at testFrom.
  for (const { trainTo, testFrom } of planFolds(sessions, {
    mode: 'expanding',
    trainingSessions: 5,
    testSessions: 1,
    purgeMinutes: 0,
    embargoMinutes: 0,
  }))
    assert.ok(trainTo <= testFrom);
});

test('plans that make no fold are refused with a code', () => {
  const plan: FoldPlan = {
    mode: 'rolling',
    trainingSessions: 3,
    testSessions: 1,
    purgeMinutes: 65,
    embargoMinutes: 0,
  };
  const refuse = (change: Partial<FoldPlan>, code: string, of = sessions) =>
    assert.throws(() => planFolds(of, { ...plan, ...change }), { code });
  refuse({ trainingSessions: 0 }, 'BARCAST_E_USAGE');
  refuse({ testSessions: 1.5 }, 'BARCAST_E_USAGE');
  refuse({ embargoMinutes: -1 }, 'BARCAST_E_USAGE');
  refuse({ purgeMinutes: 3 * 390 }, 'BARCAST_E_USAGE');
  refuse({}, 'BARCAST_E_TOO_FEW_WINDOWS', sessions.slice(0, 3));
  assert.equal(planFolds(sessions.slice(0, 4), plan).length, 1);
});

test('a slice holds the bars that a filter keeps, and every symbol', () => {
  for (let seed = 0; seed < 20; seed++) {
    const dice = new Random(seed, 23);
    const bars = randomMarket(seed, 4);
    const whole = columnsOf(bars);
    const from = SESSIONS[0].open + dice.below(60_000);
    const to = from + dice.below(20_000);
    const slice = sliceBars(whole, from, to);
    assert.deepEqual(slice.symbols, whole.symbols);
    const kept = columnsOf(bars.filter((bar) => bar.minute >= from && bar.minute < to));
    for (const column of ['minute', 'open', 'high', 'low', 'close', 'volume'] as const) {
      assert.deepEqual(slice[column], kept[column]);
    }
    for (const [s, symbol] of whole.symbols.entries()) {
      const count = bars.filter((bar) => bar.symbol === symbol && bar.minute >= from && bar.minute < to).length;
      assert.equal(slice.offsets[s + 1] - slice.offsets[s], count);
    }
  }
});

test('the sessions of a market are those it has bars on', () => {
  const whole = columnsOf(randomMarket(1, 3));
  assert.deepEqual(
    sessionsOf(whole).map(({ day }) => day),
    SESSIONS.map(({ day }) => day),
  );
  assert.deepEqual(sessionsOf(sliceBars(whole, 0, 1)), []);
});
