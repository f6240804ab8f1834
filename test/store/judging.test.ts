import assert from 'node:assert/strict';
import { test } from 'node:test';
import { epochMs } from '../../src/base/index.ts';
import { contents, flat, ingest, LATER, OPEN, type Row, raw, temporaryFolder } from './support.ts';

const NONE = {
  symbols: 0,
  rowsRead: 0,
  rowsStored: 0,
  alreadyStored: 0,
  revisions: 0,
  duplicates: 0,
  conflicts: 0,
  nullBars: 0,
  zeroVolumeBars: 0,
  partialBars: 0,
  misalignedBars: 0,
  closingPrints: 0,
  outOfSessionBars: 0,
  invalidPriceBars: 0,
};
const NULL_BAR: Row = [7, Number.NaN, Number.NaN, Number.NaN, Number.NaN, Number.NaN];

test('every flaw against a count by hand', async (t) => {
  const data = temporaryFolder(t);
  const askedAt = epochMs((OPEN + 10) * 60_000 + 30_000);
  const counts = await ingest(
    data,
    raw(
      'AAPL',
      [
        flat(-1, 9), // before the open
        flat(0, 10),
        flat(1, 11, 0), // zero volume
        flat(2, 12, Number.NaN), // no volume
        flat(3.5, 99), // off the minute
        [4, 14, 13, 15, 14, 100], // high below low
        flat(5, 0), // not positive
        flat(6, 16),
        NULL_BAR, // also without volume
        flat(9, 19), // ends half a minute before it is asked for
        flat(10, 20), // has not ended
        flat(6, 16), // an equal repeat of minute 6
        flat(0, 10.5), // a repeat of minute 0 that differs
      ],
      askedAt,
    ),
    raw('BRK.B', [flat(390, 5), flat(391, 5)]), // 16:00 is the closing print, 16:01 is neither
  );
  assert.deepEqual(counts, {
    ...NONE,
    symbols: 2,
    rowsRead: 15,
    rowsStored: 11,
    duplicates: 2,
    conflicts: 1,
    nullBars: 1,
    zeroVolumeBars: 3,
    partialBars: 1,
    misalignedBars: 1,
    closingPrints: 1,
    outOfSessionBars: 2,
    invalidPriceBars: 2,
  });
  assert.deepEqual(await contents(data), {
    bars: [
      'AAPL -1 9 9 9 9 100',
      'AAPL 0 10.5 10.5 10.5 10.5 100',
      'AAPL 1 11 11 11 11 0',
      'AAPL 2 12 12 12 12 NaN',
      'AAPL 4 14 13 15 14 100',
      'AAPL 5 0 0 0 0 100',
      'AAPL 6 16 16 16 16 100',
      'AAPL 7 NaN NaN NaN NaN NaN',
      'AAPL 9 19 19 19 19 100',
      'BRK-B 390 5 5 5 5 100',
      'BRK-B 391 5 5 5 5 100',
    ],
    ledger: [
      'conflict AAPL 0 10 10 10 10 100 1',
      'misalignedBar AAPL 3.5 99 99 99 99 100 1',
      'duplicate AAPL 6 16 16 16 16 100 1',
      'partialBar AAPL 10 20 20 20 20 100 1',
    ],
  });
});

test('three equal rows are two duplicates; a repeat is judged against the first row of its minute', async (t) => {
  const data = temporaryFolder(t);
  const rows = [
    flat(0, 1),
    flat(0, 1),
    flat(0, 1),
    flat(1, 1),
    flat(1, 2),
    flat(1, 2),
    flat(2, 1),
    flat(2, 2),
    flat(2, 1),
  ];
  const counts = await ingest(data, raw('A', rows));
  assert.deepEqual(counts, { ...NONE, symbols: 1, rowsRead: 9, rowsStored: 3, duplicates: 6, conflicts: 3 });
  const expected = {
    bars: ['A 0 1 1 1 1 100', 'A 1 2 2 2 2 100', 'A 2 1 1 1 1 100'],
    ledger: [
      'duplicate A 0 1 1 1 1 100 1',
      'duplicate A 0 1 1 1 1 100 2',
      'conflict A 1 1 1 1 1 100 1',
      'conflict A 1 2 2 2 2 100 1',
      'conflict A 2 1 1 1 1 100 1',
      'duplicate A 2 2 2 2 2 100 1',
    ],
  };
  assert.deepEqual(await contents(data), expected);
  // The ledger is a set: the same input again adds nothing.
  const again = await ingest(data, raw('A', rows));
  assert.deepEqual(again, { ...NONE, symbols: 1, rowsRead: 9, alreadyStored: 3, duplicates: 6, conflicts: 3 });
  assert.deepEqual(await contents(data), expected);
});

test('a later ingest corrects a bar; nulls are compared as values', async (t) => {
  const data = temporaryFolder(t);
  await ingest(data, raw('A', [flat(0, 1), flat(1, 2), NULL_BAR]), raw('B', [flat(0, 5)]));
  const counts = await ingest(data, raw('A', [flat(1, 2.5), NULL_BAR, flat(3, 4)]));
  assert.deepEqual(counts, {
    ...NONE,
    symbols: 1,
    rowsRead: 3,
    rowsStored: 2,
    alreadyStored: 1,
    revisions: 1,
    nullBars: 1,
    zeroVolumeBars: 1,
  });
  const expected = {
    bars: [
      'A 0 1 1 1 1 100',
      'A 1 2.5 2.5 2.5 2.5 100',
      'A 3 4 4 4 4 100',
      'A 7 NaN NaN NaN NaN NaN',
      'B 0 5 5 5 5 100',
    ],
    ledger: ['revision A 1 2 2 2 2 100 1'],
  };
  assert.deepEqual(await contents(data), expected);
  // A price takes the place of a null; a null never takes the place of a price.
  await ingest(data, raw('A', [flat(7, 3)]));
  const back = await ingest(data, raw('A', [NULL_BAR]));
  assert.deepEqual([back.rowsStored, back.alreadyStored, back.revisions], [0, 1, 0]);
  assert.deepEqual(await contents(data), {
    bars: expected.bars.map((line) => (line.startsWith('A 7') ? 'A 7 3 3 3 3 100' : line)),
    ledger: ['revision A 1 2 2 2 2 100 1', 'revision A 7 NaN NaN NaN NaN NaN 1'],
  });
});

test('a minute that had not ended is stored once it has', async (t) => {
  const data = temporaryFolder(t);
  const during = epochMs((OPEN + 1) * 60_000 - 1);
  const first = await ingest(data, raw('A', [flat(-1, 9), flat(0, 1)], during));
  assert.deepEqual([first.partialBars, first.rowsStored], [1, 1]);
  const second = await ingest(data, raw('A', [flat(0, 2)], epochMs(during + 1)));
  assert.deepEqual([second.partialBars, second.rowsStored, second.revisions], [0, 1, 0]);
  assert.deepEqual(await contents(data), {
    bars: ['A -1 9 9 9 9 100', 'A 0 2 2 2 2 100'],
    ledger: ['partialBar A 0 1 1 1 1 100 1'],
  });
});

test('of several deliveries in one transaction the later one wins', async (t) => {
  const data = temporaryFolder(t);
  const counts = await ingest(data, raw('A', [flat(0, 3)]), raw('A', [flat(0, 1)]), raw('A', [flat(0, 2)], LATER));
  assert.deepEqual([counts.rowsStored, counts.duplicates, counts.conflicts], [1, 2, 2]);
  assert.deepEqual((await contents(data)).bars, ['A 0 2 2 2 2 100']);
});

test('what is no symbol is refused and the store stays as it was', async (t) => {
  const data = temporaryFolder(t);
  await ingest(data, raw('A', [flat(0, 1)]));
  await assert.rejects(ingest(data, raw('A', [flat(1, 1)]), raw('no symbol', [flat(0, 1)])), {
    code: 'BARCAST_E_SYMBOL',
  });
  assert.deepEqual((await contents(data)).bars, ['A 0 1 1 1 1 100']);
});
