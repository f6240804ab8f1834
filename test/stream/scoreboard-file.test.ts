import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Random } from '../../src/base/index.ts';
import { type KeepOptions, keepScoreboard, LiveState } from '../../src/stream/index.ts';
import { bar, forecastOf, MODEL, NEXT_OPEN, OPEN, series } from './fixtures.ts';
import { madeUpSession, takeBatch } from './made-up-session.ts';

const CHILD = fileURLToPath(new URL('./scores-child.ts', import.meta.url));

function setUp(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'barcast-scores-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'scores.json');
  const start = (options: KeepOptions = {}) => {
    const state = new LiveState({ longestQuietRun: 3 });
    state.setModel(MODEL);
    const told: string[] = [];
    return { state, told, kept: keepScoreboard(state, path, (line) => told.push(line), options) };
  };
  return { folder, path, start };
}

/** Everything the scores tell, of every model. */
const everything = (state: LiveState) => state.scores.list().map((board) => board.report());

describe('the scores in a file', () => {
  test('survive an orderly restart, with the forecasts that were waiting', (t) => {
    const { folder, start } = setUp(t);
    const before = start();
    before.state.acceptBars([bar('A', OPEN, 100)]);
    before.state.acceptForecasts([forecastOf('A', OPEN + 1, 100, 0.01)]);
    before.state.acceptBars(series('A', [100, 100, 100, 100, 101], OPEN + 1));
    before.state.acceptForecasts([forecastOf('A', OPEN + 6, 101, 0.01)]);
    before.kept.close();
    assert.equal(before.state.scoreboard!.report().overall.total.forecasts, 1);
    const after = start();
    assert.deepEqual(everything(after.state), everything(before.state));
    after.state.acceptForecasts([forecastOf('A', OPEN + 6, 101, 0.01)]);
    after.state.acceptBars(series('A', [1, 2, 3, 4, 102], OPEN + 6));
    const { overall, symbols, waiting } = after.state.scoreboard!.report();
    assert.deepEqual([overall.total.forecasts, symbols[0].last?.realisedClose, waiting], [2, 102, 0]);
    after.kept.close();
    assert.deepEqual(readdirSync(folder).length, 2, 'a snapshot and its journal');
  });

  test('nothing is scored across time that was missed, unless every bar comes', (t) => {
    for (const everyBarComes of [false, true]) {
      const { start } = setUp(t);
      const before = start();
      before.state.acceptBars(series('A', [100, 100]));
      before.state.acceptForecasts([forecastOf('A', OPEN + 2, 100, 0.01)]);
      before.kept.close();
      const after = start({ everyBarComes });
      // Without the minutes 2 to 4: three quiet ones, or three that nobody saw.
      after.state.acceptBars(series('A', [7, 8], OPEN + 5));
      const { overall, unscored } = after.state.scoreboard!.report();
      assert.deepEqual([overall.total.forecasts, unscored], everyBarComes ? [1, 0] : [0, 1]);
      after.kept.close();
    }
  });

  test('of several models stay apart', (t) => {
    const { start } = setUp(t);
    const before = start();
    for (const batch of madeUpSession(40)) takeBatch(before.state, batch);
    assert.deepEqual(
      before.state.scores.list().map(({ model }) => model.name),
      ['shy', 'toy'],
    );
    before.kept.close();
    const after = start();
    assert.deepEqual(everything(after.state), everything(before.state));
    after.kept.close();
  });

  test('what was cut off at the end is left out, what is damaged is told', (t) => {
    const { path, folder, start } = setUp(t);
    const before = start();
    for (const batch of madeUpSession(30)) takeBatch(before.state, batch);
    // Not closed: as after a kill.
    const journal = join(folder, readdirSync(folder).find((name) => name.includes('journal'))!);
    appendFileSync(journal, '["bars",["S1",2629');
    const after = start({ everyBarComes: true });
    assert.deepEqual([everything(after.state), after.told], [everything(before.state), []]);
    after.kept.close();

    start().kept.close();
    const text = readFileSync(path, 'utf8');
    appendFileSync(join(folder, readdirSync(folder).find((name) => name.includes('journal'))!), '["what"]\n');
    const told = start();
    assert.match(told.told[0], /is damaged from line 1 of 1 on/);
    told.kept.close();

    for (const damaged of ['{"version":2', 'null', '7', '{}', '{"generation":1,"scores":{"version":3}}']) {
      writeFileSync(path, damaged);
      assert.throws(() => start(), { code: 'BARCAST_E_CHECKPOINT' });
    }
    writeFileSync(path, text.replace('"covered":', '"coverd":'));
    assert.throws(() => start(), { code: 'BARCAST_E_CHECKPOINT' });
    writeFileSync(path, '{"version":1,"model":"toy"}');
    const older = start();
    assert.match(older.told[0], /earlier version/);
    older.kept.close();
  });

  test('a folder that cannot be written to is told, and serving goes on', (t) => {
    const { folder, start } = setUp(t);
    const live = start();
    rmSync(folder, { recursive: true });
    live.kept.close();
    assert.match(live.told[0], /the scores could not be saved/);
  });

  test('grow stale journals into snapshots and sweep them', (t) => {
    const { folder, start } = setUp(t);
    const live = start({ mostJournalBytes: 2000 });
    for (const batch of madeUpSession(20)) takeBatch(live.state, batch);
    const [snapshot, journal, ...rest] = readdirSync(folder).sort();
    assert.deepEqual([snapshot, rest], ['scores.json', []]);
    assert.ok(Number(journal.split('-')[1]) > 10, journal);
    live.kept.close();
  });

  test('lose nothing to kill -9, whenever it comes', async (t) => {
    const { path } = setUp(t);
    const undisturbed = new LiveState({ longestQuietRun: 3 });
    const batches = madeUpSession();
    for (const batch of batches) takeBatch(undisturbed, batch);
    const random = new Random(17);
    let had = -1;
    let kills = 0;
    while (had < batches.length - 1) {
      // It goes on a little before what it said last, as a reader of streams does.
      const child = spawn(process.execPath, [CHILD, path, String(Math.max(0, had - 5))]);
      let text = '';
      child.stderr.on('data', (part) => assert.fail(String(part)));
      const killAfter = kills < 6 ? 20 + Math.floor(100 * random.uniform()) : Number.POSITIVE_INFINITY;
      for await (const part of child.stdout) {
        text += part;
        const lines = text.split('\n');
        if (lines.length <= killAfter && !text.includes('done')) continue;
        child.kill('SIGKILL');
        break;
      }
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      kills++;
      const said = text
        .split('\n')
        .slice(0, -1)
        .filter((line) => line !== 'done');
      had = Math.max(had, Number(said.at(-1) ?? -1));
    }
    assert.ok(kills >= 4, `${kills} kills`);
    const restored = new LiveState({ longestQuietRun: 3 });
    keepScoreboard(restored, path, assert.fail, { everyBarComes: true }).close();
    assert.deepEqual(everything(restored), everything(undisturbed));
    assert.ok(everything(restored)[0].overall.total.forecasts > 3000);
  });
});

test('a new session begins anew after a restart too', (t) => {
  const { start } = setUp(t);
  const before = start();
  const day = (state: LiveState, open: number) => {
    state.acceptBars([bar('A', open, 100)]);
    state.acceptForecasts([forecastOf('A', open + 1, 100, 0.01)]);
    state.acceptBars(series('A', [100, 100, 100, 100, 101], open + 1));
  };
  day(before.state, OPEN);
  before.kept.close();
  const after = start();
  day(after.state, NEXT_OPEN);
  const { session, overall } = after.state.scoreboard!.report();
  assert.deepEqual([session, overall.session.forecasts, overall.total.forecasts], ['2020-01-03', 1, 2]);
  after.kept.close();
});
