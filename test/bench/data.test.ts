/** `bench data` checks what it times, and answers what it promises. No time is asserted. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { barsOfNdjson, checkBars, checkTrades, checkWindows, ndjsonOf, randomTrades } from '../../bench/data-check.ts';
import { generatedMarket, sessionsFrom } from '../../bench/market.ts';
import { type Recipe, recipeOf } from '../../src/features/index.ts';
import { answer, temporaryFolder } from '../cli/support.ts';

const sessions = sessionsFrom('2024-03-04', 3);
const [market] = generatedMarket({ symbols: 4, sessions, sessionsAPart: 3 });

test('the generated market is the same whatever its parts', () => {
  const parts = [...generatedMarket({ symbols: 4, sessions, sessionsAPart: 1 })];
  const rows = (s: number) => parts.flatMap(({ offsets, close }) => [...close.subarray(offsets[s], offsets[s + 1])]);
  for (let s = 0; s < 4; s++) {
    assert.deepEqual(rows(s), [...market.close.subarray(market.offsets[s], market.offsets[s + 1])]);
  }
});

test('what is wrong is not timed', async () => {
  const refused = { code: 'BARCAST_E_INTERNAL' };
  checkBars(market, market);
  assert.throws(
    () => checkBars({ ...market, close: market.close.map((x, i) => (i === 700 ? x + 1 : x)) }, market),
    refused,
  );
  const recipe = recipeOf('returns');
  await checkWindows(market, recipe, [0, 3]);
  const other: Recipe = { ...recipe, horizonMinutes: 6 };
  const bent = { ...market, close: market.close.map((x, i) => (i === 300 ? Number.NaN : x)) };
  await assert.rejects(checkWindows(bent, recipe, [0]), refused);
  await checkWindows(market, other, [1]);
  const trades = randomTrades(3000, 20);
  checkTrades(trades);
  assert.equal(barsOfNdjson(ndjsonOf(trades)).trades, 3000);
  // Later than the lateness allows: the fast way leaves it out, the slow one does not.
  assert.throws(
    () => checkTrades([...trades, { ...trades[0], timeMs: trades[0].timeMs - 600_000, conditions: ['@'] }]),
    refused,
  );
});

test('bench data answers every figure', async (t) => {
  const { path: folder, remove } = temporaryFolder();
  t.after(remove);
  const file = join(folder, 'AAPL.csv');
  writeFileSync(
    file,
    'Datetime,Open,High,Low,Close,Volume\n2020-01-02T14:30:00Z,1,1,1,1,5\n2020-01-02T14:31:00Z,1,1,1,1,5\n',
  );
  const figures = await answer(
    ['bench', 'data', file, '--symbols', '4', '--sessions', '3', '--seconds', '0.01'],
    folder,
  );
  const { ingest, read, windows, ready, trades, ndjson } = figures as Record<string, Record<string, number>>;
  for (const figure of [
    figures.rowsPerSecond,
    figures.windowsPerSecond,
    read.rowsPerSecond,
    trades.tradesPerSecond,
    trades.withCorrectionsPerSecond,
    ndjson.tradesPerSecond,
  ])
    assert.ok(Number(figure) > 0);
  assert.equal(ingest.rows, 2);
  assert.equal((windows as unknown as unknown[]).length, 2);
  assert.ok(ready.windows > 2000);
});

test('bench pieces goes through every window once', async (t) => {
  const { path: folder, remove } = temporaryFolder();
  t.after(remove);
  const figures = await answer(['bench', 'pieces', '--symbols', '4', '--sessions', '6'], folder);
  assert.ok(Number(figures.trainingWindows) > 4000);
  assert.equal(Number(figures.trainingWindows) + Number(figures.validationWindows), figures.windows);
  assert.ok(Number(figures.peakMegabytes) > 0);
});

test('bench backfill: every bar is the exchange’s, and what was used of the limit', async () => {
  const folder = temporaryFolder();
  try {
    const ours = await answer<Record<string, number>>(
      ['bench', 'backfill', '--symbols', '4', '--limit', '200', '--latency', '10'],
      folder.path,
    );
    assert.deepEqual([ours.symbols, ours.limitPerSecond, ours.latencyMs], [4, 200, 10]);
    assert.ok(ours.bars! > 4 * 20 * 390 && ours.requests! >= 20 && ours.seconds! > 0);
    assert.ok(Math.abs(ours.shareOfPermitted! - (ours.requests! / 200 + 0.01) / ours.seconds!) < 1e-9);
  } finally {
    folder.remove();
  }
});
