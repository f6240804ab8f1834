/** Small segments merged into one: the same bars, fewer files, whatever happens in the middle. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openReader, openStore } from '../../src/store/index.ts';
import { contents, flat, ingest, raw, runChild, segmentFiles, temporaryFolder } from './support.ts';

const CHILD = new URL('children/compact-and-die.ts', import.meta.url);

/** A store of seven commits, as live bars make them, with bars and ledger in small segments. */
async function sevenCommits(directory: string): Promise<void> {
  for (let minute = 0; minute < 7; minute++) {
    const rows = [flat(minute, 10 + minute), flat(minute, 10 + minute)];
    await ingest(directory, raw('A', rows), raw('B', [flat(minute, 20 + minute)]));
  }
}

test('small segments become one; a reader of the commit before goes on', async (t) => {
  const data = temporaryFolder(t);
  await sevenCommits(data);
  const before = await contents(data);
  assert.equal(before.bars.length, 14);
  assert.equal(before.ledger.length, 7);
  assert.equal(segmentFiles(data).named.length, 14);
  const reader = await openReader(data);
  const store = await openStore(data, { shared: true });
  await store.compact();
  assert.equal((await reader.read()).minute.length, 14);
  assert.deepEqual(await contents(data), before);
  assert.equal(segmentFiles(data).named.length, 2);
  const { generation } = await store.summary();
  await store.compact();
  assert.equal((await store.summary()).generation, generation, 'nothing is left to merge');
  // What is committed after it stands beside what was merged.
  const transaction = await store.begin();
  await transaction.addBars(raw('A', [flat(0, 99), flat(9, 19)]));
  const { revisions, rowsStored } = await transaction.commit();
  assert.deepEqual([revisions, rowsStored], [1, 2]);
  store.close();
  reader.close();
  assert.equal((await contents(data)).bars.length, 15);
});

test('kill -9 in the middle, at every step and at random moments, leaves the same bars', async (t) => {
  const folder = temporaryFolder(t);
  const start = join(folder, 'start');
  await sevenCommits(start);
  const expected = await contents(start);
  /** Compares with what was there, then merges it for good. */
  const check = async (data: string) => {
    assert.deepEqual(await contents(data), expected);
    const { code, stderr } = await runChild(CHILD, [data, '0']);
    assert.equal(code, 0, stderr);
    assert.deepEqual(await contents(data), expected);
    (await openStore(data)).close();
    const { present, named } = segmentFiles(data);
    assert.equal(named.length, 2);
    assert.deepEqual(present, named);
  };
  let point = 1;
  for (let killed = true; killed; point++) {
    const data = join(folder, `step-${point}`);
    cpSync(start, data, { recursive: true });
    const { signal, code, stderr } = await runChild(CHILD, [data, String(point)]);
    killed = signal === 'SIGKILL';
    assert.ok(killed || code === 0, stderr);
    await check(data);
  }
  // Two segments and the manifest, each flushed, renamed and its folder flushed.
  assert.equal(point - 2, 9);
  for (let attempt = 0; attempt < 4; attempt++) {
    const data = join(folder, `moment-${attempt}`);
    cpSync(start, data, { recursive: true });
    const child = spawn(process.execPath, [CHILD.pathname, data, '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'close');
    await once(child.stdout, 'data');
    await Promise.race([ended, sleep(60 * Math.random())]);
    child.kill('SIGKILL');
    await ended;
    await check(data);
  }
});
