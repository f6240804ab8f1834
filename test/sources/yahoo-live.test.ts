/** Live bars: complete ones only, each once and in order, whatever the source does in between. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type Bar, sessionAt } from '../../src/bars/index.ts';
import { epochMs } from '../../src/base/index.ts';
import { type Exchange, type LiveSource, parseFaults, yahooSource } from '../../src/sources/index.ts';
import { codeIs, collect, exchangeFor, HASTY, minuteOf, NOW, serverFor } from './yahoo-fixtures.ts';

const SYMBOLS = ['SPY', 'MSFT', 'AAPL'];

/** Follows until `enough` says so; every bar is checked against the exchange's market and clock as it comes. */
async function follow(
  exchange: Exchange,
  source: LiveSource,
  symbols: readonly string[],
  enough: (bars: ReadonlyMap<string, Bar[]>) => boolean,
): Promise<Map<string, Bar[]>> {
  const stop = new AbortController();
  const bars = new Map<string, Bar[]>();
  for await (const batch of source.live(symbols, stop.signal)) {
    assert.ok(batch.length > 0);
    for (const bar of batch) {
      assert.ok((bar.minute + 1) * 60_000 <= exchange.clock.now(), 'a bar comes after its end');
      const session = sessionAt(bar.minute)!;
      const path = exchange.market.day(bar.symbol, session);
      const t = bar.minute - session.open;
      const { symbol: _symbol, minute: _minute, ...values } = bar;
      assert.deepEqual(
        values,
        { open: path.open[t], high: path.high[t], low: path.low[t], close: path.close[t], volume: path.volume[t] },
        'a bar is the whole one',
      );
      const known = bars.get(bar.symbol) ?? [];
      assert.ok(known.length === 0 || bar.minute > known.at(-1)!.minute, 'each once, in order');
      known.push(bar);
      bars.set(bar.symbol, known);
    }
    if (enough(bars)) stop.abort();
  }
  return bars;
}

const everyoneHas =
  (count: number, symbols = SYMBOLS) =>
  (bars: ReadonlyMap<string, Bar[]>) =>
    symbols.every((symbol) => (bars.get(symbol)?.length ?? 0) >= count);
const minutesOf = (bars: readonly Bar[] | undefined) => (bars ?? []).map((bar) => bar.minute);
const inARow = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

/** Four market minutes a second. */
const fast = (t: TestContext, options = {}) => exchangeFor(t, { speed: 240, ...options });

test('every minute from the running one on, once, whole, for every symbol', async (t) => {
  const exchange = await fast(t);
  const source = yahooSource({ url: exchange.url });
  const bars = await follow(exchange, source, SYMBOLS, everyoneHas(4));
  const first = minuteOf('2025-11-14T20:30Z');
  for (const symbol of SYMBOLS) {
    const minutes = minutesOf(bars.get(symbol));
    assert.ok(minutes[0] >= first && minutes[0] <= first + 1, 'the running minute is the first');
    assert.deepEqual(minutes, inARow(minutes[0], minutes.length));
  }
});

test('liveFrom brings the minutes since then first; a second live goes on where the first ended', async (t) => {
  const exchange = await fast(t);
  const liveFrom = minuteOf('2025-11-14T20:00Z');
  const source = yahooSource({ url: exchange.url, liveFrom });
  const before = await follow(exchange, source, SYMBOLS, everyoneHas(31));
  const after = await follow(exchange, source, SYMBOLS, everyoneHas(1));
  for (const symbol of SYMBOLS) {
    const minutes = [...minutesOf(before.get(symbol)), ...minutesOf(after.get(symbol))];
    assert.deepEqual(minutes, inARow(liveFrom, minutes.length));
  }
});

test('live goes on where the history of the same source ended in this session', async (t) => {
  const exchange = await fast(t);
  const source = yahooSource({ url: exchange.url });
  const to = minuteOf('2025-11-14T20:10Z');
  await collect(source, ['SPY', 'MSFT'], minuteOf('2025-11-14T14:30Z'), to);
  await collect(source, ['AAPL'], minuteOf('2025-11-12T14:30Z'), minuteOf('2025-11-12T21:00Z'));
  const bars = await follow(exchange, source, SYMBOLS, everyoneHas(2));
  for (const symbol of ['SPY', 'MSFT']) assert.equal(bars.get(symbol)![0].minute, to);
  assert.ok(bars.get('AAPL')![0].minute >= minuteOf('2025-11-14T20:30Z'), 'a history of other days changes nothing');
});

for (const faults of [
  '429:0.3:0,429-bare:0.2',
  '500:0.3,malformed:0.3',
  'duplicate:0.5,slow:0.5:100',
  'partial:1,500:0.2,duplicate:0.2,slow:0.2:50',
]) {
  test(`no bar is lost, repeated or partial with faults ${faults}`, async (t) => {
    const exchange = await fast(t, { faults: parseFaults(faults) });
    const liveFrom = minuteOf('2025-11-14T20:25Z');
    const source = yahooSource({ url: exchange.url, liveFrom, patience: HASTY });
    const bars = await follow(exchange, source, SYMBOLS, everyoneHas(8));
    for (const symbol of SYMBOLS) {
      const minutes = minutesOf(bars.get(symbol));
      assert.deepEqual(minutes, inARow(liveFrom, minutes.length));
    }
  });
}

test('a minute whose values are null never comes, the ones around it do', async (t) => {
  const exchange = await fast(t, { faults: parseFaults('null:0.3:1000') });
  const liveFrom = minuteOf('2025-11-14T19:50Z');
  const source = yahooSource({ url: exchange.url, liveFrom, patience: HASTY });
  const bars = await follow(exchange, source, SYMBOLS, (seen) => everyoneHas(20)(seen));
  const distinct = new Set([...bars.values()].flat().map((bar) => bar.minute - liveFrom));
  assert.ok(distinct.size > 20);
  assert.ok(
    [...bars.values()].some((some) => some.at(-1)!.minute - some[0].minute + 1 > some.length),
    'some are missing',
  );
});

test('a symbol that never answers holds up nobody', async (t) => {
  const exchange = await fast(t);
  let hung = 0;
  const url = await serverFor(t, (request, response) => {
    if (request.url?.includes('/AAPL')) {
      hung++;
      return;
    }
    void fetch(`${exchange.url}${request.url}`).then(async (answer) =>
      response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text()),
    );
  });
  const source = yahooSource({ url, concurrency: 2 });
  const bars = await follow(exchange, source, SYMBOLS, everyoneHas(3, ['SPY', 'MSFT']));
  assert.ok(hung >= 1);
  assert.equal(bars.get('AAPL'), undefined);
});

test("over a close: the last minute comes, then the next session's first", async (t) => {
  const exchange = await exchangeFor(t, {
    now: epochMs(Date.parse('2025-11-14T20:58:30Z')),
    speed: 400,
    skipClosed: true,
  });
  const source = yahooSource({ url: exchange.url });
  const first = minuteOf('2025-11-14T20:58Z');
  const next = minuteOf('2025-11-17T14:30Z');
  const bars = await follow(exchange, source, SYMBOLS, everyoneHas(4));
  for (const symbol of SYMBOLS) {
    const minutes = minutesOf(bars.get(symbol));
    assert.deepEqual(minutes.slice(0, 4), [first, first + 1, next, next + 1]);
  }
});

test('unknown symbols are left out; none known is an error', async (t) => {
  const exchange = await fast(t);
  const source = yahooSource({ url: exchange.url });
  const bars = await follow(exchange, source, ['NOSUCH', 'SPY'], everyoneHas(2, ['SPY']));
  assert.deepEqual([...bars.keys()], ['SPY']);
  const none = yahooSource({ url: exchange.url });
  await assert.rejects(
    follow(exchange, none, ['NOSUCH', 'ZZZZ'], () => false),
    codeIs('BARCAST_E_SYMBOL'),
  );
});

test('nobody there: an error at once; an outage later is waited out', async (t) => {
  const exchange = await fast(t);
  let up = true;
  const url = await serverFor(t, (request, response) => {
    if (!up) return void response.destroy();
    void fetch(`${exchange.url}${request.url}`).then(async (answer) =>
      response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text()),
    );
  });
  const source = yahooSource({ url, patience: HASTY });
  let outages = 0;
  const bars = await follow(exchange, source, ['SPY'], (seen) => {
    const count = seen.get('SPY')?.length ?? 0;
    if (count >= 2 && outages === 0) {
      outages++;
      up = false;
      setTimeout(() => {
        up = true;
      }, 600);
    }
    return count >= 5;
  });
  const minutes = minutesOf(bars.get('SPY'));
  assert.deepEqual(minutes, inARow(minutes[0], minutes.length), 'the minutes of the outage came later');

  up = false;
  const unreachable = yahooSource({
    url,
    patience: HASTY,
    clock: { now: () => epochMs(NOW + 60_000) },
    liveFrom: minuteOf('2025-11-14T20:30Z'),
  });
  await assert.rejects(
    follow(exchange, unreachable, ['SPY'], () => false),
    codeIs('BARCAST_E_NETWORK'),
  );
});

test('an aborted live ends quietly, also while it waits', async (t) => {
  const exchange = await exchangeFor(t);
  const source = yahooSource({ url: exchange.url });
  const stop = new AbortController();
  const next = source.live(SYMBOLS, stop.signal).next();
  setTimeout(() => stop.abort(), 50);
  assert.deepEqual(await next, { done: true, value: undefined });
  assert.deepEqual(await source.live(SYMBOLS, AbortSignal.abort()).next(), { done: true, value: undefined });
});
