import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type Bus, type NatsBus, natsBus } from '../../src/stream/index.ts';
import { encodeJson } from '../../src/stream/nats-wire.ts';
import { busConformance, closes, readerOf } from './bus-conformance.ts';
import { bar, OPEN } from './fixtures.ts';
import { natsServer } from './nats-server.ts';

async function open(t: TestContext) {
  const buses: Bus[] = [];
  t.after(() => Promise.all(buses.map((bus) => bus.close())));
  const server = await natsServer(t);
  const connect = async () => {
    const bus = await natsBus({ url: server.url });
    buses.push(bus);
    return bus;
  };
  return { server, bus: await connect(), connect };
}

busConformance('NATS', { open });

test('a repeat is stored once', async (t) => {
  const { bus } = await open(t);
  const next = readerOf(await bus.subscribe('bars', { name: 's' }));
  const minute = [bar('A', OPEN, 1), bar('B', OPEN, 2)];
  await bus.publish('bars', minute);
  await bus.publish('bars', minute);
  await bus.publish('bars', [bar('A', OPEN, 99), bar('A', OPEN + 1, 3)]);
  assert.deepEqual(closes((await next())!.items), [1, 2]);
  assert.deepEqual(closes((await next())!.items), [3], 'a corrected bar is a repeat: the first one stands');
});

test('several that publish at once, and repeat each other: every bar is stored once, in the order of its batch', async (t) => {
  const { bus, connect } = await open(t);
  const publishers = [bus, await connect(), await connect()];
  const symbols = Array.from({ length: 200 }, (_, s) => `S${s}`);
  const next = readerOf(await bus.subscribe('bars', { name: 's' }));
  const batch = (m: number) => symbols.map((symbol) => bar(symbol, OPEN + m, m + 1));
  // Minute m is published by publisher m % 3, and minutes 0 and 1 of every nine by the next one too.
  await Promise.all(
    publishers.map(async (publisher, p) => {
      for (let m = 0; m < 30; m++) if (m % 3 === p || (m % 9) + 1 === p) await publisher.publish('bars', batch(m));
    }),
  );
  const found = new Map<number, string[]>();
  for (let count = 0; count < 30 * symbols.length; ) {
    for (const { symbol, minute } of (await next())!.items) {
      found.set(minute - OPEN, [...(found.get(minute - OPEN) ?? []), symbol]);
      count++;
    }
  }
  for (let m = 0; m < 30; m++) assert.equal(new Set(found.get(m)).size, symbols.length, `minute ${m}`);
  for (let m = 2; m < 30; m += 3) assert.deepEqual(found.get(m), symbols, `minute ${m} in order`);
  await bus.publish('bars', [bar('END', OPEN + 60, 1)]);
  assert.deepEqual(closes((await next())!.items), [1], 'nothing came twice');
});

test('a message that the server refuses is told, and the rest of its batch is stored', async (t) => {
  const { bus } = await open(t);
  const { publisher } = bus as NatsBus;
  const message = (id: string, data = '{}') => ({ subject: `bars.${id}`, id, data });
  const batch = [message('A'), message('B', 'x'.repeat(5000)), message('C')];
  await assert.rejects(publisher.publish(batch), { code: 'BARCAST_E_BUS', message: /size/ });
  const stored = async () => (await (bus as NatsBus).nats.manager.streams.info('BARS')).state.messages;
  while ((await stored()) < 2) await new Promise((resolve) => setTimeout(resolve, 10));
  await assert.rejects(publisher.publish([message('D\r\nX: 1')]), { code: 'BARCAST_E_BUS' });
});

test('since a moment: what was published before the subscription comes first', async (t) => {
  const { bus, connect } = await open(t);
  await bus.publish('bars', [bar('A', OPEN, 1), bar('B', OPEN, 2)]);
  await bus.publish('bars', [bar('A', OPEN + 1, 3)]);
  const next = readerOf(await (await connect()).subscribe('bars', { name: 's', since: 0 as never }));
  assert.deepEqual(closes((await next())!.items), [1, 2]);
  assert.deepEqual(closes((await next())!.items), [3]);
});

test('JSON of others is read beside our records; a record of a newer version is passed over and told', async (t) => {
  const { server, bus } = await open(t);
  const told: string[] = [];
  const reader = await natsBus({ url: server.url, notice: (line) => told.push(line) });
  t.after(() => reader.close());
  const next = readerOf(await reader.subscribe('bars', { name: 's' }));
  const { connection } = (bus as NatsBus).nats;
  connection.publish('bars.A', encodeJson('bars', bar('A', OPEN, 1)));
  connection.publish('bars.A', Uint8Array.of(2, 0, 0, 0));
  connection.publish('bars.A', Uint8Array.of(2, 1, 1, 1));
  await connection.flush();
  await bus.publish('bars', [bar('A', OPEN + 1, 2), bar('B', OPEN + 1, 3)]);
  assert.deepEqual(closes((await next())!.items), [1, 2, 3]);
  assert.deepEqual(reader.refused, { unknownFormat: 2 });
  assert.deepEqual(told, ['messages of a newer barcast are passed over: update this one too']);
});

test('kill -9 of the server: publishers and subscribers go on by themselves, and nothing is lost or doubled', async (t) => {
  const { server, bus, connect } = await open(t);
  const other = await connect();
  const reading = readerOf(await other.subscribe('bars', { name: 's' }));
  const minutes = 60;
  const publishing = (async () => {
    for (let m = 0; m < minutes; m++)
      await bus.publish(
        'bars',
        Array.from({ length: 20 }, (_, s) => bar(`S${s}`, OPEN + m, 100 + m)),
      );
  })();
  const seen: string[] = [];
  let kills = 0;
  while (seen.length < 20 * minutes) {
    for (const it of (await reading())!.items) seen.push(`${it.symbol}@${it.minute - OPEN}`);
    if (kills < 2 && seen.length > 20 * 15 * (kills + 1)) {
      kills++;
      await server.kill('SIGKILL');
      await server.restart();
    }
  }
  await publishing;
  assert.equal(kills, 2);
  assert.equal(new Set(seen).size, seen.length, 'nothing came twice');
  const expected = Array.from({ length: minutes }, (_, m) => Array.from({ length: 20 }, (_, s) => `S${s}@${m}`));
  assert.deepEqual(seen, expected.flat());
});

test('says what is wrong with a bus that cannot be used', async (t) => {
  await assert.rejects(natsBus({ url: 'http://example.com' }), { code: 'BARCAST_E_USAGE' });
  await assert.rejects(natsBus({ url: 'nats://127.0.0.1:1' }), { code: 'BARCAST_E_NETWORK' });
  const guarded = await natsServer(t, ['--user', 'u', '--pass', 'p:@/']);
  const [host] = guarded.url.split('//').slice(1);
  await assert.rejects(natsBus({ url: `nats://u:wrong@${host}` }), { code: 'BARCAST_E_BUS' });
  await (await natsBus({ url: `nats://u:${encodeURIComponent('p:@/')}@${host}` })).close();
  const without = await natsServer(t, [], false);
  await assert.rejects(natsBus({ url: without.url }), { code: 'BARCAST_E_BUS', message: /no JetStream/ });
});

test('streams that somebody made are used as they are, unless they take other subjects', async (t) => {
  const { server, bus } = await open(t);
  const { manager } = (bus as NatsBus).nats;
  await manager.streams.update('BARS', { max_msgs: 5 });
  await (await natsBus({ url: server.url })).close();
  assert.equal((await manager.streams.info('BARS')).config.max_msgs, 5);
  await manager.streams.delete('SHADOW');
  await manager.streams.add({ name: 'SHADOW', subjects: ['other.>'] });
  await assert.rejects(natsBus({ url: server.url }), { code: 'BARCAST_E_BUS', message: /SHADOW.*other/ });
});
