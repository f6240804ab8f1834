import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { epochMs } from '../../src/base/index.ts';
import { examineStore } from '../../src/store/index.ts';
import { flat, ingest, OPEN, raw, temporaryFolder } from './support.ts';

const DAY = 24 * 60;

test('coverage, gaps and every flaw by symbol and day, against a count by hand', async (t) => {
  const data = temporaryFolder(t);
  const steady = Array.from({ length: 100 }, (_, minute) => flat(minute, 10)).filter(
    ([minute]) => minute < 40 || minute >= 60,
  );
  const counts = await ingest(
    data,
    raw('A', [...steady, flat(3, 11), flat(5, 10), flat(7.25, 1), [8, 10, 10, 10, 10, 0]]),
    raw('B', [
      flat(DAY, 5),
      [DAY + 1, Number.NaN, Number.NaN, Number.NaN, Number.NaN, Number.NaN],
      [DAY + 2, 5, 4, 6, 5, 1],
      flat(DAY + 390, 5),
      flat(DAY + 12 * 60, 5), // 21:30 in New York: the next day in UTC
      flat(DAY + 20 * 60, 5, 0), // and in the next morning of New York before the open of a Saturday
    ]),
    raw('C', [flat(0, 1), flat(1, 1)], epochMs((OPEN + 1) * 60_000)),
  );
  const diagnosis = await examineStore(data);
  const { symbols: _, rowsRead: __, rowsStored: ___, alreadyStored: ____, ...flaws } = counts;
  assert.deepEqual(diagnosis.flaws, flaws);
  assert.deepEqual(flaws, {
    revisions: 0,
    duplicates: 3,
    conflicts: 2,
    nullBars: 1,
    zeroVolumeBars: 3,
    partialBars: 1,
    misalignedBars: 1,
    closingPrints: 1,
    outOfSessionBars: 2,
    invalidPriceBars: 1,
  });
  assert.deepEqual(
    diagnosis.flawList.map(({ symbol, day, kind, count }) => `${symbol} ${day} ${kind} ${count}`),
    [
      'A 2020-01-02 conflict 2',
      'A 2020-01-02 duplicate 1',
      'A 2020-01-02 misalignedBar 1',
      'A 2020-01-02 zeroVolume 1',
      'B 2020-01-03 closingPrint 1',
      'B 2020-01-03 invalidPrice 1',
      'B 2020-01-03 nullBar 1',
      'B 2020-01-03 outOfSession 1',
      'B 2020-01-03 zeroVolume 1',
      'B 2020-01-04 outOfSession 1',
      'B 2020-01-04 zeroVolume 1',
      'C 2020-01-02 partialBar 1',
    ],
  );
  assert.deepEqual(
    [diagnosis.symbols, diagnosis.bars, diagnosis.firstBar, diagnosis.lastBar, diagnosis.tradingDays],
    [3, 87, '2020-01-02T14:30:00.000Z', '2020-01-04T10:30:00.000Z', 2],
  );
  assert.deepEqual(diagnosis.gapList, [
    { symbol: 'A', from: '2020-01-02T15:10:00.000Z', to: '2020-01-02T15:30:00.000Z', missing: 20 },
  ]);
  assert.equal(diagnosis.gaps, 1);
  assert.deepEqual(diagnosis.coverage, [
    {
      symbol: 'A',
      bars: 80,
      firstBar: '2020-01-02T14:30:00.000Z',
      lastBar: '2020-01-02T16:09:00.000Z',
      share: 0.8,
      gaps: 1,
    },
    {
      symbol: 'B',
      bars: 6,
      firstBar: '2020-01-03T14:30:00.000Z',
      lastBar: '2020-01-04T10:30:00.000Z',
      share: 1,
      gaps: 0,
    },
    {
      symbol: 'C',
      bars: 1,
      firstBar: '2020-01-02T14:30:00.000Z',
      lastBar: '2020-01-02T14:30:00.000Z',
      share: 1,
      gaps: 0,
    },
  ]);
  assert.deepEqual(diagnosis.omitted, { gaps: 0, flaws: 0 });
});

test('the lists are limited unless all is asked for', async (t) => {
  const data = temporaryFolder(t);
  await ingest(data, ...Array.from({ length: 1003 }, (_, i) => raw(`S${i}`, [flat(0, 1, 0)])));
  const short = await examineStore(data);
  assert.deepEqual([short.flaws.zeroVolumeBars, short.flawList.length, short.omitted.flaws], [1003, 1000, 3]);
  const full = await examineStore(data, { all: true });
  assert.deepEqual([full.flawList.length, full.omitted.flaws], [1003, 0]);
});

test('a damaged byte anywhere in a segment is found', async (t) => {
  const data = temporaryFolder(t);
  await ingest(
    data,
    raw(
      'A',
      Array.from({ length: 50 }, (_, i) => flat(i, Math.sin(i) + 2)),
    ),
  );
  const [file] = readdirSync(join(data, 'segments'));
  const path = join(data, 'segments', file!);
  const bytes = readFileSync(path);
  bytes[Math.floor(bytes.length / 3)]! ^= 1;
  writeFileSync(path, bytes);
  await assert.rejects(examineStore(data), { code: 'BARCAST_E_STORE_CORRUPT', message: new RegExp(file!) });
});
