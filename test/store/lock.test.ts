import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openStore } from '../../src/store/index.ts';
import { contents, flat, ingest, raw, temporaryFolder } from './support.ts';

/** A child that tries to own the store; resolves with what it says. */
async function holder(data: string): Promise<{ child: ChildProcess; says: string }> {
  const child = spawn(process.execPath, [new URL('children/hold.ts', import.meta.url).pathname, data], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout!, 'data')) as [Buffer];
  return { child, says: line.toString().trim() };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

test('a live owner in another process is named, readers may go on, and its death frees the store', async (t) => {
  const data = temporaryFolder(t);
  await ingest(data, raw('A', [flat(0, 1)]));
  const { child, says } = await holder(data);
  t.after(() => kill(child));
  assert.equal(says, 'owned');
  await assert.rejects(openStore(data), {
    code: 'BARCAST_E_STORE_LOCKED',
    message: new RegExp(`process ${child.pid} `),
  });
  assert.deepEqual((await contents(data)).bars, ['A 0 1 1 1 1 100']);
  await kill(child);
  await ingest(data, raw('A', [flat(1, 2)]));
  assert.deepEqual((await contents(data)).bars, ['A 0 1 1 1 1 100', 'A 1 2 2 2 2 100']);
});

test('an owner in this process refuses others, here and there, until it is closed', async (t) => {
  const data = temporaryFolder(t);
  const store = await openStore(data);
  await assert.rejects(openStore(join(data, '.', '')), {
    code: 'BARCAST_E_STORE_LOCKED',
    message: new RegExp(`process ${process.pid} `),
  });
  const refused = await holder(data);
  assert.match(refused.says, new RegExp(`^BARCAST_E_STORE_LOCKED process ${process.pid} `));
  store.close();
  const { child, says } = await holder(data);
  t.after(() => kill(child));
  assert.equal(says, 'owned');
});

test('of owners that come at once exactly one gets a new store', async (t) => {
  const data = join(temporaryFolder(t), 'new');
  const holders = await Promise.all([holder(data), holder(data), holder(data)]);
  t.after(() => Promise.all(holders.map(({ child }) => kill(child))));
  const said = holders.map(({ says }) => says.split(' ')[0]).sort();
  assert.deepEqual(said, ['BARCAST_E_STORE_LOCKED', 'BARCAST_E_STORE_LOCKED', 'owned']);
});

test('what a killed owner left over is removed', async (t) => {
  const data = temporaryFolder(t);
  await ingest(data, raw('A', [flat(0, 1)]));
  const leftovers = [
    'segments/bars-00000002.parquet',
    'segments/bars-00000003.parquet.0123456789ab.tmp',
    'manifest.json.0123456789ab.tmp',
  ];
  for (const file of leftovers) writeFileSync(join(data, file), 'left over');
  await ingest(data, raw('A', [flat(1, 2)]));
  assert.deepEqual((await contents(data)).bars, ['A 0 1 1 1 1 100', 'A 1 2 2 2 2 100']);
  assert.deepEqual(readdirSync(data).sort(), ['manifest.json', 'owner.duckdb', 'segments']);
  assert.deepEqual(readdirSync(join(data, 'segments')).sort(), ['bars-00000001.parquet', 'bars-00000002.parquet']);
});

test('a folder that was there before keeps what a user had in it', async (t) => {
  const data = temporaryFolder(t);
  const own = ['tmp/notes.txt', 'segments/holiday.parquet', 'segments/readme.tmp', 'report.csv.tmp'];
  for (const folder of ['tmp', 'segments']) mkdirSync(join(data, folder));
  for (const file of own) writeFileSync(join(data, file), 'mine');
  await ingest(data, raw('A', [flat(0, 1)]));
  await ingest(data, raw('A', [flat(1, 2)]));
  for (const file of own) assert.equal(readFileSync(join(data, file), 'utf8'), 'mine', file);
});
