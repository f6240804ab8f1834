/** `barcast train --hosts` over hosts with a network between them: slow and lossy links, cut links, silent ranks. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { EpochMs } from '../../src/base/index.ts';
import { type Exchange, startExchange } from '../../src/sources/index.ts';
import { type Hosts, makeHosts, whyNoHosts } from './namespaces.ts';
import { ranksOf } from './processes.ts';
import { answer, start, temporaryFolder } from './support.ts';

const SYMBOLS = ['SPY', 'AAPL', 'KO', 'XOM'];
const TRAIN = [
  'train',
  '--seed',
  '3',
  '--patience',
  '0',
  '--name',
  'm',
  '--batch',
  '96',
  '--epochs',
  '60',
  '--checkpoint-every',
  '0.5',
];

interface Trained {
  readonly weightsHash: string;
  readonly ranks: number;
}

const reason = whyNoHosts();

describe('a training over several hosts', { skip: reason ?? false }, () => {
  const folder = temporaryFolder();
  let exchange: Exchange;
  let hosts: Hosts;
  let whole: Trained;
  before(async () => {
    const now = Date.parse('2025-03-14T20:30:00Z') as EpochMs;
    exchange = await startExchange({ port: 0, seed: 2, symbols: SYMBOLS, now });
    const from = ['--yahoo-url', exchange.url, '--symbols', SYMBOLS.join(','), '--from', '2025-03-12'];
    await answer(['ingest', '--source', 'yahoo', ...from], folder.path);
    whole = await answer<Trained>([...TRAIN, '--models', 'whole'], folder.path);
    hosts = makeHosts(3);
    Object.assign(process.env, hosts.environment);
  });
  after(async () => {
    for (const name of Object.keys(hosts.environment)) delete process.env[name];
    hosts.close();
    await exchange.close();
    folder.remove();
  });

  it('has the bits of one process, over slow links that lose packets', async (t) => {
    const netem = hosts.names
      .map((_, host) => hosts.shape(host, 'netem', 'delay', '1ms', 'loss', '0.5%'))
      .every(Boolean);
    // Without that module a queue shorter than a burst delays and drops.
    const queue = () =>
      hosts.names.map((_, host) => hosts.shape(host, 'tbf', 'rate', '200mbit', 'burst', '8k', 'limit', '24k'));
    t.diagnostic(netem ? 'tc netem: 1 ms, 0.5% loss' : `tc tbf, as this kernel has no netem: ${queue()}`);
    const short = [...TRAIN, '--epochs', '2'];
    const one = await answer<Trained>([...short, '--models', 'short'], folder.path);
    const many = await answer<Trained>([...short, '--models', 'slow', '--hosts', hosts.names.join(',')], folder.path);
    assert.deepEqual([many.ranks, many.weightsHash], [3, one.weightsHash]);
    for (const host of hosts.names.keys()) hosts.shape(host, 'pfifo_fast');
  });

  it('names a host that is cut off, goes on without it, and takes it in again', async (t) => {
    const run = start([...TRAIN, '--models', 'cut', '--hosts', hosts.names.join(','), '--json'], folder.path);
    await run.printed(/^epoch 2: /m, 'stderr');
    hosts.link(1, 'down');
    const cutAt = performance.now();
    const lost = new RegExp(`^rank 1 on ${hosts.names[1]} has been silent for \\d+ s; the job starts again`, 'm');
    await run.printed(lost, 'stderr');
    const namedAfter = (performance.now() - cutAt) / 1000;
    t.diagnostic(`named after ${namedAfter.toFixed(1)} s`);
    assert.ok(namedAfter < 10);
    await run.printed(
      new RegExp(`^on ${hosts.names[0]}, ${hosts.names[2]}, without ${hosts.names[1]}$`, 'm'),
      'stderr',
    );
    await run.printed(/without [\d.]+\n(.*\n)*resumed at epoch/, 'stderr');
    hosts.link(1, 'up');
    await run.printed(new RegExp(`^${hosts.names[1]} can be reached again`, 'm'), 'stderr');
    await run.printed(new RegExp(`^on ${hosts.names.join(', ')}$`, 'm'), 'stderr');
    const { status, stdout, stderr } = await run.ended;
    assert.equal(status, 0, stderr);
    const trained = JSON.parse(stdout) as Trained;
    assert.deepEqual([trained.ranks, trained.weightsHash], [3, whole.weightsHash]);
  });

  it('names a rank that is silent', async (t) => {
    const [first, second] = hosts.names;
    const run = start([...TRAIN, '--models', 'silent', '--hosts', `${first},${second}`, '--json'], folder.path);
    await run.printed(/^epoch 2: /m, 'stderr');
    const rank = ranksOf('silent').find(({ rank }) => rank === 1)!;
    process.kill(rank.pid, 'SIGSTOP');
    const stoppedAt = performance.now();
    await run.printed(new RegExp(`^rank 1 on ${second} has been silent for \\d+ s`, 'm'), 'stderr');
    const namedAfter = (performance.now() - stoppedAt) / 1000;
    t.diagnostic(`named after ${namedAfter.toFixed(1)} s`);
    assert.ok(namedAfter < 10);
    const { status, stdout, stderr } = await run.ended;
    assert.equal(status, 0, stderr);
    assert.equal((JSON.parse(stdout) as Trained).weightsHash, whole.weightsHash);
    assert.deepEqual(ranksOf('silent'), [], 'a rank is left behind');
  });
});
