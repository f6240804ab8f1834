import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { alpacaSource } from '../../../src/sources/index.ts';
import { AlpacaServer, barOf, Collector, keyOf, M0, PACE, pushed, TestClock } from './support.ts';

afterEach(() => Collector.stopAll());

const SYMBOLS = ['AAPL', 'BRK-B'];
const both = (minutes: number) => SYMBOLS.map((symbol) => barOf(symbol, M0 + minutes));
const keys = (minutes: readonly number[]) => minutes.flatMap((m) => both(m).map(keyOf));

test('bars as they are pushed; the minute that ran at the start is backfilled, and goes first', async (t) => {
  const server = await AlpacaServer.start(t);
  const clock = new TestClock();
  server.past = both(0);
  const collector = new Collector((signal) => alpacaSource({ ...server.options, clock }).live(SYMBOLS, signal));
  await server.notices.connected(1);
  assert.deepEqual(server.subscriptions[0], { bars: ['AAPL', 'BRK.B'] });
  // Pushed for the minute of which the connection saw a part, and before the backfill could be asked for.
  server.push(...both(0).map((bar) => pushed({ ...bar, close: 1 })));
  clock.set(1, 4);
  server.push(...both(1).map(pushed));
  clock.set(2, 6);
  server.push(
    ...both(2).map(pushed),
    { T: 'q', S: 'AAPL' },
    { T: 'b', S: 'AAPL', t: '2020-01-02T22:00:00Z', o: 1, h: 1, l: 1, c: 1, v: 1 },
  );
  await collector.until((bars) => bars.length >= 6);
  assert.deepEqual(collector.keys, keys([0, 1, 2]));
  collector.stop.abort();
  await collector.done;
  assert.equal(server.requests.length, 1);
});

test('a connection that breaks is made again, and what it missed is asked for, page by page', async (t) => {
  const server = await AlpacaServer.start(t);
  const clock = new TestClock();
  server.past = [0, 1, 2, 3, 4, 5].flatMap(both);
  const source = alpacaSource({ ...server.options, clock });
  const collector = new Collector((signal) => source.live(SYMBOLS, signal));
  await server.notices.connected(1);
  clock.set(2, 10);
  server.push(...both(1).map(pushed));
  await collector.until((bars) => bars.length >= 4);
  server.drop();
  await server.notices.connected(2);
  // The second connection sees minute 3 whole; minute 2 is backfilled once it has ended.
  clock.set(4, 10);
  server.push(...both(3).map(pushed));
  await collector.until((bars) => bars.length >= 8);
  server.drop();
  clock.set(6, 0);
  await server.notices.connected(3);
  clock.set(7, 30);
  server.past.push(...both(6));
  await collector.until((bars) => bars.length >= 14);
  assert.deepEqual(collector.keys, keys([0, 1, 2, 3, 4, 5, 6]));
  assert.ok(server.requests.some((query) => query.includes('page_token=3')));
  // Stopped and started again it goes on where it was.
  collector.stop.abort();
  await collector.done;
  server.past.push(...both(7), ...both(8));
  clock.set(8, 0);
  const again = new Collector((signal) => source.live(SYMBOLS, signal));
  await server.notices.connected(4);
  clock.set(9, 20);
  await again.until((bars) => bars.length >= 4);
  assert.deepEqual(again.keys, keys([7, 8]));
  again.stop.abort();
});

test('bars are built of trades, with corrections and cancels, by the rules of their conditions', async (t) => {
  const server = await AlpacaServer.start(t);
  const clock = new TestClock();
  const source = alpacaSource({ ...server.options, clock, take: 'trades' });
  const collector = new Collector((signal) => source.live(['AAPL'], signal));
  await server.notices.connected(1);
  assert.deepEqual(server.subscriptions[0], { trades: ['AAPL'] });
  let id = 0;
  const trade = (seconds: number, p: number, s: number, c: string[] = ['@']) => {
    const t = new Date((M0 + 1) * 60_000 + seconds * 1000).toISOString();
    return { T: 't', S: 'AAPL', i: ++id, x: 'V', p, s, c, t, z: 'C' };
  };
  clock.set(1, 50);
  server.push(trade(1, 100, 10), trade(2, 105, 10), trade(3, 200, 3, ['@', 'I']), trade(0, 99, 5));
  server.push(trade(30, 90, 100), trade(40, 101, 20));
  server.push({ T: 'x', S: 'AAPL', i: 5, x: 'V', p: 90, s: 100, a: 'C', t: '2020-01-02T15:01:45Z', z: 'C' });
  server.push({
    T: 'c',
    S: 'AAPL',
    x: 'V',
    oi: 2,
    op: 105,
    os: 10,
    oc: ['@'],
    ci: 7,
    cp: 103,
    cs: 10,
    cc: ['@'],
    t: '2020-01-02T15:01:46Z',
    z: 'C',
  });
  server.push(trade(61, 77, 1));
  await server.settled();
  clock.set(2, 1.9);
  server.push(trade(5, 98, 1));
  await server.settled();
  clock.set(2, 6);
  await collector.until((bars) => bars.length >= 1);
  assert.deepEqual(collector.bars, [
    {
      symbol: 'AAPL',
      minute: M0 + 1,
      open: 99,
      high: 103,
      low: 98,
      close: 101,
      volume: 49,
      tradeCount: 6,
      vwap: (100 * 10 + 103 * 10 + 99 * 5 + 101 * 20 + 98) / 46,
    },
  ]);
  collector.stop.abort();
});

test('keys that are missing or refused, and addresses where nobody answers, are told', async (t) => {
  const server = await AlpacaServer.start(t);
  const clock = new TestClock();
  const fails = (options: object, code: string, says: RegExp) =>
    assert.rejects(
      new Collector((signal) => alpacaSource({ ...server.options, clock, ...options }).live(SYMBOLS, signal)).done,
      (error: Error & { code?: string }) => {
        assert.equal(error.code, code);
        assert.match(error.message, says);
        return true;
      },
    );
  await fails({ secret: 'wrong' }, 'BARCAST_E_USAGE', /auth failed \(402\)/);
  server.refuse = { code: 406, msg: 'connection limit exceeded' };
  await fails({}, 'BARCAST_E_NETWORK', /connection limit exceeded \(406\)/);
  await fails({ streamUrl: 'ws://127.0.0.1:9/v2' }, 'BARCAST_E_NETWORK', /cannot be reached/);
  const { APCA_API_KEY_ID, ...rest } = process.env;
  const kept = process.env;
  process.env = rest;
  try {
    assert.throws(() => alpacaSource({}), { code: 'BARCAST_E_USAGE' });
  } finally {
    process.env = kept;
  }
  assert.equal(APCA_API_KEY_ID, kept.APCA_API_KEY_ID);
});

test('a backfill that fails is tried again with another connection; nothing is lost', async (t) => {
  const server = await AlpacaServer.start(t);
  const clock = new TestClock();
  server.past = [0, 1, 2, 3].flatMap(both);
  server.restStatus = 500;
  const collector = new Collector((signal) => alpacaSource({ ...server.options, clock }).live(SYMBOLS, signal));
  await server.notices.connected(1);
  clock.set(1, 10);
  await server.notices.connected(2);
  clock.set(2, 10);
  await server.notices.connected(3);
  server.restStatus = 200;
  clock.set(4, 10);
  await collector.until((bars) => bars.length >= 6);
  assert.deepEqual(collector.keys.slice(0, 6), keys([0, 1, 2]));
  collector.stop.abort();
});

test('a message that is no JSON, and a bar without its fields, end the source with what is wrong', async (t) => {
  for (const bad of [
    { T: 'b', S: 'AAPL', t: '2020-01-02T15:00:00Z', o: 1 },
    { T: 'b', S: '???' },
  ]) {
    const server = await AlpacaServer.start(t);
    const collector = new Collector((signal) =>
      alpacaSource({ ...server.options, clock: new TestClock() }).live(SYMBOLS, signal),
    );
    await server.notices.connected(1);
    server.push(bad);
    await assert.rejects(collector.done, { code: 'BARCAST_E_SOURCE_FORMAT' });
  }
});

test('silence in a session ends the connection, and another one is made', async (t) => {
  const server = await AlpacaServer.start(t);
  const clock = new TestClock();
  const source = alpacaSource({ ...server.options, clock, pace: { ...PACE, silenceMs: 30 } });
  const collector = new Collector((signal) => source.live(SYMBOLS, signal));
  await server.notices.connected(3);
  assert.ok(server.connections >= 3);
  collector.stop.abort();
  await collector.done;
});
