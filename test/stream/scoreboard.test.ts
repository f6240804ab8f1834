import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { keepScoreboard, LiveState, RecentBars, Scoreboard } from '../../src/stream/index.ts';
import { bar, CLOSE, forecastOf, MODEL, NEXT_OPEN, OPEN, series } from './fixtures.ts';

function setUp(longestQuietRun = 3, capacity = 390) {
  const bars = new RecentBars(capacity);
  const board = new Scoreboard({ model: MODEL, bars, longestQuietRun });
  const feed = (items: readonly ReturnType<typeof bar>[]) =>
    items.flatMap((it) => {
      bars.add(it);
      return board.settle(it.symbol);
    });
  return { board, feed };
}

const near = (actual: number | null, expected: number) =>
  assert.ok(Math.abs(actual! - expected) < 1e-12, `${actual} is not ${expected}`);

describe('the scoreboard', () => {
  test('scores against the close of the bar that ends the horizon, no sooner', () => {
    const { board, feed } = setUp();
    feed([bar('A', OPEN, 100)]);
    board.add(forecastOf('A', OPEN + 1, 100, 0.002));
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
    const { board, feed } = setUp();
    const [up, down, still] = [Math.log(1.01), Math.log(0.97), 0];
    for (const [symbol, predicted, close] of [
      ['A', 0.02, 101],
      ['B', 0.01, 97],
      ['C', 0.004, 100],
    ] as const) {
      feed([bar(symbol, OPEN, 100)]);
      board.add(forecastOf(symbol, OPEN + 1, 100, predicted, 0.015));
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
    const { board, feed } = setUp(3);
    feed([bar('A', OPEN, 100)]);
    board.add(forecastOf('A', OPEN + 1, 100, 0.001));
    assert.deepEqual(feed([bar('A', OPEN + 3, 102)]), []);
    const [scored] = feed([bar('A', OPEN + 6, 110)]);
    assert.equal(scored.realisedClose, 102);
  });

  test('a gap leaves the forecast unscored', () => {
    const { board, feed } = setUp(3);
    feed([bar('A', OPEN, 100)]);
    board.add(forecastOf('A', OPEN + 1, 100, 0.001));
    assert.deepEqual(feed([bar('A', OPEN + 5, 110)]), [], 'four quiet minutes are more than three');
    assert.deepEqual([board.report().waiting, board.report().unscored], [0, 1]);
  });

  test('a horizon beyond the close is never scored', () => {
    const { board, feed } = setUp();
    feed(series('A', [100, 100], CLOSE - 6));
    board.add(forecastOf('A', CLOSE - 5, 100, 0.001));
    board.add(forecastOf('A', CLOSE - 4, 100, 0.001));
    assert.deepEqual([board.report().waiting, board.report().unscored], [1, 1]);
    const scored = feed(series('A', [100, 100, 100, 101], CLOSE - 4));
    assert.deepEqual(
      scored.map((it) => it.asOf),
      ['2020-01-02T20:55:00.000Z'],
    );
  });

  test('a forecast that comes after its own outcome is scored at once', () => {
    const { board, feed } = setUp();
    feed(series('A', [100, 1, 2, 3, 4, 105, 6, 7]));
    board.add(forecastOf('A', OPEN + 1, 100, 0.001));
    assert.deepEqual(
      board.settle('A').map((it) => it.realisedClose),
      [105],
    );
  });

  test('the same forecast twice, or an older one, counts once', () => {
    const { board, feed } = setUp();
    feed(series('A', [100, 100]));
    board.add(forecastOf('A', OPEN + 2, 100, 0.001));
    board.add(forecastOf('A', OPEN + 2, 100, 0.001));
    board.add(forecastOf('A', OPEN + 1, 100, 0.001));
    feed(series('A', [1, 2, 3, 4, 5, 6, 7], OPEN + 2));
    assert.equal(board.report().overall.total.forecasts, 1);
  });

  test('the session starts anew each day, the total goes on', () => {
    const { board, feed } = setUp();
    for (const [open, close] of [
      [OPEN, 101],
      [OPEN + 1440, 99],
    ]) {
      feed([bar('A', open, 100)]);
      board.add(forecastOf('A', open + 1, 100, 0.01));
      feed(series('A', [100, 100, 100, 100, close], open + 1));
    }
    const { session, overall, symbols } = board.report();
    assert.equal(session, '2020-01-03');
    assert.deepEqual([overall.session.forecasts, overall.total.forecasts], [1, 2]);
    assert.deepEqual([overall.session.directionalAccuracy, overall.total.directionalAccuracy], [0, 0.5]);
    assert.deepEqual([symbols[0].session.forecasts, symbols[0].total.forecasts], [1, 2]);
  });

  test('a symbol that was not scored today shows nothing for today', () => {
    const { board, feed } = setUp();
    for (const [symbol, open] of [
      ['A', OPEN],
      ['B', NEXT_OPEN],
    ] as const) {
      feed([bar(symbol, open, 100)]);
      board.add(forecastOf(symbol, open + 1, 100, 0.01));
      feed(series(symbol, [100, 100, 100, 100, 101], open + 1));
    }
    const [a, b] = board.report().symbols;
    assert.deepEqual([a.session.forecasts, a.total.forecasts, b.session.forecasts], [0, 1, 1]);
  });

  test('a ring too short for the horizon leaves the forecast unscored, not wrongly scored', () => {
    const { board, feed } = setUp(3, 3);
    feed([bar('A', OPEN, 100)]);
    board.add(forecastOf('A', OPEN + 1, 100, 0.01));
    assert.deepEqual(feed(series('A', [1, 2, 3, 4, 5], OPEN + 1)), []);
    assert.equal(board.report().unscored, 1);
  });
});

describe('a snapshot', () => {
  const first = setUp();
  first.feed(series('A', [100, 100]));
  first.board.add(forecastOf('A', OPEN + 1, 100, 0.01));
  first.feed(series('A', [100, 100, 100, 101], OPEN + 2));
  first.board.add(forecastOf('A', OPEN + 6, 101, 0.01));
  const json = JSON.stringify(first.board.snapshot());

  test('restores to the same report, and waiting forecasts are scored afterwards', () => {
    const second = setUp();
    assert.equal(second.board.restore(JSON.parse(json)), true);
    assert.deepEqual(second.board.report(), first.board.report());
    second.feed([bar('A', OPEN + 5, 101)]);
    const scored = second.feed(series('A', [1, 2, 3, 4, 102], OPEN + 6));
    assert.deepEqual(
      scored.map((it) => it.realisedClose),
      [102],
    );
    second.board.add(forecastOf('A', OPEN + 6, 101, 0.01));
    assert.equal(second.board.report().waiting, 0, 'a forecast from before the restart stays a repeat');
    assert.equal(first.board.report().waiting, 1, 'the snapshot shares nothing with its origin');
  });

  test('of another model is not taken up', () => {
    const board = new Scoreboard({
      model: { ...MODEL, weightsHash: 'other' },
      bars: new RecentBars(),
      longestQuietRun: 3,
    });
    assert.equal(board.restore(JSON.parse(json)), false);
    assert.equal(board.report().overall.total.forecasts, 0);
  });

  test('that is damaged is refused', () => {
    for (const damaged of [null, 7, {}, { version: 2 }, { ...JSON.parse(json), symbols: { A: { total: {} } } }]) {
      assert.throws(() => setUp().board.restore(damaged), { code: 'BARCAST_E_CHECKPOINT' });
    }
  });

  test('in a file survives a restart', (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'barcast-scores-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'scores.json');
    const start = (hash = MODEL.weightsHash) => {
      const state = new LiveState({ longestQuietRun: 3 });
      state.setModel({ ...MODEL, weightsHash: hash });
      const told: string[] = [];
      return { state, told, kept: keepScoreboard(state, path, (line) => told.push(line)) };
    };
    const before = start();
    before.state.acceptBars([bar('A', OPEN, 100)]);
    before.state.acceptForecasts([forecastOf('A', OPEN + 1, 100, 0.01)]);
    before.state.acceptBars(series('A', [100, 100, 100, 100, 101], OPEN + 1));
    before.kept.close();
    assert.equal(JSON.parse(readFileSync(path, 'utf8')).overall.total.forecasts, 1);

    const after = start();
    assert.deepEqual(after.state.scoreboard!.report(), before.state.scoreboard!.report());
    after.kept.close();
    const other = start('other');
    assert.match(other.told[0], /of another model/);
    assert.equal(other.state.scoreboard!.report().overall.total.forecasts, 0);
    writeFileSync(path, '{"version":1');
    assert.throws(() => start(), { code: 'BARCAST_E_CHECKPOINT' });
  });
});
