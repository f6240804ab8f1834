/**
 * Trainings over ranks through the command line: the same bits as one process, and the same bits when ranks, or the whole
 * job, are killed on the way. BARCAST_TEST_KILLS sets how many kills each case takes (3).
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EpochMs, Random } from '../../src/base/index.ts';
import { type Exchange, startExchange } from '../../src/sources/index.ts';
import { CheckpointFile, type Restart } from '../../src/train/index.ts';
import { processesOf, ranksOf } from './processes.ts';
import { answer, type Running, refused, start, temporaryFolder } from './support.ts';

const SYMBOLS = ['SPY', 'AAPL', 'KO', 'XOM'];
const KILLS = Number(process.env.BARCAST_TEST_KILLS ?? 3);
const TRAIN = [
  'train',
  '--seed',
  '3',
  '--patience',
  '0',
  '--name',
  'm',
  '--batch',
  '64',
  '--epochs',
  '20',
  '--checkpoint-every',
  '0.25',
];

interface Trained {
  readonly weightsHash: string;
  readonly ranks: number;
  readonly sequences: number;
  readonly restarts: readonly Restart[];
}

describe('a training over ranks', { skip: process.platform === 'linux' ? false : 'it reads /proc' }, () => {
  const folder = temporaryFolder();
  let exchange: Exchange;
  let whole: Trained;
  before(async () => {
    const now = Date.parse('2025-03-14T20:30:00Z') as EpochMs;
    exchange = await startExchange({ port: 0, seed: 2, symbols: SYMBOLS, now });
    const from = ['--yahoo-url', exchange.url, '--symbols', SYMBOLS.join(','), '--from', '2025-03-11'];
    await answer(['ingest', '--source', 'yahoo', ...from], folder.path);
    whole = await answer<Trained>([...TRAIN, '--models', 'whole'], folder.path);
    assert.equal(whole.ranks, 1);
  });
  after(async () => {
    await exchange.close();
    folder.remove();
  });

  it('as threads has the bits of one process, and a reference kernel becomes as many ranks as it is given workers', async () => {
    const threads = await answer<Trained>(
      [...TRAIN, '--models', 'threads', '--collective', 'threads', '--workers', '2'],
      folder.path,
    );
    assert.deepEqual([threads.ranks, threads.weightsHash], [2, whole.weightsHash]);
    const reference = (workers: string) =>
      answer<Trained>(
        [
          ...TRAIN,
          '--epochs',
          '1',
          '--symbols',
          'SPY',
          '--models',
          `reference-${workers}`,
          '--kernel',
          'reference',
          '--workers',
          workers,
        ],
        folder.path,
      );
    const [one, two] = [await reference('1'), await reference('2')];
    assert.deepEqual([one.ranks, two.ranks], [1, 2]);
    assert.equal(two.weightsHash, one.weightsHash);
  });

  it('goes on from a checkpoint of another number of ranks', async () => {
    const words = [...TRAIN, '--models', 'changed'];
    const run = start(words, folder.path);
    await run.printed(/^epoch 3: /m, 'stderr');
    run.child.kill('SIGKILL');
    await run.ended;
    const rest = await answer<Trained>([...words, '--resume', '--hosts', 'localhost:3'], folder.path);
    assert.deepEqual([rest.ranks, rest.weightsHash], [3, whole.weightsHash]);
    assert.ok(rest.sequences < whole.sequences);
  });

  it(`goes on by itself when ranks are killed, ${KILLS} times, and each loses no more than an interval`, async (t) => {
    // One epoch of some seconds: without checkpoints within it a kill would lose all.
    const everyMs = 500;
    const words = [...TRAIN, '--epochs', '1', '--batch', '1', '--checkpoint-every', String(everyMs / 1000)];
    const undisturbed = await answer<Trained>([...words, '--models', 'undisturbed'], folder.path);
    const random = new Random(KILLS, 1);
    const run = start([...words, '--models', 'ranks', '--hosts', 'localhost:2', '--json'], folder.path);
    const kept = join(folder.path, 'ranks', 'm');
    const checkpoint = () => {
      const name = existsSync(kept) ? readdirSync(kept).find((file) => file.endsWith('.safetensors')) : undefined;
      return name === undefined ? undefined : join(kept, name);
    };
    let ended = false;
    void run.ended.then(() => {
      ended = true;
    });
    while (!ended && checkpoint() === undefined) await sleep(10);
    const kills: { step: number; lostMs: number }[] = [];
    while (kills.length < KILLS && !ended) {
      // Some way into the start: a job that is killed again and again before it gets any further gives up.
      const going = run.printed(new RegExp(`(?:died[^\\0]*){${kills.length}}resumed at`), 'stderr');
      if (kills.length > 0) await Promise.race([run.ended, going]);
      const since = kills.length > 0 ? Date.now() : 0;
      await Promise.race([run.ended, sleep(random.below(1200))]);
      const ranks = ranksOf('ranks');
      const path = checkpoint();
      if (ended || ranks.length === 0 || path === undefined) continue;
      const victim = ranks[random.below(ranks.length)];
      const { step } = new CheckpointFile(path).read().place;
      // Work goes on from what is kept, or from where this start began.
      const goneOnFrom = Math.max(statSync(path).mtimeMs, since);
      process.kill(victim.pid, 'SIGKILL');
      kills.push({ step, lostMs: Date.now() - goneOnFrom });
      const named = `rank ${victim.rank} on localhost died of signal 9; the job starts again from its last checkpoint\n`;
      // Each one in a start of its own.
      await run.printed(new RegExp(`(?:rank \\d on localhost died[^\\0]*){${kills.length - 1}}${named}`), 'stderr');
    }
    const { status, stdout, stderr } = await run.ended;
    assert.equal(status, 0, stderr);
    const { weightsHash, restarts } = JSON.parse(stdout) as Trained;
    assert.equal(weightsHash, undisturbed.weightsHash);
    assert.ok(kills.length > 0);
    assert.equal(restarts.length, kills.length);
    const resumed = [...stderr.matchAll(/resumed at epoch \d, step ([\d,]+)/g)].map(([, n]) =>
      Number(n.replace(',', '')),
    );
    for (const [i, { step, lostMs }] of kills.entries()) {
      assert.ok(resumed[i] >= step, `went on from step ${resumed[i]} while a checkpoint of ${step} was kept`);
      // An interval at most; as much again for a machine that has other work.
      assert.ok(lostMs <= 2 * everyMs, `a kill lost ${lostMs} ms of work`);
    }
    t.diagnostic(`${kills.length} ranks killed, each named`);
    t.diagnostic(`lost by each, ms: ${kills.map(({ lostMs }) => lostMs.toFixed(0)).join(' ')}`);
    t.diagnostic(`done again, steps (s): ${restarts.map((r) => `${r.steps} (${r.seconds.toFixed(2)})`).join(' ')}`);
  });

  it(`goes on with --resume when the whole job is killed, ${KILLS} times`, async (t) => {
    const random = new Random(KILLS, 2);
    const words = [...TRAIN, '--models', 'job', '--hosts', 'localhost:2'];
    let killed = 0;
    for (let attempt = 0; attempt < KILLS; attempt++) {
      const resume = readdirSync(join(folder.path)).includes('job') ? ['--resume'] : [];
      const run: Running = start([...words, ...resume], folder.path);
      // From the first checkpoint on there is something to go on from.
      const going = attempt === 0 ? run.printed(/^epoch 1: /m, 'stderr') : sleep(400 + random.below(1200));
      const ended = await Promise.race([run.ended.then(() => true), Promise.resolve(going).then(() => false)]);
      if (ended) break;
      for (const pid of [run.child.pid!, ...processesOf('job')]) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It went with another one.
        }
      }
      killed++;
      await run.ended;
      while (processesOf('job').length > 0) await sleep(20);
    }
    t.diagnostic(`the job was killed ${killed} times`);
    assert.ok(killed > 0);
    const rest = await answer<Trained>([...words, '--resume'], folder.path);
    assert.equal(rest.weightsHash, whole.weightsHash);
    assert.ok(rest.sequences < whole.sequences, 'it went on, it did not start again');
  });

  it('stops in order on Ctrl-C, and a checkpoint of another training is named and left alone', async () => {
    const words = [...TRAIN, '--models', 'stopped', '--hosts', 'localhost:2'];
    const run = start(words, folder.path);
    await run.printed(/^epoch 2: /m, 'stderr');
    run.child.kill('SIGINT');
    const { status, stderr } = await run.ended;
    assert.equal(status, 1, stderr);
    assert.match(stderr, /^BARCAST_E_INTERRUPTED: .*; run the same command again to go on$/m);
    const kept = join(folder.path, 'stopped', 'm');
    const [name] = readdirSync(kept);
    const before = readFileSync(join(kept, name));
    const resume = ['--models', 'stopped', '--resume'];
    await refused(
      [...TRAIN, '--epochs', '31', ...resume],
      folder.path,
      'BARCAST_E_CHECKPOINT',
      /is of another one: its epochs is \d+, not 31/,
    );
    assert.deepEqual(readFileSync(join(kept, name)), before);
    truncateSync(join(kept, name), before.length - 100);
    await refused([...TRAIN, ...resume], folder.path, 'BARCAST_E_CHECKPOINT', /cannot be read/);
    assert.deepEqual(readFileSync(join(kept, name)), before.subarray(0, -100));
  });

  it('refuses hosts that are none, are named twice, or cannot be reached', async () => {
    await refused([...TRAIN, '--hosts', 'a b'], folder.path, 'BARCAST_E_USAGE', /'a b' is not a host/);
    await refused([...TRAIN, '--hosts', 'a,a'], folder.path, 'BARCAST_E_USAGE', /named twice/);
    await refused(
      [...TRAIN, '--hosts', 'localhost,nowhere.invalid'],
      folder.path,
      'BARCAST_E_HOST',
      /nowhere\.invalid/,
    );
    assert.ok(!readdirSync(folder.path).includes('models'), 'nothing was written');
  });
});
