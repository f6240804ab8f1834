/** Several processes that share an ingest under Open MPI: one store, the same as one process makes of it. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { epochMs } from '../../src/base/index.ts';
import { ownPart, parseFaults, shareOf, startExchange } from '../../src/sources/index.ts';
import { openStore } from '../../src/store/index.ts';
import { contents, flat, raw, temporaryFolder } from '../store/support.ts';

const BARCAST = new URL('../../bin/barcast.mjs', import.meta.url).pathname;
const SYMBOLS = ['SPY', 'AAPL', 'ABNB', 'BRK-B', 'GD', 'KO', 'MSFT', 'O'];
const NOW = epochMs(Date.parse('2025-11-14T22:00:00Z'));
const withoutMpi = spawnSync('mpirun', ['--version']).error;

/** Environment of a child that is no rank of whatever runs the tests. */
function plain(): NodeJS.ProcessEnv {
  const environment = { ...process.env };
  for (const name of Object.keys(environment)) if (/^(?:OMPI|PMIX|PRTE)_/.test(name)) delete environment[name];
  return environment;
}

function start(
  ranks: number,
  words: readonly string[],
): { child: ChildProcess; ended: Promise<{ code: number | null; out: string; err: string }> } {
  const mpi = ['--allow-run-as-root', '--oversubscribe', '--bind-to', 'none', '-np', String(ranks)];
  const command = [process.execPath, BARCAST, ...words];
  const child = spawn(ranks === 1 ? command[0]! : 'mpirun', ranks === 1 ? command.slice(1) : [...mpi, ...command], {
    env: plain(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (data) => (out += data));
  child.stderr.on('data', (data) => (err += data));
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, out, err }));
  return { child, ended };
}

test('a list is split without rest or overlap, names that belong together stay together', () => {
  const items = ['a1', 'b1', 'c1', 'a2', 'd1', 'c2', 'e1'];
  const parts = [0, 1, 2].map((rank) => ownPart(items, { rank, size: 3 }, (item) => item[0]!));
  assert.deepEqual(parts, [
    ['a1', 'a2', 'd1'],
    ['b1', 'e1'],
    ['c1', 'c2'],
  ]);
  assert.deepEqual(ownPart(items, undefined, String), items);
});

test("a rank is told by Open MPI's environment", () => {
  assert.equal(shareOf({}), undefined);
  assert.equal(shareOf({ OMPI_COMM_WORLD_RANK: '0', OMPI_COMM_WORLD_SIZE: '1' }), undefined);
  assert.deepEqual(shareOf({ OMPI_COMM_WORLD_RANK: '2', OMPI_COMM_WORLD_SIZE: '3' }), { rank: 2, size: 3 });
  for (const [rank, size] of [
    ['3', '3'],
    ['x', '2'],
    ['1', undefined],
  ] as const) {
    assert.throws(() => shareOf({ OMPI_COMM_WORLD_RANK: rank, OMPI_COMM_WORLD_SIZE: size }), {
      code: 'BARCAST_E_USAGE',
    });
  }
});

test('stores that are shared commit in turn, each on top of the others, corrections too', async (t) => {
  const data = temporaryFolder(t);
  const stores = await Promise.all([0, 1, 2].map(() => openStore(data, { shared: true })));
  for (let round = 0; round < 6; round++) {
    await Promise.all(
      stores.map(async (store, rank) => {
        const transaction = await store.begin();
        await transaction.addBars(raw(`R${rank}A`, [flat(round, 1), flat(0, round)]));
        transaction.markAnswered('test', [`R${rank}A`], []);
        await transaction.commit();
      }),
    );
  }
  for (const store of stores) store.close();
  const alone = temporaryFolder(t);
  const store = await openStore(alone);
  for (let round = 0; round < 6; round++) {
    const transaction = await store.begin();
    for (const rank of [0, 1, 2]) await transaction.addBars(raw(`R${rank}A`, [flat(round, 1), flat(0, round)]));
    await transaction.commit();
  }
  store.close();
  assert.deepEqual(await contents(data), await contents(alone));
});

test('three ranks bring in what one process does; after a kill of one the same command goes on', async (t) => {
  if (withoutMpi !== undefined) return t.skip(`mpirun cannot be run: ${withoutMpi.message}`);
  const folder = temporaryFolder(t);
  const exchange = await startExchange({
    port: 0,
    seed: 1,
    now: NOW,
    symbols: SYMBOLS,
    faults: parseFaults('slow:1:200'),
  });
  t.after(() => exchange.close());
  const words = (data: string, ...more: string[]) => [
    'ingest',
    '--source',
    'yahoo',
    '--yahoo-url',
    exchange.url,
    '--symbols',
    SYMBOLS.join(','),
    '--data',
    join(folder, data),
    '--json',
    ...more,
  ];
  const alone = await start(1, words('alone')).ended;
  assert.equal(alone.code, 0, alone.err);
  const shared = await start(3, words('shared')).ended;
  assert.equal(shared.code, 0, shared.err);
  const answers = shared.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { share: { rank: number; size: number }; symbols: number; rowsStored: number });
  assert.deepEqual(answers.map(({ share }) => share.rank).sort(), [0, 1, 2]);
  assert.deepEqual(answers.map(({ symbols }) => symbols).sort(), [2, 3, 3]);
  const expected = await contents(join(folder, 'alone'));
  assert.equal(
    answers.reduce((sum, { rowsStored }) => sum + rowsStored, 0),
    expected.bars.length,
  );
  assert.deepEqual(await contents(join(folder, 'shared')), expected);

  // One rank is killed as soon as all are at work; mpirun then ends the others.
  const broken = start(3, words('broken'));
  let pid: string | undefined;
  while (pid === undefined && broken.child.exitCode === null) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const children = spawnSync('pgrep', ['-P', String(broken.child.pid)], { encoding: 'utf8' })
      .stdout.trim()
      .split('\n');
    if (children.length === 3 && exchange.requests.granted > 80) pid = children[1];
  }
  if (pid !== undefined) process.kill(Number(pid), 'SIGKILL');
  await broken.ended;
  const again = await start(3, words('broken')).ended;
  assert.equal(again.code, 0, again.err);
  assert.deepEqual(await contents(join(folder, 'broken')), expected);
});
