import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { test } from 'node:test';
import { openReader, openStore } from '../../src/store/index.ts';
import { contents, flat, ingest, raw, runChild, segmentFiles, temporaryFolder } from './support.ts';

const CHILD = new URL('children/ingest-random.ts', import.meta.url);
const tradesIn = async (data: string): Promise<number> => {
  const reader = await openReader(data);
  try {
    return (await reader.trades()).minute.length;
  } finally {
    reader.close();
  }
};

const BEFORE = ['A 0 1 1 1 1 100'];

test('a file that may not grow: one error, the store as it was', async (t) => {
  const data = temporaryFolder(t);
  await ingest(data, raw('A', [flat(0, 1)]));
  // 200 blocks of at most 1 KiB; the rows take about 1 MB.
  const { code, stdout } = await runChild(CHILD, [data, 'B', '50000'], ['sh', '-c', 'ulimit -f 200; exec "$0" "$@"']);
  assert.equal(code, 0, 'the child lives to tell');
  assert.match(stdout, /^BARCAST_E_DISK_FULL: /);
  assert.deepEqual((await contents(data)).bars, BEFORE);
  const { present, named } = segmentFiles(data);
  assert.deepEqual(present, named);
  assert.equal((await runChild(CHILD, [data, 'B', '500'])).stdout, 'stored 500\n');
});

test('a full disk: one error, the store as it was', async (t) => {
  const data = temporaryFolder(t);
  const mounted = ['unshare', '-rm', 'sh', '-c'];
  const trial = spawnSync(mounted[0]!, [...mounted.slice(1), `mount -t tmpfs -o size=1m none "$0"`, data], {
    encoding: 'utf8',
  });
  if (trial.status !== 0) {
    t.skip(`a small file system cannot be mounted here: ${trial.error?.message ?? trial.stderr.trim()}`);
    return;
  }
  const child = `"$1" "$2" "$0"`;
  const script = `mount -t tmpfs -o size=1m none "$0" && ${child} A 10 && ${child} B 100000 && ${child} C 10 && ls "$0/segments"`;
  const { stdout, stderr } = spawnSync(
    mounted[0]!,
    [...mounted.slice(1), script, data, process.execPath, CHILD.pathname],
    {
      encoding: 'utf8',
    },
  );
  const lines = stdout.trim().split('\n');
  assert.equal(lines[0], 'stored 10', stderr);
  assert.match(lines[1]!, /^BARCAST_E_DISK_FULL: .*No space left/);
  assert.deepEqual(lines.slice(2), ['stored 10', 'bars-00000001.parquet', 'bars-00000002.parquet']);
});

test('a full disk at any call of a commit: the old bars or the new ones, and the same owner goes on', async (t) => {
  let calls = 0;
  let failAt = 0;
  for (const name of ['renameSync', 'fsyncSync'] as const) {
    const original = fs[name] as (...args: unknown[]) => void;
    t.mock.method(fs, name, (...args: unknown[]) => {
      if (++calls === failAt) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
      original(...args);
    });
  }
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  const after = ['A 0 2 2 2 2 100', 'A 1 3 3 3 3 100'];
  const seen = new Set<string>();
  for (let point = 1; ; point++) {
    const data = temporaryFolder(t);
    failAt = 0;
    await ingest(data, raw('A', [flat(0, 1)]));
    const store = await openStore(data);
    const attempt = async () => {
      const transaction = await store.begin();
      await transaction.addBars({
        ...raw('A', [flat(0, 2), flat(1, 3), flat(1, 3)]),
        tradeCount: Float64Array.of(1, 2, 3),
        vwap: Float64Array.of(2, 3, 3),
      });
      return transaction.commit();
    };
    calls = 0;
    failAt = point;
    const failed = await attempt().then(
      () => false,
      (error: { code: string }) => error.code,
    );
    failAt = 0;
    if (failed === false) {
      store.close();
      assert.ok(point > 6, `${point - 1} calls could fail`);
      break;
    }
    assert.equal(failed, 'BARCAST_E_DISK_FULL');
    const now = (await contents(data)).bars;
    assert.deepEqual(now, now.length === 1 ? BEFORE : after);
    assert.equal(await tradesIn(data), now.length === 1 ? 0 : 2, 'bars and their trades come together');
    seen.add(now.length === 1 ? 'old' : 'new');
    await attempt();
    store.close();
    assert.equal(await tradesIn(data), 2);
    assert.deepEqual(await contents(data), {
      bars: after,
      ledger: ['revision A 0 1 1 1 1 100 1', 'duplicate A 1 3 3 3 3 100 1'],
    });
  }
  assert.deepEqual([...seen].sort(), ['new', 'old']);
});
