import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { epochMinute, silentProgress } from '../../src/base/index.ts';
import { ingestFiles } from '../../src/sources/index.ts';
import { examineStore, openReader } from '../../src/store/index.ts';

const FILES = fileURLToPath(new URL('../../../shared/data/yahoo-1m', import.meta.url));

test('1,425 files as Yahoo gave them: the counts of an independent count, and nothing the second time', async (t) => {
  if (!existsSync(FILES)) {
    t.skip(`${FILES} is not there`);
    return;
  }
  const data = mkdtempSync(join(tmpdir(), 'barcast-test-'));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const { seconds: _, ...first } = await ingestFiles({ files: [FILES], data, progress: silentProgress });
  const flaws = {
    revisions: 0,
    duplicates: 1107,
    conflicts: 303,
    nullBars: 573,
    zeroVolumeBars: 14_269,
    partialBars: 0,
    misalignedBars: 0,
    // 2019-12-24 closed at 13:00, and 270 files have a bar stamped 13:00.
    closingPrints: 270,
    outOfSessionBars: 0,
    invalidPriceBars: 0,
  };
  const expected = { source: 'files', symbols: 1425, rowsRead: 1_275_784, ...flaws };
  assert.deepEqual(first, { ...expected, rowsStored: 1_274_677, alreadyStored: 0 });
  const { seconds: __, ...second } = await ingestFiles({ files: [FILES], data, progress: silentProgress });
  assert.deepEqual(second, { ...expected, rowsStored: 0, alreadyStored: 1_274_677 });

  const diagnosis = await examineStore(data, { all: true });
  assert.deepEqual(diagnosis.flaws, flaws);
  const byKind: Record<string, number> = {};
  for (const { kind, count } of diagnosis.flawList) byKind[kind] = (byKind[kind] ?? 0) + count;
  assert.deepEqual(byKind, {
    duplicate: 1107 - 303,
    conflict: 303,
    nullBar: 573,
    zeroVolume: 14_269,
    closingPrint: 270,
  });
  assert.deepEqual([diagnosis.symbols, diagnosis.bars, diagnosis.tradingDays], [1425, 1_274_677, 14]);
  assert.deepEqual([diagnosis.firstBar, diagnosis.lastBar], ['2019-12-13T16:00:00.000Z', '2020-01-03T20:59:00.000Z']);

  const reader = await openReader(data);
  t.after(() => reader.close());
  const bars = await reader.read();
  assert.deepEqual([bars.symbols.length, bars.minute.length], [1425, 1_274_677]);
  let unsorted = 0;
  for (let s = 0; s < bars.symbols.length; s++) {
    for (let i = bars.offsets[s]! + 1; i < bars.offsets[s + 1]!; i++)
      if (bars.minute[i - 1]! >= bars.minute[i]!) unsorted++;
  }
  assert.equal(unsorted, 0);
  // `zcat SPY.csv.gz | grep '2019-12-13 11:01'`: 316.53,316.77,316.47,316.65,269778.0
  const minute = epochMinute(Date.parse('2019-12-13T16:01:00Z') / 60_000);
  const spy = await reader.read({ symbols: ['SPY'], from: minute, to: epochMinute(minute + 1) });
  assert.deepEqual(
    [spy.open, spy.high, spy.low, spy.close, spy.volume].map((column) => [...column]),
    [[316.53], [316.77], [316.47], [316.65], [269_778]],
  );
});
