import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentProgress } from '../../src/base/index.ts';
import { ingestHistory } from '../../src/sources/ingest-history.ts';
import { ingestTrades } from '../../src/sources/trades/ingest.ts';
import { openStore } from '../../src/store/index.ts';
import { type Workshop, workshop } from './files-support.ts';
import { FROM, PLAIN_SOURCE, SYMBOLS, TO } from './plain-source.ts';

const CHILD = new URL('children/ingest-and-die.ts', import.meta.url).pathname;

/** Runs the child until it ends or has been killed; `afterMs` kills it from outside. */
async function run(args: readonly string[], afterMs?: number): Promise<{ killed: boolean; milliseconds: number }> {
  const started = performance.now();
  const child = spawn(process.execPath, [CHILD, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (data) => (stderr += data));
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  if (afterMs !== undefined) {
    await Promise.race([ended, sleep(afterMs)]);
    child.kill('SIGKILL');
  }
  const [code, signal] = await ended;
  assert.ok(code === 0 || signal === 'SIGKILL', stderr);
  return { killed: signal === 'SIGKILL', milliseconds: performance.now() - started };
}

const contents = async (shop: Workshop) => ({ bars: await shop.bars(), ledger: await shop.ledger() });

async function assertNothingLeftOver(data: string): Promise<void> {
  // What the last commit replaced is kept for its readers until the next owner comes.
  (await openStore(data)).close();
  const manifest = JSON.parse(readFileSync(join(data, 'manifest.json'), 'utf8')) as Record<string, { file: string }[]>;
  const named = ['bars', 'ledger', 'events', 'answered', 'trades'].flatMap((table) =>
    manifest[table]!.map(({ file }) => file),
  );
  assert.deepEqual(readdirSync(join(data, 'segments')).sort(), named.sort());
  assert.deepEqual(readdirSync(data).sort(), ['manifest.json', 'owner.duckdb', 'segments']);
}

test('kill -9 while files are ingested, at every step of the commit and at random moments', async (t) => {
  const shop = workshop(t);
  const header = 'Datetime,Open,High,Low,Close,Volume,Dividends,Stock Splits';
  const row = (minute: number, price: number) =>
    `${1_577_975_400 + minute * 60},${price},${price},${price},${price},1,${minute === 3 ? 0.5 : 0},0`;
  await shop.ingest(shop.write('before/A.csv', [header, row(0, 1), row(1, 1)].join('\n')));
  const before = await contents(shop);
  const start = join(shop.folder, 'start');
  cpSync(shop.data, start, { recursive: true });
  // A revision of minute 1, a conflict, a duplicate, dividends, and enough rows that reading takes its time.
  const files = ['A', 'B'].map((symbol) => {
    const rows = Array.from({ length: 3_000 }, (_, minute) => row(minute + 1, 2 + (minute % 90)));
    return shop.write(`in/${symbol}.csv.gz`, [header, ...rows, row(5, 1), row(6, 7)].join('\n'));
  });
  const reference = workshop(t);
  cpSync(start, reference.data, { recursive: true });
  const { milliseconds } = await run(['files', reference.data, '0', ...files]);
  const after = await contents(reference);
  assert.equal(after.bars.length, 6_001);
  const kinds = after.ledger.map((line) => line.split(' ')[0]).sort();
  assert.deepEqual(kinds, [...new Array(2).fill('conflict'), ...new Array(2).fill('duplicate'), 'revision']);

  let unfinished = 0;
  const tryKill = async (failAt: number, afterMs?: number): Promise<boolean> => {
    const victim = workshop(t);
    cpSync(start, victim.data, { recursive: true });
    const { killed } = await run(['files', victim.data, String(failAt), ...files], afterMs);
    const found = await contents(victim);
    if (found.bars.length === before.bars.length) {
      unfinished++;
      assert.deepEqual(found, before);
    } else assert.deepEqual(found, after);
    const again = await victim.ingest(...files);
    assert.equal(again.rowsStored, found.bars.length === before.bars.length ? 6_000 : 0);
    assert.deepEqual(await contents(victim), after);
    await assertNothingLeftOver(victim.data);
    return killed;
  };
  let point = 1;
  while (await tryKill(point)) point++;
  // Three segments, each flushed, renamed and its folder flushed, and the manifest likewise.
  assert.equal(point - 1, 12);
  assert.ok(unfinished >= 11);
  for (let attempt = 0; attempt < 4; attempt++) await tryKill(0, Math.random() * milliseconds);
});

test('kill -9 at every step of a commit of trades: bars and what is known of their trades, or neither', async (t) => {
  const start = Date.parse('2020-01-02T14:30:00Z');
  const trades = Array.from({ length: 400 }, (_, i) =>
    JSON.stringify({ symbol: 'A', time: start + i * 1000, price: 10 + (i % 7), size: 1 + (i % 3) }),
  );
  const files = [workshop(t).write('trades.ndjson', trades.join('\n'))];
  const found = async (data: string): Promise<[bars: number, trades: number]> => {
    const store = await openStore(data);
    try {
      return [(await store.read()).minute.length, (await store.trades()).minute.length];
    } finally {
      store.close();
    }
  };
  let whole = 0;
  for (let point = 1; ; point++) {
    const { data } = workshop(t);
    const { killed } = await run(['trades', data, String(point), ...files]);
    const [bars, known] = await found(data);
    assert.deepEqual([bars, known], bars === 0 ? [0, 0] : [7, 7]);
    if (bars > 0) whole++;
    await ingestTrades({ files, data, progress: silentProgress });
    assert.deepEqual(await found(data), [7, 7]);
    await assertNothingLeftOver(data);
    if (killed) continue;
    // Two segments and the manifest, each flushed, renamed and its folder flushed.
    assert.equal(point - 1, 9);
    break;
  }
  assert.ok(whole >= 1 && whole <= 2);
});

test('kill -9 while a source is asked: the next run asks for the rest and ends with the same store', async (t) => {
  const reference = workshop(t);
  await run(['history', reference.data, '0']);
  const expected = await contents(reference);
  assert.equal(expected.bars.length, SYMBOLS.length * 780);
  assert.equal(expected.ledger.length, SYMBOLS.length * 2);
  const held: number[] = [];
  // Two commits of twelve calls: bars, ledger, answered and manifest, each flushed, renamed and its folder flushed.
  for (const failAt of [5, 11, 12, 13, 20, 24]) {
    const victim = workshop(t);
    const { killed } = await run(['history', victim.data, String(failAt)]);
    assert.ok(killed, `the child lived past call ${failAt}`);
    const answer = await ingestHistory({
      source: PLAIN_SOURCE,
      symbols: SYMBOLS,
      from: FROM,
      to: TO,
      data: victim.data,
      progress: silentProgress,
    });
    held.push(answer.daysHeld);
    assert.deepEqual(await contents(victim), expected);
    await assertNothingLeftOver(victim.data);
  }
  assert.deepEqual(
    held.map((days) => days > 0),
    [false, false, true, true, true, true],
  );
});
