import assert from 'node:assert/strict';
import { appendFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { epochMinute } from '../../src/base/index.ts';
import { openReader, openStore } from '../../src/store/index.ts';
import { barLines, contents, flat, ingest, OPEN, raw, segmentFiles, temporaryFolder } from './support.ts';

test('a range of minutes and a choice of symbols, sorted, the end not counted', async (t) => {
  const data = temporaryFolder(t);
  await ingest(data, raw('MSFT', [flat(2, 22), flat(0, 20), flat(1, 21)]));
  await ingest(data, raw('AAPL', [flat(0, 10), flat(1, 11)]), raw('C', [flat(1, 31)]));
  await ingest(data, raw('MSFT', [flat(-1, 19)]));
  const reader = await openReader(data);
  t.after(() => reader.close());
  assert.deepEqual(await reader.symbols(), ['AAPL', 'C', 'MSFT']);
  const all = await reader.read();
  assert.deepEqual(all.symbols, ['AAPL', 'C', 'MSFT']);
  assert.deepEqual([...all.offsets], [0, 2, 3, 7]);
  assert.deepEqual(
    [...all.minute].map((m) => m - OPEN),
    [0, 1, 1, -1, 0, 1, 2],
  );
  assert.deepEqual([...all.close], [10, 11, 31, 19, 20, 21, 22]);
  const range = { from: epochMinute(OPEN + 1), to: epochMinute(OPEN + 2) };
  assert.deepEqual(barLines(await reader.read({ symbols: ['MSFT', 'AAPL', 'NONE'], ...range })), [
    'AAPL 1 11 11 11 11 100',
    'MSFT 1 21 21 21 21 100',
  ]);
  const none = await reader.read({ symbols: [] });
  assert.deepEqual([none.symbols, [...none.offsets], none.minute.length], [[], [0], 0]);
  const summary = await reader.summary();
  assert.deepEqual(
    [summary.symbols, summary.bars, summary.firstMinute, summary.lastMinute, summary.generation],
    [3, 7, OPEN - 1, OPEN + 2, 3],
  );
});

test('several reads at once', async (t) => {
  const data = temporaryFolder(t);
  await ingest(
    data,
    ...['A', 'B', 'C', 'D'].map((s) =>
      raw(
        s,
        Array.from({ length: 3000 }, (_, i) => flat(i, i + 1)),
      ),
    ),
  );
  const reader = await openReader(data);
  t.after(() => reader.close());
  const reads = await Promise.all(['A', 'B', 'C', 'D'].map((symbol) => reader.read({ symbols: [symbol] })));
  for (const bars of reads) {
    assert.equal(bars.minute.length, 3000);
    assert.ok(bars.close.every((close, i) => close === i + 1));
  }
});

test('a reader beside a writing owner sees whole commits: the one it opened, then the newest', async (t) => {
  const data = temporaryFolder(t);
  await ingest(data, raw('A', [flat(0, 1)]));
  const reader = await openReader(data);
  const store = await openStore(data);
  t.after(() => {
    store.close();
    reader.close();
  });
  const transaction = await store.begin();
  await transaction.addBars(raw('A', [flat(1, 2)]));
  assert.equal((await reader.read()).minute.length, 1);
  await transaction.commit();
  assert.equal((await reader.read()).minute.length, 1, 'the reader stays at its commit');
  assert.equal((await store.read()).minute.length, 2, 'the owner reads its own commit');
  await reader.refresh();
  assert.equal((await reader.read()).minute.length, 2);
  // Corrections replace segments; after two more commits the reader's are gone, and it goes on with the newest.
  for (const price of [5, 6, 7]) {
    const correction = await store.begin();
    await correction.addBars(raw('A', [flat(0, price)]));
    await correction.commit();
  }
  assert.deepEqual(barLines(await reader.read()), ['A 0 7 7 7 7 100', 'A 1 2 2 2 2 100']);
});

test('many small commits are merged, and nothing is left over', async (t) => {
  const data = temporaryFolder(t);
  const store = await openStore(data);
  for (let i = 0; i < 20; i++) {
    const transaction = await store.begin();
    await transaction.addBars(raw('A', [flat(i, i + 1), flat(i + 0.5, 1)]));
    await transaction.commit();
  }
  const { closes, ledger, summary } = {
    closes: [...(await store.read()).close],
    ledger: await store.ledger(),
    summary: await store.summary(),
  };
  store.close();
  assert.deepEqual(
    closes,
    Array.from({ length: 20 }, (_, i) => i + 1),
  );
  assert.equal(ledger.length, 20);
  assert.ok(summary.segments < 16, `${summary.segments} segments after 20 commits of two tables`);
  (await openStore(data)).close();
  const { present, named } = segmentFiles(data);
  assert.deepEqual(present, named);
});

test('an ingest that brings nothing new makes no commit', async (t) => {
  const data = temporaryFolder(t);
  await ingest(data, raw('A', [flat(0, 1)]));
  const before = readFileSync(join(data, 'manifest.json'), 'utf8');
  await ingest(data, raw('A', [flat(0, 1)]));
  await ingest(data);
  assert.equal(readFileSync(join(data, 'manifest.json'), 'utf8'), before);
});

test('an aborted transaction leaves no trace, and the next one begins afresh', async (t) => {
  const data = temporaryFolder(t);
  const store = await openStore(data);
  const aborted = await store.begin();
  await aborted.addBars(raw('A', [flat(0, 1)]));
  await assert.rejects(store.begin(), /under way/);
  await aborted.abort();
  await assert.rejects(aborted.commit(), /over/);
  const next = await store.begin();
  await next.addBars(raw('B', [flat(0, 1)]));
  await next.commit();
  store.close();
  assert.deepEqual((await contents(data)).bars, ['B 0 1 1 1 1 100']);
});

test('a folder without a store, and a store without bars, is an empty store to a reader', async (t) => {
  const data = temporaryFolder(t);
  await assert.rejects(openReader(data), { code: 'BARCAST_E_STORE_EMPTY' });
  await assert.rejects(openReader(join(data, 'nowhere')), { code: 'BARCAST_E_STORE_EMPTY' });
  (await openStore(data)).close();
  await assert.rejects(openReader(data), { code: 'BARCAST_E_STORE_EMPTY' });
});

test('a file where the folder should be', async (t) => {
  const path = join(temporaryFolder(t), 'file');
  writeFileSync(path, '');
  await assert.rejects(openStore(path), { code: 'BARCAST_E_USAGE' });
  await assert.rejects(openReader(path), { code: 'BARCAST_E_USAGE', message: /is a file/ });
  await assert.rejects(openStore(join(path, 'inside')), { code: 'BARCAST_E_USAGE' });
});

test('a folder whose name holds the characters of a pattern', async (t) => {
  const data = join(temporaryFolder(t), "it's [odd]*? {a}");
  await ingest(data, raw('A', [flat(0, 1)]));
  await ingest(data, raw('A', [flat(1, 2)]));
  assert.deepEqual((await contents(data)).bars, ['A 0 1 1 1 1 100', 'A 1 2 2 2 2 100']);
});

test('a lost or damaged segment, and a damaged manifest, are told by name', async (t) => {
  const data = temporaryFolder(t);
  await ingest(data, raw('A', [flat(0, 1)]));
  const reader = await openReader(data);
  t.after(() => reader.close());
  const [file] = readdirSync(join(data, 'segments'));
  const path = join(data, 'segments', file!);
  const whole = readFileSync(path);
  writeFileSync(path, whole.subarray(0, whole.length - 20));
  await assert.rejects(reader.read(), { code: 'BARCAST_E_STORE_CORRUPT', message: new RegExp(file!) });
  rmSync(path);
  await assert.rejects(reader.read(), { code: 'BARCAST_E_STORE_CORRUPT', message: new RegExp(`${file} is missing`) });
  appendFileSync(join(data, 'manifest.json'), 'x');
  await assert.rejects(openReader(data), { code: 'BARCAST_E_STORE_CORRUPT', message: /manifest/ });
  await assert.rejects(openStore(data), { code: 'BARCAST_E_STORE_CORRUPT', message: /manifest/ });
});

test('segments whose minutes interleave, and values that are missing, are read in order', async (t) => {
  const data = temporaryFolder(t);
  await ingest(data, raw('A', [flat(0, 10), flat(2, 12), flat(4, 14)]), raw('B', [flat(0, 20)]));
  await ingest(data, raw('A', [[1, 11, Number.NaN, 11, Number.NaN, Number.NaN], flat(3, 13)]), raw('C', [flat(9, 30)]));
  await ingest(data, raw('B', [flat(1, 21)]), raw('A', [flat(5, 15), flat(-1, 9)]));
  const reader = await openReader(data);
  t.after(() => reader.close());
  const bars = await reader.read();
  assert.deepEqual([...bars.offsets], [0, 7, 9, 10]);
  assert.deepEqual(barLines(bars), [
    'A -1 9 9 9 9 100',
    'A 0 10 10 10 10 100',
    'A 1 11 NaN 11 NaN NaN',
    ...[2, 3, 4, 5].map((minute) => `A ${minute} ${10 + minute} ${10 + minute} ${10 + minute} ${10 + minute} 100`),
    'B 0 20 20 20 20 100',
    'B 1 21 21 21 21 100',
    'C 9 30 30 30 30 100',
  ]);
});

test('any choice of symbols from many, in one run or scattered, has the rows that are theirs', async (t) => {
  const data = temporaryFolder(t);
  const symbols = Array.from({ length: 60 }, (_, i) => `S${String(i).padStart(2, '0')}`);
  // Several segments, more rows than a vector holds, every symbol with the same minutes and closes of its own.
  const rows = (s: number, from: number) =>
    Array.from({ length: 200 }, (_, i) => flat(from + i, 1000 * (s + 1) + from + i));
  for (const from of [0, 200, 400]) await ingest(data, ...symbols.map((symbol, s) => raw(symbol, rows(s, from))));
  const reader = await openReader(data);
  t.after(() => reader.close());
  const choices = [
    symbols,
    symbols.slice(5, 40),
    symbols.filter((_, i) => i % 2 === 0),
    symbols.filter((_, i) => i % 20 === 3),
    [...symbols.slice(50), 'S00', 'NONE', 'S07'],
    ['S33'],
  ];
  for (const choice of choices) {
    for (const range of [{}, { from: epochMinute(OPEN + 150), to: epochMinute(OPEN + 450) }]) {
      const bars = await reader.read({ symbols: choice, ...range });
      const expected = choice.filter((symbol) => symbol !== 'NONE').sort();
      assert.deepEqual(bars.symbols, expected);
      const [first, count] = 'from' in range ? [150, 300] : [0, 600];
      for (const [s, symbol] of expected.entries()) {
        assert.equal(bars.offsets[s + 1] - bars.offsets[s], count);
        for (let i = 0; i < count; i++) {
          const row = bars.offsets[s] + i;
          assert.equal(bars.minute[row], OPEN + first + i);
          assert.equal(bars.close[row], 1000 * (Number(symbol.slice(1)) + 1) + first + i);
        }
      }
    }
  }
});
