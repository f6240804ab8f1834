/** Several processes over a real nats-server: a feed, forecasters that come and die, a node that only answers. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { EpochMs } from '../../src/base/index.ts';
import { startExchange } from '../../src/sources/index.ts';
import { type Forecast, type NatsBus, natsBus } from '../../src/stream/index.ts';
import { NatsServer } from '../stream/nats-server.ts';
import { bytesOf } from '../stream/sensitive-model.ts';
import { published } from '../stream/shared-support.ts';
import { answer, type Running, refused, start, temporaryFolder } from './support.ts';

const SYMBOLS = ['AAPL', 'BRK-B', 'IBM', 'KO', 'XOM'];
const RANGE = ['--from', '2025-03-14T13:30:00Z', '--to', '2025-03-14T15:30:00Z'];

describe('a market over a bus of several processes', () => {
  const folder = temporaryFolder();
  const call = <T>(...args: string[]) => answer<T>(args, folder.path);
  let server: NatsServer;
  let bus: NatsBus;
  const nodes: Running[] = [];
  before(async () => {
    server = await NatsServer.start(`${folder.path}/nats`);
    bus = await natsBus({ url: server.url });
    const now = Date.parse('2025-03-14T20:30:00Z') as EpochMs;
    const exchange = await startExchange({ port: 0, seed: 7, symbols: SYMBOLS, now });
    const from = ['--from', '2025-03-12'];
    await call('ingest', '--source', 'yahoo', '--yahoo-url', exchange.url, '--symbols', SYMBOLS.join(','), ...from);
    await exchange.close();
    await call('train', '--name', 'm', '--epochs', '1', '--to', '2025-03-13');
  });
  after(async () => {
    for (const { child } of nodes) child.kill('SIGKILL');
    await bus.close();
    await server.kill();
    folder.remove();
  });

  const node = async (...args: string[]) => {
    const running = start(['serve', '--model', 'm', '--port', '0', '--json', ...args], folder.path);
    nodes.push(running);
    const { url } = JSON.parse(await running.printed(/\n/)) as { url: string };
    return { ...running, url };
  };
  const get = async (url: string) => (await fetch(url)).json() as Promise<Record<string, never>>;
  const feed = (...args: string[]) =>
    call<{ bars: number }>('feed', '--source', 'replay', '--bus', server.url, '--speed', '1000000', ...args);

  it('gives the forecasts of a replay, byte for byte, whichever process made them', async () => {
    const replay = await call<{ forecasts: Forecast[] }>('replay', 'm', ...RANGE);
    assert.ok(replay.forecasts.length > 200, `${replay.forecasts.length}`);
    const onBus = ['--source', 'bus', '--bus', server.url];
    const [first] = await Promise.all([node(...onBus), node(...onBus)]);
    const api = await node(...onBus, '--part', 'api');
    const half = '2025-03-14T14:45:00Z';
    await feed('--from', RANGE[1], '--to', half);
    first.child.kill('SIGKILL');
    // Repeats what was fed: harmless.
    const { bars } = await feed(...RANGE);
    assert.ok(bars > 500, `${bars}`);
    const found = await published(bus, 'forecasts', replay.forecasts.length);
    assert.deepEqual(bytesOf(found), bytesOf(replay.forecasts));

    const late = await node(...onBus, '--part', 'api');
    for (const { url } of [api, late]) {
      let shown: Forecast[] = [];
      while (shown[0]?.asOf !== '2025-03-14T15:30:00.000Z') {
        await new Promise((resolve) => setTimeout(resolve, 100));
        shown = (await get(`${url}/api/v1/predictions`)).predictions ?? [];
      }
      const latest = replay.forecasts.filter(({ asOf }) => asOf === shown[0].asOf);
      assert.deepEqual(bytesOf(shown.filter(({ asOf }) => asOf === latest[0].asOf)), bytesOf(latest));
    }
  });

  it('ends with status 0 when it is told to', async () => {
    const last = nodes.at(-1)!;
    last.child.kill('SIGTERM');
    const { status, stderr } = await last.ended;
    assert.equal(status, 0, stderr);
  });

  it('says what is wrong with a bus', async () => {
    const serve = ['serve', '--model', 'm', '--port', '0'];
    await refused([...serve, '--source', 'bus'], folder.path, 'BARCAST_E_USAGE', /--bus/);
    await refused([...serve, '--bus', 'redis://x'], folder.path, 'BARCAST_E_USAGE', /no address of a bus/);
    const nobody = 'nats://127.0.0.1:1';
    await refused(['feed', '--symbols', 'KO', '--bus', nobody], folder.path, 'BARCAST_E_NETWORK', /no NATS server/);
  });
});
