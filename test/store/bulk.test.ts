import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MarketBars } from '../../src/bars/index.ts';
import { examineStore, fillStore, openReader } from '../../src/store/index.ts';
import { barLines, flat, ingest, OPEN, raw, segmentFiles, temporaryFolder } from './support.ts';

/** Bars of symbols, each with its closes from OPEN on, NaN for null. */
function columnsOf(market: Record<string, readonly number[]>): MarketBars {
  const closes = Object.values(market);
  const offsets = Int32Array.of(0, ...closes.map((_, s) => closes.slice(0, s + 1).flat().length));
  const close = Float64Array.from(closes.flat());
  const minute = Int32Array.from(closes.flatMap((own) => own.map((_, i) => OPEN + i)));
  return {
    symbols: Object.keys(market),
    offsets,
    minute,
    open: close,
    high: close,
    low: close,
    close,
    volume: close.map(() => 100),
  };
}

test('parts become segments of one commit, which reads back as it was', async (t) => {
  const data = temporaryFolder(t);
  const parts = [columnsOf({ A: [1, Number.NaN, 3], "B'": [4] }), columnsOf({ C: [5, 6] })];
  assert.equal(await fillStore(data, parts), 6);
  const reader = await openReader(data);
  t.after(() => reader.close());
  assert.deepEqual(barLines(await reader.read()), [
    'A 0 1 1 1 1 100',
    'A 1 NaN NaN NaN NaN 100',
    'A 2 3 3 3 3 100',
    "B' 0 4 4 4 4 100",
    'C 0 5 5 5 5 100',
    'C 1 6 6 6 6 100',
  ]);
  const { present, named } = segmentFiles(data);
  assert.deepEqual(present, named);
  assert.equal((await examineStore(data)).bars, 6);
});

test('a store filled so goes on as any other', async (t) => {
  const data = temporaryFolder(t);
  await fillStore(data, [columnsOf({ A: [1, 2] })]);
  const counts = await ingest(data, raw('A', [flat(1, 2), flat(2, 3)]));
  assert.deepEqual([counts.rowsStored, counts.alreadyStored], [1, 1]);
});

test('parts out of order and a store that holds bars are refused, and nothing is left', async (t) => {
  const data = temporaryFolder(t);
  const refused = { code: 'BARCAST_E_USAGE' };
  await assert.rejects(fillStore(data, [columnsOf({ B: [1] }), columnsOf({ A: [1] })]), refused);
  const wrong = columnsOf({ A: [1, 2] });
  wrong.minute.reverse();
  await assert.rejects(fillStore(data, [wrong]), refused);
  await fillStore(data, [columnsOf({ A: [1] })]);
  await assert.rejects(fillStore(data, [columnsOf({ B: [1] })]), refused);
  const { present, named } = segmentFiles(data);
  assert.deepEqual(present, named);
});
