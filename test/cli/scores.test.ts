/** The commands that judge: evaluate's parts, walk-forward, backtest, audit and report, as a user runs them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type EpochMs, MS_PER_MINUTE } from '../../src/base/index.ts';
import type { BacktestResult, ModelEvaluation, WalkForwardResult } from '../../src/evaluate/index.ts';
import { type Exchange, startExchange } from '../../src/sources/index.ts';
import { answer, refused, run, start, temporaryFolder } from './support.ts';

const SYMBOLS = ['SPY', 'AAPL', 'AMZN', 'CAT', 'DIS', 'F', 'GE', 'HD', 'IBM', 'JNJ', 'KO', 'XOM'];

describe('what a model is worth, from the command line', () => {
  const folder = temporaryFolder();
  const at = folder.path;
  let exchange: Exchange;
  before(async () => {
    exchange = await startExchange({
      port: 0,
      seed: 3,
      symbols: SYMBOLS,
      now: Date.parse('2025-03-14T20:30:00Z') as EpochMs,
    });
    const from = ['--from', '2025-03-07', '--yahoo-url', exchange.url];
    await answer(['ingest', '--source', 'yahoo', '--symbols', SYMBOLS.join(), ...from], at);
    await answer(['train', '--to', '2025-03-12', '--name', 'mine', '--epochs', '2', '--workers', '1'], at);
  });
  after(async () => {
    await exchange.close();
    folder.remove();
  });

  it('evaluate breaks the scores down and sets the intervals beside a random walk’s', async () => {
    const found = await answer<ModelEvaluation>(['evaluate', 'mine'], at);
    const { bySymbol, byHour, byLiquidity, byVolatility } = found.breakdowns;
    assert.deepEqual(
      bySymbol.map(({ part }) => part),
      [...SYMBOLS].sort(),
    );
    assert.deepEqual(
      byHour.map(({ part }) => part).sort(),
      byHour.map(({ part }) => part),
    );
    assert.deepEqual([byLiquidity.length, byVolatility.length], [5, 5]);
    for (const parts of [bySymbol, byHour, byLiquidity, byVolatility]) {
      assert.equal(
        parts.reduce((sum, { windows }) => sum + windows, 0),
        found.windows,
      );
    }
    assert.ok(found.zeroDrift.interval80.coverage! > 0.5);
    assert.ok(found.model.informationCoefficientByMinute!.rank.tValue! > 2);
    assert.equal(typeof found.modelOverRidge!.skillScaled, 'number');
    assert.equal(found.unseenSymbols, 0);
  });

  it('backtest trades on what replay forecasts, and pays', async () => {
    const days = ['--from', '2025-03-13', '--to', '2025-03-14'];
    const found = await answer<BacktestResult & { forecasts: number }>(['backtest', 'mine', ...days, '--top', '3'], at);
    const { forecasts } = await answer<{ forecasts: { asOf: string }[] }>(['replay', 'mine', ...days], at);
    assert.equal(found.forecasts, forecasts.length);
    assert.equal(found.sessions, 2);
    assert.ok(found.fills > 100 && found.costs.spread > 0 && found.costs.fees > 0);
    assert.ok(Math.abs(found.grossReturn - found.netReturn - found.costs.spread - found.costs.fees) < 1e-9);
    assert.equal(found.equity.at(-1)!.net - 1, found.netReturn);
    assert.ok(found.grossReturn > 0.01, `the planted pattern earns before costs: ${found.grossReturn}`);
    assert.ok(found.equity.every(({ time }) => Date.parse(time) % MS_PER_MINUTE === 0));
    const free = await answer<BacktestResult>(
      ['backtest', 'mine', ...days, '--top', '3', '--spread-bps', '0', '--fee-bps', '0'],
      at,
    );
    assert.ok(free.netReturn > found.netReturn && free.netReturn === free.grossReturn);
    await refused(['backtest', 'mine'], at, 'BARCAST_E_USAGE', /--from/);
    await refused(['backtest', 'mine', ...days, '--fee-bps', '-1'], at, 'BARCAST_E_USAGE');
  });

  it('audit passes the model and its recipe, and names what the reference’s pipeline leaks', async () => {
    const found = await answer<{ passed: boolean; checks: { check: string }[] }>(['audit', 'mine'], at);
    assert.equal(found.passed, true);
    assert.ok(found.checks.some(({ check }) => check === 'forecasts'));
    const { status, stdout } = await run(['audit', '--recipe', 'returns', '--cuts', '2'], at);
    assert.equal(status, 0);
    assert.match(stdout, /no leakage found/);
    await refused(['audit', '--recipe', 'cs205', '--cuts', '2'], at, 'BARCAST_E_LEAKAGE', /split/);
    await refused(['audit'], at, 'BARCAST_E_USAGE');
    await refused(['audit', 'mine', '--recipe', 'returns'], at, 'BARCAST_E_USAGE');
  });

  it('walk-forward that was interrupted goes on to the same numbers', async () => {
    const args = ['walk-forward', '--train-sessions', '3', '--epochs', '2', '--workers', '1'];
    const stopped = start(args, at);
    await stopped.printed(/fold 2 of 3/, 'stderr');
    stopped.child.kill('SIGINT');
    const { status, stderr } = await stopped.ended;
    assert.equal(status, 1, stderr);
    assert.match(stderr, /BARCAST_E_INTERRUPTED/);
    const resumed = await run([...args, '--json'], at);
    assert.equal(resumed.status, 0, resumed.stderr);
    assert.match(resumed.stderr, /fold-1 is trained already/);
    const found = JSON.parse(resumed.stdout) as WalkForwardResult;
    assert.deepEqual(found, await answer([...args, '--name', 'afresh'], at));
    assert.equal(found.folds.length, 3);
    for (const fold of found.folds) assert.ok(fold.trainFrom < fold.trainTo && fold.trainTo < fold.testFrom);
    assert.equal(
      found.pooled.windows,
      found.folds.reduce((sum, { model }) => sum + model.windows, 0),
    );
    const { models } = await answer<{ models: { name: string }[] }>(['models', 'list'], at);
    assert.deepEqual(
      models.map(({ name }) => name),
      ['mine'],
    );
    await refused(['walk-forward', '--train-sessions', '30'], at, 'BARCAST_E_TOO_FEW_WINDOWS');
    await refused(['walk-forward', '--purge-minutes', '5000'], at, 'BARCAST_E_USAGE');
  });

  it('a table of closes is one question and a model another', async () => {
    await refused(['evaluate', 'mine', '--closes', 'a.csv'], at, 'BARCAST_E_USAGE', /two questions/);
    await refused(['evaluate', 'mine', '--horizon', '3'], at, 'BARCAST_E_USAGE', /--horizon goes with --closes/);
    await refused(['evaluate', '--closes', 'a.csv', '--from', '2025-03-13'], at, 'BARCAST_E_USAGE', /--from/);
    await refused(['evaluate', '--closes', 'nowhere.csv'], at, 'BARCAST_E_FILE_MISSING');
  });

  it('report writes a page and Markdown with its plots', async () => {
    const found = await answer<{ files: string[]; plots: number; verdict: string }>(
      ['report', 'mine', '--out', 'out.html', '--top', '3'],
      at,
    );
    assert.deepEqual(found.files, ['out.html', 'out.md']);
    const html = readFileSync(join(at, 'out.html'), 'utf8');
    assert.match(html, new RegExp(found.verdict, 'i'));
    assert.match(html, /Capital with 3 symbols long/);
    const markdown = readFileSync(join(at, 'out.md'), 'utf8');
    const named = [...markdown.matchAll(/\]\((out-plots\/[^)]+\.svg)\)/g)].map(([, file]) => file);
    assert.equal(named.length, found.plots);
    for (const file of named) assert.match(readFileSync(join(at, file), 'utf8'), /^<svg /);
    await refused(['report', 'mine', '--out', 'out.pdf'], at, 'BARCAST_E_USAGE', /html/);
  });
});
