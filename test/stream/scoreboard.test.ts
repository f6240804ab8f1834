import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { Random } from '../../src/base/index.ts';
import { type Forecast, Scoreboards } from '../../src/stream/index.ts';
import { bar, CLOSE, forecastOf, MODEL, NEXT_OPEN, OPEN, series } from './fixtures.ts';

function setUp(longestQuietRun = 3) {
  const scores = new Scoreboards(longestQuietRun);
  const board = scores.of(MODEL);
  const only = (settled: ReturnType<Scoreboards['takeBars']>) => [...settled.scored.values()].flat();
  const feed = (items: readonly ReturnType<typeof bar>[]) => only(scores.takeBars(items));
  const note = (...forecasts: Forecast[]) => only(scores.takeForecasts(forecasts));
  return { scores, board, feed, note };
}

const near = (actual: number | null, expected: number) =>
  assert.ok(Math.abs(actual! - expected) < 1e-12, `${actual} is not ${expected}`);

describe('the scoreboard', () => {
  test('scores against the close of the bar that ends the horizon, no sooner', () => {
    const { board, feed, note } = setUp();
    feed([bar('A', OPEN, 100)]);
    note(forecastOf('A', OPEN + 1, 100, 0.002));
    // asOf is 14:31; the horizon ends with the bar of 14:35, which is OPEN + 5.
    assert.deepEqual(feed(series('A', [101, 102, 103, 104], OPEN + 1)), []);
    assert.equal(board.report().waiting, 1);
    const [scored] = feed([bar('A', OPEN + 5, 100.5)]);
    assert.deepEqual(scored, {
      symbol: 'A',
      asOf: '2020-01-02T14:31:00.000Z',
      predictedReturn: 0.002,
      realisedReturn: Math.log(1.005),
      realisedClose: 100.5,
      direction: 'hit',
      covered: true,
    });
  });

  test('counts skill, direction and coverage as by hand', () => {
    const { board, feed, note } = setUp();
    const [up, down, still] = [Math.log(1.01), Math.log(0.97), 0];
    for (const [symbol, predicted, close] of [
      ['A', 0.02, 101],
      ['B', 0.01, 97],
      ['C', 0.004, 100],
    ] as const) {
      feed([bar(symbol, OPEN, 100)]);
      note(forecastOf(symbol, OPEN + 1, 100, predicted, 0.015));
      feed(series(symbol, [100, 100, 100, 100, close], OPEN + 1));
    }
    const { overall, symbols, waiting, unscored, session } = board.report();
    const mse = ((up - 0.02) ** 2 + (down - 0.01) ** 2 + (still - 0.004) ** 2) / 3;
    const persistence = (up ** 2 + down ** 2 + still ** 2) / 3;
    near(overall.total.skill, 1 - mse / persistence);
    near(overall.total.rmse, Math.sqrt(mse));
    near(overall.total.persistenceRmse, Math.sqrt(persistence));
    assert.equal(overall.total.forecasts, 3);
    assert.equal(overall.total.directionalAccuracy, 1 / 2, 'C did not move: A hit, B missed');
    assert.equal(overall.total.coverage, 2 / 3, 'B fell out of its interval');
    assert.deepEqual(overall.session, overall.total);
    assert.deepEqual([waiting, unscored, session], [0, 0, '2020-01-02']);
    assert.deepEqual(
      symbols.map((it) => [it.symbol, it.last?.direction, it.total.forecasts]),
      [
        ['A', 'hit', 1],
        ['B', 'miss', 1],
        ['C', 'flat', 1],
      ],
    );
    near(symbols[0].total.skill, 1 - (up - 0.02) ** 2 / up ** 2);
    assert.equal(symbols[2].total.skill, null, 'nothing moved: no skill to speak of');
  });

  test('a minute without a trade keeps the price before it, once a later bar tells', () => {
    const { feed, note } = setUp(3);
    feed([bar('A', OPEN, 100)]);
    note(forecastOf('A', OPEN + 1, 100, 0.001));
    assert.deepEqual(feed([bar('A', OPEN + 3, 102)]), []);
    const [scored] = feed([bar('A', OPEN + 6, 110)]);
    assert.equal(scored.realisedClose, 102);
  });

  test('a gap leaves the forecast unscored', () => {
    const { board, feed, note } = setUp(3);
    feed([bar('A', OPEN, 100)]);
    note(forecastOf('A', OPEN + 1, 100, 0.001));
    assert.deepEqual(feed([bar('A', OPEN + 5, 110)]), [], 'four quiet minutes are more than three');
    assert.deepEqual([board.report().waiting, board.report().unscored], [0, 1]);
  });

  test('a horizon beyond the close is never scored', () => {
    const { board, feed, note } = setUp();
    feed(series('A', [100, 100], CLOSE - 6));
    note(forecastOf('A', CLOSE - 5, 100, 0.001));
    note(forecastOf('A', CLOSE - 4, 100, 0.001));
    assert.deepEqual([board.report().waiting, board.report().unscored], [1, 1]);
    const scored = feed(series('A', [100, 100, 100, 101], CLOSE - 4));
    assert.deepEqual(
      scored.map((it) => it.asOf),
      ['2020-01-02T20:55:00.000Z'],
    );
  });

  test('a forecast that comes after its own outcome is scored at once', () => {
    const { feed, note } = setUp();
    feed(series('A', [100, 1, 2, 3, 4, 105, 6, 7]));
    assert.deepEqual(
      note(forecastOf('A', OPEN + 1, 100, 0.001)).map((it) => it.realisedClose),
      [105],
    );
  });

  test('the same forecast twice counts once, and one that comes after a newer one counts all the same', () => {
    const { board, feed, note } = setUp();
    feed(series('A', [100, 100]));
    note(forecastOf('A', OPEN + 2, 100, 0.001));
    note(forecastOf('A', OPEN + 2, 100, 0.001));
    note(forecastOf('A', OPEN + 1, 100, 0.001));
    note(forecastOf('A', OPEN + 1, 100, 0.001), forecastOf('A', OPEN + 2, 100, 0.001));
    feed(series('A', [1, 2, 3, 4, 5, 6, 7], OPEN + 2));
    assert.equal(board.report().overall.total.forecasts, 2);
  });

  test('the session starts anew each day, the total goes on', () => {
    const { board, feed, note } = setUp();
    for (const [open, close] of [
      [OPEN, 101],
      [OPEN + 1440, 99],
    ]) {
      feed([bar('A', open, 100)]);
      note(forecastOf('A', open + 1, 100, 0.01));
      feed(series('A', [100, 100, 100, 100, close], open + 1));
    }
    const { session, overall, symbols } = board.report();
    assert.equal(session, '2020-01-03');
    assert.deepEqual([overall.session.forecasts, overall.total.forecasts], [1, 2]);
    assert.deepEqual([overall.session.directionalAccuracy, overall.total.directionalAccuracy], [0, 0.5]);
    assert.deepEqual([symbols[0].session.forecasts, symbols[0].total.forecasts], [1, 2]);
  });

  test('a symbol that was not scored today shows nothing for today', () => {
    const { board, feed, note } = setUp();
    for (const [symbol, open] of [
      ['A', OPEN],
      ['B', NEXT_OPEN],
    ] as const) {
      feed([bar(symbol, open, 100)]);
      note(forecastOf(symbol, open + 1, 100, 0.01));
      feed(series(symbol, [100, 100, 100, 100, 101], open + 1));
    }
    const [a, b] = board.report().symbols;
    assert.deepEqual([a.session.forecasts, a.total.forecasts, b.session.forecasts], [0, 1, 1]);
  });

  test('bars that no longer reach back leave the forecast unscored, not wrongly scored', () => {
    const { board, feed, note } = setUp(3);
    feed(
      series(
        'A',
        Array.from({ length: 390 }, (_, i) => 100 + i),
      ),
    );
    feed(series('A', new Array(20).fill(100), NEXT_OPEN));
    assert.deepEqual(note(forecastOf('A', OPEN + 1, 100, 0.01)), []);
    assert.equal(board.report().unscored, 1);
  });

  test('forecasts whose bars never come do not pile up', () => {
    const { board, note } = setUp();
    for (let m = 1; m <= 300; m++) note(forecastOf('A', OPEN + m, 100, 0.01));
    assert.deepEqual([board.report().waiting, board.report().unscored], [64, 236]);
  });

  test('what is no forecast of a price is left out', () => {
    const { board, feed, note } = setUp();
    feed(series('A', [100, 100]));
    const good = forecastOf('A', OPEN + 1, 100, 0.01);
    const { interval } = good;
    for (const bad of [
      { ...good, asOf: 'soon' },
      { ...good, lastClose: -1 },
      { ...good, predictedReturn: Number.NaN },
      { ...good, interval: { ...interval, low: 0 } },
      { ...good, interval: { ...interval, high: Number.POSITIVE_INFINITY } },
    ])
      note(bad);
    assert.deepEqual([board.report().waiting, board.report().unscored], [0, 0]);
  });

  test('what is taken again from its JSON gives what it gave, volumes that are missing among it', () => {
    const [{ scores }, again] = [setUp(), setUp()];
    const written: string[] = [];
    scores.onTaken = (taken) => written.push(JSON.stringify(taken));
    for (let m = 0; m < 60; m++) {
      const bars = Array.from({ length: 30 }, (_, s) => {
        const made = bar(
          `S${s}`,
          OPEN + m,
          100 + ((m * 31 + s * 7) % 10),
          (m + s) % 3 === 0 ? Number.NaN : 100 + s + m,
        );
        return { ...made, high: made.close + ((s + m) % 4) / 10 };
      });
      scores.takeBars(bars);
      scores.takeForecasts(bars.map((it) => forecastOf(it.symbol, OPEN + m + 1, it.close, 0.001)));
    }
    for (const line of written) again.scores.takeAgain(JSON.parse(line));
    const [one, other] = [scores, again.scores].map((it) => JSON.stringify(it.snapshot()));
    assert.equal(other, one);
    const drift = scores.of(MODEL).drift();
    assert.ok(drift.samples >= 2);
    for (const monitor of drift.monitors.slice(3)) assert.ok(monitor.value! > 0 && monitor.value! < 1, monitor.name);
  });

  test('the scaled skill divides each error by the width of the interval: no symbol drowns the others', () => {
    const { board, feed, note } = setUp();
    // A moves by whole percents and is forecast badly, B by hundredths of one and is forecast well.
    const made = [
      ['A', 101, 0, 0.02],
      ['B', 100.01, 0.0001, 0.0002],
    ] as const;
    for (const [symbol, close, predicted, halfWidth] of made) {
      feed([bar(symbol, OPEN, 100)]);
      note(forecastOf(symbol, OPEN + 1, 100, predicted, halfWidth));
      feed(series(symbol, [100, 100, 100, 100, close], OPEN + 1));
    }
    const came = made.map(([, close]) => Math.log(close / 100));
    const scaled = (value: number, i: number) => (value / (2 * made[i][3])) ** 2;
    const errors = came.map((it, i) => scaled(it - made[i][2], i));
    const persistence = came.map(scaled);
    const { skill, skillScaled } = board.overall().total;
    near(skillScaled, 1 - (errors[0] + errors[1]) / (persistence[0] + persistence[1]));
    assert.ok(skill! < 0.001 && skillScaled! > 0.4, `${skill} and ${skillScaled}`);
  });

  test('every interleaving of the same bars and forecasts, whole or in pieces, gives the same scores to the last bit', () => {
    const random = new Random(5);
    const symbols = ['A', 'B', 'C', 'D'];
    const minutes = Array.from({ length: 200 }, (_, m) => OPEN + m);
    const closes = new Map<string, number[]>();
    for (const symbol of symbols) {
      let close = 100;
      closes.set(
        symbol,
        minutes.map(() => (close *= Math.exp(0.001 * random.normal()))),
      );
    }
    const traded = (symbol: string, m: number) => symbol !== 'D' || m % 3 !== 1;
    const barsOf = (m: number) =>
      symbols.filter((it) => traded(it, m)).map((it) => bar(it, OPEN + m, closes.get(it)![m]));
    const forecastsOf = (m: number) =>
      symbols
        .filter((it) => traded(it, m))
        .map((it) => forecastOf(it, OPEN + m + 1, closes.get(it)![m], 0.0005 * random.normal(), 0.002));
    const bars = minutes.map((_, m) => barsOf(m));
    const forecasts = minutes.map((_, m) => forecastsOf(m));
    let scored = 0;
    const run = (order: (take: { bars(m: number): void; forecasts(m: number): void }) => void) => {
      const { scores, board } = setUp(3);
      order({
        bars: (m) => scores.takeBars(bars[m] ?? []),
        forecasts: (m) => scores.takeForecasts(forecasts[m] ?? []),
      });
      scored = board.report().overall.total.forecasts;
      return createHash('sha256')
        .update(JSON.stringify([board.report(), scores.snapshot()]))
        .digest('hex');
    };
    const plain = run((take) => {
      for (let m = 0; m < 200; m++) {
        take.bars(m);
        take.forecasts(m);
      }
    });
    assert.ok(scored > 600, `${scored} scored`);
    assert.equal(
      run((take) => {
        // Forecasts come four minutes late, some of them out of order and some twice.
        for (let m = 0; m < 204; m++) {
          take.bars(m);
          const late = m - 4;
          take.forecasts(late % 2 === 0 ? late + 1 : late - 1);
          if (late % 5 === 0) take.forecasts(late - 3);
        }
      }),
      plain,
    );
    assert.equal(
      run((take) => {
        // Bars run an hour and a half ahead, then forecasts run ahead for as long as one may wait.
        for (let m = 0; m < 290; m++) {
          take.bars(m);
          take.forecasts(m - 90);
        }
      }),
      plain,
    );
    assert.equal(
      run((take) => {
        for (let m = 0; m < 250; m++) {
          take.forecasts(m);
          take.bars(m - 50);
        }
      }),
      plain,
    );
    assert.equal(
      run((take) => {
        // Bars come again and again, one by one and in the other order of symbols.
        for (let m = 0; m < 200; m++) {
          take.forecasts(m - 1);
          for (let i = 0; i < 2; i++) take.bars(m);
          take.bars(m - 1);
          take.forecasts(m);
        }
      }),
      plain,
    );
  });
});
