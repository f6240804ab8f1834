/** What is known of the trades in bars: kept beside them, by the same commit and the same rule. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { epochMinute, Random } from '../../src/base/index.ts';
import { examineStore, openReader, type RawBars, type ReadQuery } from '../../src/store/index.ts';
import { flat, ingest, OPEN, type Row, raw, segmentFiles, temporaryFolder } from './support.ts';

const withTrades = (symbol: string, rows: readonly Row[], trades: readonly (readonly [number, number])[]): RawBars => ({
  ...raw(symbol, rows),
  tradeCount: Float64Array.from(trades, ([count]) => count),
  vwap: Float64Array.from(trades, ([, vwap]) => vwap),
});

async function tradeLines(data: string, query?: ReadQuery): Promise<string[]> {
  const reader = await openReader(data);
  try {
    const { symbols, offsets, minute, tradeCount, vwap } = await reader.trades(query);
    return symbols.flatMap((symbol, s) =>
      Array.from(minute.subarray(offsets[s], offsets[s + 1]), (m, i) => {
        const row = offsets[s]! + i;
        return `${symbol} ${m - OPEN} ${tradeCount[row]} ${vwap[row]}`;
      }),
    );
  } finally {
    reader.close();
  }
}

test('they are stored once, corrected by what comes later, and left alone by what knows nothing of them', async (t) => {
  const data = temporaryFolder(t);
  const first = withTrades(
    'A',
    [flat(0, 1), flat(1, 1), flat(2, 1)],
    [
      [3, 1.5],
      [4, Number.NaN],
      [Number.NaN, 2],
    ],
  );
  await ingest(data, first, raw('B', [flat(0, 1)]));
  const known = ['A 0 3 1.5', 'A 1 4 NaN'];
  assert.deepEqual(await tradeLines(data), known);
  const { named } = segmentFiles(data);
  await ingest(data, first);
  assert.deepEqual(segmentFiles(data).named, named, 'the same again writes nothing');
  // Another source corrects the bar and says nothing of its trades.
  const counts = await ingest(data, raw('A', [flat(0, 2)]));
  assert.equal(counts.revisions, 1);
  assert.deepEqual(await tradeLines(data), known);
  // The same bar with other trades; of two rows in one input the later one counts, and off-minute ones do not.
  await ingest(
    data,
    withTrades(
      'A',
      [flat(0, 2), flat(0, 2), flat(1.5, 9)],
      [
        [7, 7],
        [8, 8],
        [9, 9],
      ],
    ),
  );
  assert.deepEqual(await tradeLines(data), ['A 0 8 8', 'A 1 4 NaN']);
  await ingest(data, withTrades('C', [flat(0, 2)], [[1, 2]]));
  assert.deepEqual(await tradeLines(data, { symbols: ['C', 'B'] }), ['C 0 1 2']);
  assert.deepEqual(await tradeLines(data, { from: epochMinute(OPEN + 1), to: epochMinute(OPEN + 2) }), ['A 1 4 NaN']);
  assert.deepEqual((await examineStore(data)).trades, { bars: 3, symbols: 2 });
});

test('random commits against a map', async (t) => {
  const data = temporaryFolder(t);
  const random = new Random(1, 1);
  const expected = new Map<string, string>();
  for (let commit = 0; commit < 12; commit++) {
    const rows = Array.from({ length: 30 }, () => flat(random.below(60), 1 + random.below(3)));
    const trades = rows.map(() => [random.below(4), random.below(3)] as const);
    const symbol = `S${random.below(3)}`;
    for (const [i, [minute]] of rows.entries()) {
      expected.set(`${symbol} ${minute}`, `${symbol} ${minute} ${trades[i]![0]} ${trades[i]![1]}`);
    }
    await ingest(data, withTrades(symbol, rows, trades));
  }
  assert.deepEqual((await tradeLines(data)).sort(), [...expected.values()].sort());
  const { present, named } = segmentFiles(data);
  assert.ok(named.filter((file) => file.startsWith('trades')).length < 8, 'segments are merged');
  assert.ok(named.every((file) => present.includes(file)));
});

test('a store that was made before there were any opens as before', async (t) => {
  const data = temporaryFolder(t);
  await ingest(data, raw('A', [flat(0, 1)]));
  const path = join(data, 'manifest.json');
  const { trades, ...older } = JSON.parse(readFileSync(path, 'utf8'));
  assert.deepEqual(trades, []);
  writeFileSync(path, JSON.stringify(older));
  assert.deepEqual(await tradeLines(data), []);
  assert.deepEqual((await examineStore(data)).trades, { bars: 0, symbols: 0 });
  await ingest(data, withTrades('A', [flat(1, 1)], [[5, 1]]));
  assert.deepEqual(await tradeLines(data), ['A 1 5 1']);
});
