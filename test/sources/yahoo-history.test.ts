/** Past bars through yahoo-finance2: what is asked, what is kept, and what comes of everything that goes wrong. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { sessionsBetween } from '../../src/bars/index.ts';
import type { DayString } from '../../src/base/index.ts';
import { parseFaults, yahooSource } from '../../src/sources/index.ts';
import { rangesOf } from '../../src/sources/yahoo/ranges.ts';
import { acceptedOf, codeIs, collect, exchangeFor, HASTY, minuteOf, NOW, serverFor } from './yahoo-fixtures.ts';

const SYMBOLS = ['SPY', 'MSFT', 'BRK-B', 'AAPL'];
const FROM = minuteOf('2025-10-28T13:30Z');
const TO = minuteOf('2025-11-14T20:00Z');
/** Thirteen whole sessions and one to 15:00. */
const MINUTES = 13 * 390 + 330;

test('weeks of bars arrive whole: every minute that traded, with its volume, over a clock change', async (t) => {
  const { url, market } = await exchangeFor(t);
  const { batches, report } = await collect(yahooSource({ url }), SYMBOLS, FROM, TO);
  assert.deepEqual(report, { unknown: [], failed: [], notes: [] });
  const accepted = acceptedOf(batches);
  const expected: string[] = [];
  for (const symbol of SYMBOLS) {
    for (const session of sessionsBetween('2025-10-28' as DayString, '2025-11-14' as DayString)) {
      const { traded } = market.day(symbol, session);
      for (let minute = session.open; minute < Math.min(session.close, TO); minute++) {
        if (traded[minute - session.open] === 1) expected.push(`${symbol} ${minute}`);
      }
    }
  }
  assert.deepEqual([...accepted.keys()], expected.sort());
  assert.ok(expected.length > 4 * MINUTES - 100, 'only a hole is missing');
  for (const [key, [, , , close, volume]] of accepted) assert.ok(close > 0 && volume > 0, key);
  for (const rows of batches) assert.ok(rows.askedAt >= NOW && rows.askedAt < NOW + 60_000);
});

test("the running bar is handed over as it came: judging it is not the source's", async (t) => {
  const { url } = await exchangeFor(t);
  const { batches } = await collect(
    yahooSource({ url }),
    ['MSFT'],
    minuteOf('2025-11-14T20:20Z'),
    minuteOf('2025-11-14T21:00Z'),
  );
  const times = batches.flatMap((rows) => [...rows.timeMs]);
  assert.equal(times.length, 11);
  assert.equal(times[0], minuteOf('2025-11-14T20:20Z') * 60_000);
  assert.ok(times[10] % 60_000 !== 0);
  assert.equal(acceptedOf(batches).size, 10);
});

const REPEATABLE = [
  '429:0.4:0',
  '429-bare:0.4',
  '500:0.3',
  'malformed:0.3',
  'slow:0.5:30',
  'duplicate:0.2',
  'partial:1',
  '429:0.2:0,500:0.1,malformed:0.2,duplicate:0.1',
];
for (const faults of REPEATABLE) {
  test(`the same bars are accepted with faults ${faults}`, async (t) => {
    const from = minuteOf('2025-11-07T14:30Z');
    const to = minuteOf('2025-11-14T21:00Z');
    const good = await exchangeFor(t);
    const bad = await exchangeFor(t, { faults: parseFaults(faults) });
    const clean = await collect(yahooSource({ url: good.url }), SYMBOLS, from, to);
    const faulty = await collect(
      yahooSource({ url: bad.url, patience: { ...HASTY, tries: 40, refusals: 40 } }),
      SYMBOLS,
      from,
      to,
    );
    assert.deepEqual(faulty.report, clean.report);
    const cut = minuteOf('2025-11-14T20:30Z'); // what ended before both began
    const before = (bars: Map<string, number[]>) =>
      new Map([...bars].filter(([key]) => Number(key.split(' ')[1]) < cut));
    const expected = before(acceptedOf(clean.batches));
    assert.equal(expected.size, SYMBOLS.length * (5 * 390 + 360));
    assert.deepEqual(before(acceptedOf(faulty.batches)), expected);
  });
}

test('nulls and gaps lose what they hit and change nothing else', async (t) => {
  const from = minuteOf('2025-11-13T14:30Z');
  const to = minuteOf('2025-11-13T21:00Z');
  const good = await exchangeFor(t);
  const clean = acceptedOf((await collect(yahooSource({ url: good.url }), SYMBOLS, from, to)).batches);
  for (const faults of ['null:0.1:1000', 'gap:0.1:1000']) {
    const bad = await exchangeFor(t, { faults: parseFaults(faults) });
    const source = yahooSource({ url: bad.url });
    const { batches } = await collect(source, SYMBOLS, from, to);
    const nulls = batches.flatMap((rows) => [...rows.close]).filter(Number.isNaN).length;
    const accepted = acceptedOf(batches);
    for (const [key, values] of accepted) {
      // The first row that is left of a symbol may be the answer's first, whose volume nobody knows.
      if (!Number.isNaN(values[4])) assert.deepEqual(values, clean.get(key), key);
    }
    const lost = clean.size - accepted.size;
    assert.ok(lost > 0.03 * clean.size && lost < 0.25 * clean.size, `${faults}: ${lost} of ${clean.size}`);
    assert.equal(nulls, faults.startsWith('null') ? lost : 0);
    assert.deepEqual(
      (await collect(source, SYMBOLS, from, to)).batches.map((rows) => rows.symbol).sort(),
      [...SYMBOLS].sort(),
    );
  }
});

test('unknown symbols are reported and stop nothing', async (t) => {
  const { url } = await exchangeFor(t);
  const { batches, report } = await collect(
    yahooSource({ url }),
    ['NOSUCH', 'MSFT', 'ZZZZ'],
    minuteOf('2025-11-14T14:30Z'),
    TO,
  );
  assert.deepEqual(report, { unknown: ['NOSUCH', 'ZZZZ'], failed: [], notes: [] });
  assert.deepEqual([...new Set(batches.map((rows) => rows.symbol))], ['MSFT']);
});

test('without a network: told at once', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const source = yahooSource({ url: `http://127.0.0.1:${port}`, patience: HASTY });
  const today = Math.floor(Date.now() / 60_000);
  await assert.rejects(
    collect(source, SYMBOLS, (today - 6 * 1440) as typeof FROM, today as typeof FROM),
    codeIs('BARCAST_E_NETWORK', /connection was refused/),
  );
});

test('a source that refuses every request for now', async (t) => {
  for (const faults of ['429:1:0', '429-bare:1']) {
    const { url } = await exchangeFor(t, { faults: parseFaults(faults) });
    const source = yahooSource({ url, patience: HASTY });
    await assert.rejects(collect(source, SYMBOLS, FROM, TO), codeIs('BARCAST_E_RATE_LIMITED'));
  }
  const { url } = await exchangeFor(t, { faults: parseFaults('429:1:3600') });
  await assert.rejects(collect(yahooSource({ url }), SYMBOLS, FROM, TO), codeIs('BARCAST_E_RATE_LIMITED'));
});

test('Retry-After is obeyed before the next request', async (t) => {
  const asked: number[] = [];
  const { url: good } = await exchangeFor(t);
  const url = await serverFor(t, (request, response) => {
    if (!request.url?.includes('/chart/')) return void response.writeHead(404).end();
    asked.push(performance.now());
    if (asked.length === 1) return void response.writeHead(429, { 'retry-after': '1' }).end();
    void fetch(`${good}${request.url}`).then(async (answer) =>
      response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text()),
    );
  });
  const source = yahooSource({ url, clock: { now: () => NOW }, concurrency: 2, patience: HASTY });
  const { batches } = await collect(source, ['MSFT', 'SPY', 'AAPL'], minuteOf('2025-11-14T14:30Z'), TO);
  assert.equal(acceptedOf(batches).size, 3 * 330);
  // Two were in flight; everything after the refusal waited for a second.
  assert.ok(
    asked.slice(2).every((at) => at - asked[0] >= 990),
    `${asked.map((at) => at - asked[0])}`,
  );
});

/** As much of an answer as the tests spoil. */
interface Result {
  meta: Record<string, unknown>;
  timestamp: unknown[];
  indicators: { quote: { low: unknown[] }[] };
}

test('answers that are never whole are a format error, and so is one that lacks a field', async (t) => {
  const { url } = await exchangeFor(t, { faults: parseFaults('malformed:1') });
  await assert.rejects(
    collect(yahooSource({ url, patience: HASTY }), ['MSFT'], FROM, TO),
    codeIs('BARCAST_E_SOURCE_FORMAT', /not whole JSON/),
  );
  const spoilt = async (spoil: (result: Result) => void) => {
    const good = await exchangeFor(t);
    return serverFor(t, (request, response) => {
      void fetch(`${good.url}${request.url}`).then(async (answer) => {
        const body = (await answer.json()) as { chart?: { result: [Result] } };
        if (body.chart) spoil(body.chart.result[0]);
        response.writeHead(200, { 'x-market-time': new Date(NOW).toISOString() }).end(JSON.stringify(body));
      });
    });
  };
  const cases = [
    [(result: Result) => delete result.meta.exchangeTimezoneName, /exchangeTimezoneName/],
    [(result: Result) => (result.timestamp[3] = 'soon'), /timestamp\.3/],
    [
      (result: Result) => result.indicators.quote[0].low.pop(),
      /MSFT: indicators\.quote\.0\.low has \d+ values for \d+ times/,
    ],
  ] as const;
  for (const [spoil, field] of cases) {
    const source = yahooSource({ url: await spoilt(spoil), patience: HASTY });
    await assert.rejects(collect(source, ['MSFT'], FROM, TO), codeIs('BARCAST_E_SOURCE_FORMAT', field));
  }
});

test('one symbol that fails for good is reported, the others arrive', async (t) => {
  const good = await exchangeFor(t);
  const url = await serverFor(t, (request, response) => {
    if (request.url?.includes('/AAPL')) return void response.writeHead(503).end();
    void fetch(`${good.url}${request.url}`).then(async (answer) =>
      response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text()),
    );
  });
  const source = yahooSource({ url, patience: HASTY });
  const { batches, report } = await collect(source, SYMBOLS, minuteOf('2025-11-14T14:30Z'), TO);
  assert.deepEqual(report.failed, [{ symbol: 'AAPL', reason: 'HTTP 503' }]);
  assert.equal(acceptedOf(batches).size, 3 * 330);
});

test('bars older than thirty days: a note for a part of the range, an error for all of it', async (t) => {
  const { url } = await exchangeFor(t);
  const source = yahooSource({ url });
  const { report, batches } = await collect(
    source,
    ['SPY'],
    minuteOf('2025-09-01T00:00Z'),
    minuteOf('2025-10-17T00:00Z'),
  );
  assert.equal(report.notes?.length, 1);
  assert.match(report.notes![0], /30 days; there are none before 2025-10-15T20:45/);
  assert.equal(batches[0].timeMs[0], minuteOf('2025-10-16T13:30Z') * 60_000);
  assert.ok(Number.isNaN(batches[0].volume[0]), "the volume of an answer's first row is not known");
  await assert.rejects(
    collect(source, ['SPY'], minuteOf('2025-09-01T00:00Z'), minuteOf('2025-10-01T00:00Z')),
    codeIs('BARCAST_E_DATE'),
  );
});

test('an aborted history ends with its code', async (t) => {
  const { url } = await exchangeFor(t, { faults: parseFaults('slow:1:60000') });
  const stop = new AbortController();
  const bars = yahooSource({ url }).history({ symbols: SYMBOLS, from: FROM, to: TO, signal: stop.signal });
  const next = bars.next();
  stop.abort();
  await assert.rejects(next, codeIs('BARCAST_E_INTERRUPTED'));
});

test('requests keep to seven days, begin before what they keep, and leave nothing out', () => {
  for (const from of ['2025-10-16T13:30Z', '2025-10-20T17:03Z', '2025-11-01T05:00Z', '2025-11-14T14:30Z'].map(
    minuteOf,
  )) {
    const ranges = rangesOf(from, minuteOf('2025-11-14T21:00Z'), NOW);
    for (const { askFrom, from: first, to } of ranges) {
      assert.ok(askFrom < first && to > first && to - askFrom <= 7 * 1440, `${askFrom} ${first} ${to}`);
      assert.ok(askFrom * 60_000 > NOW - 30 * 86_400_000);
    }
    assert.equal(ranges[0].from, from);
    assert.equal(ranges.at(-1)!.to, minuteOf('2025-11-14T20:31Z'));
    for (let i = 1; i < ranges.length; i++) assert.equal(ranges[i].from, ranges[i - 1].to);
  }
  assert.deepEqual(
    rangesOf(minuteOf('2025-11-08T00:00Z'), minuteOf('2025-11-10T00:00Z'), NOW),
    [],
    'a weekend is not asked for',
  );
});

test('an address that is none is refused', () => {
  for (const url of ['nowhere', 'ftp://x', '127.0.0.1:80'])
    assert.throws(() => yahooSource({ url }), codeIs('BARCAST_E_USAGE'));
});
