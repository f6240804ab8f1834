/** Live bars that are stored: whole, once, below what an ingest brings, and whatever happens to the store meanwhile. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sessionAt } from '../../src/bars/index.ts';
import { silentProgress } from '../../src/base/index.ts';
import { alpacaSource, ingestHistory, startExchange, storedLive, yahooSource } from '../../src/sources/index.ts';
import { openReader, openStore, type RawBars } from '../../src/store/index.ts';
import { temporaryFolder } from '../store/support.ts';
import { AlpacaServer, barOf, Collector, M0, pushed, TestClock } from './streams/support.ts';
import { exchangeFor, minuteOf, NOW } from './yahoo-fixtures.ts';

afterEach(() => Collector.stopAll());

const FROM = minuteOf('2025-11-14T14:30Z');
const SYMBOLS = ['SPY', 'MSFT', 'AAPL'];

async function storedIn(data: string): Promise<string[]> {
  const reader = await openReader(data);
  try {
    const { symbols, offsets, minute, close, volume } = await reader.read();
    return symbols.flatMap((symbol, s) =>
      Array.from(minute.subarray(offsets[s], offsets[s + 1]), (m, i) => {
        const row = offsets[s]! + i;
        return `${symbol} ${m} ${close[row]} ${volume[row]}`;
      }),
    );
  } finally {
    reader.close();
  }
}

const day = (url: string, data: string) =>
  ingestHistory({
    source: yahooSource({ url }),
    symbols: SYMBOLS,
    from: FROM,
    to: minuteOf('2025-11-14T21:00Z'),
    data,
    progress: silentProgress,
  });

test('bars of the chart API are stored as they came; the ingest after the session adds the rest and corrects nothing', async (t) => {
  const data = temporaryFolder(t);
  const exchange = await exchangeFor(t, { speed: 240 });
  const liveFrom = minuteOf('2025-11-14T20:10Z');
  const source = storedLive(yahooSource({ url: exchange.url, liveFrom }), { data, commitEveryMs: 300 });
  const collector = new Collector((signal) => source.live(SYMBOLS, signal));
  await collector.until((bars) => SYMBOLS.every((symbol) => bars.filter((bar) => bar.symbol === symbol).length > 25));
  collector.stop.abort();
  await collector.done;
  await source.close();
  const expected = collector.bars.map(({ symbol, minute, close, volume }) => `${symbol} ${minute} ${close} ${volume}`);
  assert.deepEqual((await storedIn(data)).sort(), expected.sort());
  assert.equal(source.stored, expected.length);
  for (const { symbol, minute, close } of collector.bars) {
    const session = sessionAt(minute)!;
    assert.equal(close, exchange.market.day(symbol, session).close[minute - session.open]);
  }
  const later = await startExchange({
    port: 0,
    seed: exchange.market.seed,
    symbols: SYMBOLS,
    now: (NOW + 3_600_000) as typeof NOW,
  });
  t.after(() => later.close());
  const answer = await day(later.url, data);
  assert.deepEqual([answer.revisions, answer.alreadyStored, answer.daysHeld], [0, expected.length, 0]);
  const clean = temporaryFolder(t);
  await day(later.url, clean);
  assert.deepEqual(await storedIn(data), await storedIn(clean));
});

test('a kill before the commit costs nothing that the next ingest does not bring', async (t) => {
  const data = temporaryFolder(t);
  const exchange = await exchangeFor(t, { speed: 240 });
  const source = storedLive(yahooSource({ url: exchange.url }), { data, commitEveryMs: 600_000 });
  const collector = new Collector((signal) => source.live(SYMBOLS, signal));
  await collector.until((bars) => bars.length > 10);
  collector.stop.abort();
  await collector.done;
  await assert.rejects(openReader(data), { code: 'BARCAST_E_STORE_EMPTY' });
  const later = await startExchange({
    port: 0,
    seed: exchange.market.seed,
    symbols: SYMBOLS,
    now: (NOW + 3_600_000) as typeof NOW,
  });
  t.after(() => later.close());
  const answer = await day(later.url, data);
  assert.equal(
    answer.rowsStored,
    SYMBOLS.reduce(
      (sum, symbol) => sum + exchange.market.day(symbol, sessionAt(FROM)!).traded.reduce((a, b) => a + b, 0),
      0,
    ),
  );
});

const settled = (symbol: string, minutes: readonly number[], close: number): RawBars => ({
  symbol,
  timeMs: Float64Array.from(minutes, (minute) => (M0 + minute) * 60_000),
  open: Float64Array.from(minutes, () => close),
  high: Float64Array.from(minutes, () => close),
  low: Float64Array.from(minutes, () => close),
  close: Float64Array.from(minutes, () => close),
  volume: Float64Array.from(minutes, () => 1),
  askedAt: NOW,
});

test('what was ingested stands, what is ingested later replaces live bars, and a gap is filled', async (t) => {
  const data = temporaryFolder(t);
  const before = await openStore(data);
  const ingested = await before.begin();
  await ingested.addBars(settled('AAPL', [1], 55));
  await ingested.commit();
  before.close();
  const server = await AlpacaServer.start(t);
  const clock = new TestClock();
  server.past = [0, 1, 2, 3].map((minute) => barOf('AAPL', M0 + minute));
  const source = storedLive(alpacaSource({ ...server.options, clock }), { data, commitEveryMs: 20 });
  const collector = new Collector((signal) => source.live(['AAPL'], signal));
  await server.notices.connected(1);
  clock.set(2, 10);
  server.push({ ...pushed(barOf('AAPL', M0 + 1)), n: 5, vw: 101.25 });
  await collector.until((bars) => bars.length >= 2);
  server.drop();
  await server.notices.connected(2);
  clock.set(5, 10);
  server.push(pushed(barOf('AAPL', M0 + 3)), { ...pushed(barOf('AAPL', M0 + 4)), n: 7, vw: 102.5 });
  await collector.until((bars) => bars.length >= 5);
  collector.stop.abort();
  await collector.done;
  await source.close();
  const closes = async () => (await storedIn(data)).map((line) => line.split(' ').slice(1, 3).map(Number));
  const live = (minute: number) => [M0 + minute, barOf('AAPL', M0 + minute).close];
  assert.deepEqual(await closes(), [live(0), [M0 + 1, 55], live(2), live(3), live(4)]);
  const reader = await openReader(data);
  const { minute, tradeCount, vwap } = await reader.trades();
  // Of minute 1 another bar is stored: what Alpaca tells of its trades is not that bar's.
  assert.deepEqual([...minute], [M0, M0 + 2, M0 + 3, M0 + 4]);
  assert.deepEqual([...tradeCount], [10, 10, 10, 7]);
  assert.deepEqual([...vwap], [live(0)[1], live(2)[1], live(3)[1], 102.5]);
  reader.close();
  const after = await openStore(data);
  const backfill = await after.begin();
  await backfill.addBars(settled('AAPL', [0, 2], 66));
  assert.equal((await backfill.commit()).revisions, 2);
  after.close();
  assert.deepEqual(await closes(), [[M0, 66], [M0 + 1, 55], [M0 + 2, 66], live(3), live(4)]);
});

test('a store that cannot be written stops nothing; what waits is stored once it can be', async (t) => {
  const data = temporaryFolder(t);
  const server = await AlpacaServer.start(t);
  const clock = new TestClock();
  const told: string[] = [];
  const blocked = `${data}/blocked`;
  writeFileSync(blocked, 'a file where the folder should be');
  const tell = new EventTarget();
  const notice = (line: string) => {
    told.push(line);
    tell.dispatchEvent(new Event('line'));
  };
  const source = storedLive(alpacaSource({ ...server.options, clock }), { data: blocked, commitEveryMs: 20, notice });
  const collector = new Collector((signal) => source.live(['AAPL'], signal));
  await server.notices.connected(1);
  server.past = [barOf('AAPL', M0)];
  clock.set(2, 10);
  server.push(pushed(barOf('AAPL', M0 + 1)));
  if (told.length === 0) await once(tell, 'line');
  assert.match(told[0]!, /live bars cannot be stored for now: .*is not a folder/);
  await collector.until((bars) => bars.length >= 2);
  rmSync(blocked);
  mkdirSync(blocked);
  if (told.length === 1) await once(tell, 'line');
  assert.deepEqual(told.slice(1), [`live bars are stored in ${blocked} again`]);
  collector.stop.abort();
  await collector.done;
  await source.close();
  assert.equal((await storedIn(blocked)).length, 2);
});

test('commits of a session are merged when it has ended', async (t) => {
  const data = temporaryFolder(t);
  const server = await AlpacaServer.start(t);
  const clock = new TestClock();
  const source = storedLive(alpacaSource({ ...server.options, clock }), { data, commitEveryMs: 1 });
  const collector = new Collector((signal) => source.live(['AAPL'], signal));
  await server.notices.connected(1);
  server.past = [0, 1].map((minute) => barOf('AAPL', M0 + minute));
  const segments = () => (JSON.parse(readFileSync(`${data}/manifest.json`, 'utf8')) as { bars: unknown[] }).bars.length;
  /** A bar, and its commit. */
  const push = async (minute: number) => {
    const { stored } = source;
    clock.set(minute + 1, 10);
    server.push(pushed(barOf('AAPL', M0 + minute)));
    while (source.stored === stored) await sleep(5);
  };
  for (const minute of [2, 3, 4]) await push(minute);
  assert.ok(segments() >= 2);
  await push(sessionAt(M0)!.close - 1 - M0);
  while (segments() > 1) await sleep(5);
  collector.stop.abort();
  await collector.done;
  await source.close();
  const minutes = (await storedIn(data)).map((line) => Number(line.split(' ')[1]));
  assert.equal(new Set(minutes).size, minutes.length);
  assert.deepEqual(
    minutes.slice(-4),
    [2, 3, 4, sessionAt(M0)!.close - 1 - M0].map((minute) => M0 + minute),
  );
});
