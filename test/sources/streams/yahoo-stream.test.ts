import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { Bar } from '../../../src/bars/index.ts';
import { decodePricingData, type HistorySource, yahooStreamSource } from '../../../src/sources/index.ts';
import { barOf, Collector, encodePricingData, keyOf, M0, Notices, PACE, QuoteServer, TestClock } from './support.ts';

afterEach(() => Collector.stopAll());

/** A source of history over bars at hand. */
function historyOf(past: Bar[], clock: TestClock): HistorySource {
  return {
    name: 'past',
    clock,
    async *history({ symbols, from, to }) {
      for (const symbol of symbols) {
        const own = past.filter((bar) => bar.symbol === symbol && bar.minute >= from && bar.minute < to);
        const column = (field: 'open' | 'high' | 'low' | 'close' | 'volume') =>
          Float64Array.from(own, (bar) => bar[field]);
        yield {
          symbol,
          askedAt: clock.now(),
          timeMs: Float64Array.from(own, (bar) => bar.minute * 60_000),
          open: column('open'),
          high: column('high'),
          low: column('low'),
          close: column('close'),
          volume: column('volume'),
        };
      }
      return { unknown: [], failed: symbols.includes('MSFT') ? [{ symbol: 'MSFT', reason: 'HTTP 500' }] : [] };
    },
  } as HistorySource;
}

test('a message as Yahoo sent it, and messages of our own', () => {
  const sent = 'CgVLUlc9WBWFW6hEGJCgpJ7wYyoDQ0NZMA44AUVwq7G+ZQAVlsC9AYVbqETNAYV7qETYAQg=';
  assert.deepEqual(decodePricingData(Buffer.from(sent, 'base64')), {
    id: 'KRW=X',
    price: 1346.86,
    timeMs: Date.parse('2024-05-16T14:53:09Z'),
    marketHours: 1,
    dayVolume: Number.NaN,
  });
  for (const [price, volume] of [
    [127.35, 81_234_567],
    [0.0123, 0],
    [412_345.5, 12],
    [1e-4, 2 ** 40],
  ]) {
    const quote = decodePricingData(encodePricingData('BRK-B', 1_577_977_200_123, price, volume));
    assert.deepEqual(quote, { id: 'BRK-B', price, timeMs: 1_577_977_200_123, marketHours: 1, dayVolume: volume });
  }
});

test('bytes that are cut off or foreign are no message', () => {
  const whole = encodePricingData('AAPL', 1_577_977_200_123, 100, 5);
  for (let length = 0; length < 6; length++) assert.throws(() => decodePricingData(whole.subarray(0, length)));
  assert.throws(() => decodePricingData(Buffer.from('ffffffffffffffffffffffff', 'hex')), /without its end/);
  assert.throws(() => decodePricingData(Buffer.from('not base64 of anything')));
});

test('quotes become bars: volume is what the day gained; the first minute and every hole come from history', async (t) => {
  const server = await QuoteServer.start(t);
  const clock = new TestClock();
  const past = [0, 1, 2, 3, 4].map((m) => barOf('AAPL', M0 + m));
  const notices = new Notices();
  const options = { streamUrl: server.url, history: historyOf(past, clock), clock, pace: PACE };
  const source = yahooStreamSource({ ...options, notice: notices.take });
  const collector = new Collector((signal) => source.live(['AAPL', 'MSFT'], signal));
  await notices.connected(1);
  await server.connected();
  assert.equal(server.asked[0], '{"subscribe":["AAPL","MSFT"]}');
  const at = (minutes: number, seconds: number) => (M0 + minutes) * 60_000 + seconds * 1000;
  clock.set(1, 50);
  server.quote('AAPL', at(0, 59), 100, 5000);
  server.quote('AAPL', at(1, 1), 100.5, 5100);
  server.quote('AAPL', at(1, 20), 102.25, 5150, false);
  server.quote('MSFT', at(1, 30), 300, 900);
  server.quote('AAPL', at(1, 40), 101, 5150);
  await server.settled();
  clock.set(2, 6);
  await collector.until((bars) => bars.length >= 3);
  const built = { symbol: 'AAPL', minute: M0 + 1, open: 100.5, high: 102.25, low: 100.5, close: 101, volume: 150 };
  assert.deepEqual(collector.bars[0], past[0]);
  assert.deepEqual(
    collector.bars.slice(1).sort((a, b) => (a.symbol < b.symbol ? -1 : 1)),
    [built, { symbol: 'MSFT', minute: M0 + 1, open: 300, high: 300, low: 300, close: 300, volume: 0 }],
  );
  assert.ok(notices.lines.some((line) => /MSFT has a gap from 2020-01-02T15:00.* HTTP 500/.test(line)));
  // It is asked again and again to keep sending.
  await server.askedAgain(3);
  clock.set(4, 30);
  server.drop();
  await notices.connected(2);
  clock.set(5, 30);
  await collector.until((bars) => bars.length >= 6);
  assert.deepEqual(collector.keys.slice(3), [past[2], past[3], past[4]].map(keyOf));
  collector.stop.abort();
  await collector.done;
});

test('a stream where nobody answers, and one that sends what is no quote, are told', async (t) => {
  const clock = new TestClock();
  const server = await QuoteServer.start(t);
  const history = historyOf([], clock);
  const nobody = yahooStreamSource({ streamUrl: 'ws://127.0.0.1:9', history, clock, pace: PACE });
  await assert.rejects(new Collector((signal) => nobody.live(['A'], signal)).done, { code: 'BARCAST_E_NETWORK' });
  const source = yahooStreamSource({ streamUrl: server.url, history, clock, pace: PACE });
  const collector = new Collector((signal) => source.live(['A'], signal));
  await server.connected();
  for (const socket of server.sockets) socket.send('{"type":"pricing","message":"////"}');
  await assert.rejects(collector.done, { code: 'BARCAST_E_SOURCE_FORMAT' });
});
