/** The simulated exchange as an HTTP server: Yahoo's answers and habits, its clock, its faults. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import YahooFinance from 'yahoo-finance2';
import { sessionOf } from '../../src/bars/index.ts';
import { type DayString, type EpochMs, epochMs } from '../../src/base/index.ts';
import { exchangeClock, type FaultKind, parseFaults, simulatedSource, startExchange } from '../../src/sources/index.ts';
import { codeIs, exchangeFor, minuteOf, NOW } from './yahoo-fixtures.ts';

const SECONDS = NOW / 1000;
interface Chart {
  chart: {
    error: null | { code: string; description: string };
    result:
      | null
      | {
          meta: Record<string, unknown>;
          timestamp?: number[];
          indicators: { quote: { [field: string]: (number | null)[] }[] };
        }[];
  };
}

async function ask(url: string, symbol: string, period1: number, period2: number, interval = '1m') {
  const response = await fetch(
    `${url}/v8/finance/chart/${symbol}?period1=${period1}&period2=${period2}&interval=${interval}&includePrePost=false`,
  );
  return { response, body: (await response.json()) as Chart };
}

test('yahoo-finance2 itself accepts the answers', async (t) => {
  const { url } = await exchangeFor(t);
  const yahoo = new YahooFinance({
    versionCheck: false,
    suppressNotices: ['yahooSurvey'],
    fetch: (input: string | URL | Request, init?: RequestInit) => {
      const { pathname, search } = new URL(input instanceof Request ? input.url : input);
      return fetch(`${url}${pathname}${search}`, init);
    },
  });
  const { meta, quotes } = await yahoo.chart('BRK.B', { period1: SECONDS - 3600, period2: SECONDS, interval: '1m' });
  assert.equal(meta.symbol, 'BRK-B');
  assert.equal(meta.exchangeTimezoneName, 'America/New_York');
  assert.equal(meta.gmtoffset, -5 * 3600);
  assert.equal(meta.dataGranularity, '1m');
  assert.equal(meta.regularMarketTime.toISOString(), '2025-11-14T20:30:20.000Z');
  assert.equal(meta.currentTradingPeriod.regular.start.toISOString(), '2025-11-14T14:30:00.000Z');
  assert.equal(meta.currentTradingPeriod.regular.end.toISOString(), '2025-11-14T21:00:00.000Z');
  assert.equal(quotes.length, 59);
  await assert.rejects(yahoo.chart('NOSUCH', { period1: SECONDS - 60, interval: '1m' }), /No data found/);
});

test('rows are stamped at the open, the first has volume 0, the running bar carries the present second', async (t) => {
  const { url, market } = await exchangeFor(t);
  const open = minuteOf('2025-11-14T14:30Z') * 60;
  const { body, response } = await ask(url, 'MSFT', open, SECONDS + 600);
  const { timestamp, indicators } = body.chart.result![0];
  const [quote] = indicators.quote;
  assert.equal(response.headers.get('x-market-speed'), '1');
  const told = Date.parse(response.headers.get('x-market-time')!);
  assert.ok(told >= NOW && told < NOW + 20_000);
  const running = Math.floor(told / 1000);
  assert.deepEqual(timestamp, [...Array.from({ length: 360 }, (_, t) => open + 60 * t), running]);
  const path = market.day('MSFT', sessionOf('2025-11-14' as DayString)!);
  assert.deepEqual(quote.close.slice(0, 360), [...path.close.subarray(0, 360)]);
  assert.equal(quote.volume[0], 0);
  assert.deepEqual(quote.volume.slice(1, 360), [...path.volume.subarray(1, 360)]);
  assert.ok(quote.volume[360]! < path.volume[360] && quote.volume[360]! > 0);
  assert.equal(quote.open[360], path.open[360]);
});

test('ranges are refused as Yahoo refuses them', async (t) => {
  const { url } = await exchangeFor(t);
  const day = 86_400;
  const cases = [
    ['NOSUCH', SECONDS - 60, SECONDS, '1m', 404, 'Not Found', /No data found, symbol may be delisted/],
    ['MSFT', SECONDS - 8 * day, SECONDS, '1m', 422, 'Unprocessable Entity', /Only 7 days worth of 1m/],
    ['MSFT', SECONDS - 31 * day, SECONDS - 29 * day, '1m', 422, 'Unprocessable Entity', /within the last 30 days/],
    ['MSFT', SECONDS, SECONDS - 60, '1m', 400, 'Bad Request', /start date cannot be after end date/],
    ['MSFT', SECONDS - 60, SECONDS, '1d', 422, 'Unprocessable Entity', /interval=1d/],
  ] as const;
  for (const [symbol, from, to, interval, status, code, text] of cases) {
    const { response, body } = await ask(url, symbol, from, to, interval);
    assert.equal(response.status, status);
    assert.equal(body.chart.result, null);
    assert.equal(body.chart.error!.code, code);
    assert.match(body.chart.error!.description, text);
  }
  assert.equal((await ask(url, 'MSFT', SECONDS - 7 * day, SECONDS)).response.status, 200);
});

test('a range without trading has no timestamps, as with Yahoo', async (t) => {
  const { url } = await exchangeFor(t);
  const sunday = Date.parse('2025-11-09T15:00Z') / 1000;
  const { body } = await ask(url, 'MSFT', sunday, sunday + 3600);
  assert.equal(body.chart.result![0].timestamp, undefined);
  assert.deepEqual(body.chart.result![0].indicators.quote, [{}]);
});

test('/clock tells time and speed, /pattern the best reachable score', async (t) => {
  const { url, market } = await exchangeFor(t, { speed: 60 });
  const clock = (await (await fetch(`${url}/clock`)).json()) as { now: string; speed: number };
  assert.equal(clock.speed, 60);
  assert.ok(Date.parse(clock.now) >= NOW);
  const pattern = async (query: string) => {
    const response = await fetch(`${url}/pattern?${query}`);
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  const { body } = await pattern('from=2025-11-10&to=2025-11-12&symbols=SPY,msft');
  const from = minuteOf('2025-11-10T14:30Z');
  const to = minuteOf('2025-11-12T21:01Z');
  assert.deepEqual(body, {
    pattern: 'echo',
    horizonMinutes: 5,
    ...market.bestReachable({ symbols: ['SPY', 'MSFT'], from, to }),
  });
  assert.equal(body.windows, 2 * 3 * (390 - 59 - 5));
  for (const query of ['symbols=NOSUCH', 'from=yesterday', 'horizon=0']) {
    const refused = await pattern(query);
    assert.equal(refused.status, 400);
    assert.match(String(refused.body.error), /^BARCAST_E_/);
  }
  assert.equal((await fetch(`${url}/nothing`)).status, 404);
  assert.equal((await fetch(`${url}/clock`, { method: 'POST' })).status, 405);
});

test('a port that is taken is told', async (t) => {
  const { url } = await exchangeFor(t);
  const port = Number(new URL(url).port);
  await assert.rejects(startExchange({ port, seed: 1 }), codeIs('BARCAST_E_PORT_IN_USE'));
});

test('the clock runs at its speed and skips closed hours on demand', () => {
  let real = 0;
  const at = (text: string): EpochMs => epochMs(Date.parse(text));
  const friday = at('2025-11-14T20:59:00Z');
  const clock = exchangeClock({ now: friday, speed: 60, skipClosed: true }, () => real);
  const plain = exchangeClock({ now: friday, speed: 60 }, () => real);
  const after = (ms: number) => {
    real += ms;
    return [clock, plain].map((one) => new Date(one.now()).toISOString());
  };
  assert.deepEqual(after(0), ['2025-11-14T20:59:00.000Z', '2025-11-14T20:59:00.000Z']);
  assert.deepEqual(after(1000), ['2025-11-14T21:00:00.000Z', '2025-11-14T21:00:00.000Z']);
  assert.deepEqual(after(1999), ['2025-11-14T21:01:59.940Z', '2025-11-14T21:01:59.940Z']);
  assert.deepEqual(after(1), ['2025-11-17T14:29:00.000Z', '2025-11-14T21:02:00.000Z']);
  assert.deepEqual(after(2000), ['2025-11-17T14:31:00.000Z', '2025-11-14T21:04:00.000Z']);
  // Wednesday evening before Thanksgiving: the next open is Friday's.
  const eve = exchangeClock({ now: at('2025-11-26T23:00:00Z'), skipClosed: true }, () => real);
  assert.equal(new Date(eve.now()).toISOString(), '2025-11-28T14:29:00.000Z');
  assert.throws(() => exchangeClock({ speed: 0 }), codeIs('BARCAST_E_USAGE'));
});

test('faults are read from words, and nonsense is refused', () => {
  assert.deepEqual(parseFaults('429:0.05,null:0.01, slow:.5:250'), {
    '429': { rate: 0.05 },
    null: { rate: 0.01 },
    slow: { rate: 0.5, value: 250 },
  });
  const nonsense = [
    '',
    '429',
    '430:0.1',
    'null:2',
    'null:-1',
    'null:x',
    'malformed:0.1:3',
    '429:0.1:x',
    'slow:1:2:3',
    'gap:0.1,gap:0.2',
    'toString:1',
  ];
  for (const text of nonsense) assert.throws(() => parseFaults(text), codeIs('BARCAST_E_USAGE'), text);
});

test('faults come at their rate, the same ones in every run', async (t) => {
  const statuses = async () => {
    const { url, close } = await startExchange({
      port: 0,
      seed: 5,
      now: NOW,
      faults: parseFaults('429:0.3:7,500:0.2,429-bare:0.1'),
    });
    const seen: string[] = [];
    for (let i = 0; i < 60; i++) {
      const response = await fetch(
        `${url}/v8/finance/chart/SPY?period1=${SECONDS - 60}&period2=${SECONDS}&interval=1m`,
      );
      await response.arrayBuffer();
      seen.push(`${response.status} ${response.headers.get('retry-after')}`);
    }
    await close();
    return seen;
  };
  const first = await statuses();
  assert.deepEqual(await statuses(), first);
  const count = (text: string) => first.filter((status) => status === text).length;
  assert.ok(count('429 7') > 8 && count('429 7') < 30, `${count('429 7')} of 60`);
  assert.ok(count('429 null') >= 1 && count('500 null') >= 3 && count('200 null') > 15);
  assert.equal(count('429 7') + count('429 null') + count('500 null') + count('200 null'), 60);

  const { url } = await exchangeFor(t, { faults: parseFaults('null:0.1,gap:0.1,duplicate:0.1,malformed:0') });
  const open = minuteOf('2025-11-13T14:30Z') * 60;
  const { body } = await ask(url, 'MSFT', open, open + 390 * 60);
  const second = (await ask(url, 'MSFT', open, open + 390 * 60)).body.chart.result![0];
  assert.equal(new Set(second.timestamp).size, 390, 'what was missing is there in the second answer');
  assert.ok(!second.indicators.quote[0].close.includes(null));
  const { timestamp, indicators } = body.chart.result![0];
  const distinct = new Set(timestamp);
  const share = (part: number, whole: number, kind: FaultKind) =>
    assert.ok(part / whole > 0.03 && part / whole < 0.25, `${kind}: ${part} of ${whole}`);
  share(390 - distinct.size, 390, 'gap');
  share(timestamp!.length - distinct.size, distinct.size, 'duplicate');
  share(indicators.quote[0].close.filter((close) => close === null).length, timestamp!.length, 'null');
});

test('a simulated source starts its own exchange, or uses one, and knows the time from the start', async (t) => {
  const own = await simulatedSource({ now: NOW, symbols: ['AAPL'], speed: 60 });
  t.after(() => own.close());
  assert.equal(own.name, 'simulated');
  assert.deepEqual(own.exchange?.market.symbols, ['AAPL']);
  const other = await simulatedSource({ url: own.exchange!.url });
  assert.equal(other.exchange, undefined);
  const apart = Math.abs(other.clock.now() - own.exchange!.clock.now());
  assert.ok(apart < 60_000, `${apart} ms of market time apart`);
  await other.close();
  assert.ok((await fetch(`${own.exchange!.url}/clock`)).ok, 'a named exchange is left running');
});
