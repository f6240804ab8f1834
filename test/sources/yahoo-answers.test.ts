/** What comes of answers that are not as they should be: each told in one line, and survived where that is possible. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { epochMs, isoOf, systemClock } from '../../src/base/index.ts';
import { type RawBars, yahooSource } from '../../src/sources/index.ts';
import { sessionsIn } from '../../src/sources/wanted.ts';
import type { CorporateEvent } from '../../src/store/index.ts';
import { codeIs, collect, exchangeFor, HASTY, minuteOf, NOW, serverFor } from './yahoo-fixtures.ts';

const FROM = minuteOf('2025-11-13T14:30Z');
const TO = minuteOf('2025-11-14T20:00Z');

/** As much of an answer as the tests change. */
interface Result {
  meta: Record<string, unknown>;
  events?: Record<string, unknown>;
  timestamp?: unknown;
  indicators: Record<string, unknown> & { quote: Record<string, unknown>[] };
}
type Body = { chart: { result: Result[] } & Record<string, unknown> } & Record<string, unknown>;

/** An exchange behind a server that changes its answers. */
async function changed(t: TestContext, change: (body: Body) => void): Promise<string> {
  const good = await exchangeFor(t);
  return serverFor(t, (request, response) => {
    void fetch(`${good.url}${request.url}`).then(async (answer) => {
      const body = (await answer.json()) as Body;
      if (request.url?.includes('/chart/')) change(body);
      response.writeHead(answer.status, { 'x-market-time': isoOf(NOW) }).end(JSON.stringify(body));
    });
  });
}

const CHANGES: readonly (readonly [what: string, change: (result: Result) => void, told: RegExp])[] = [
  [
    'a field that is renamed',
    ({ indicators: { quote } }) => (quote[0] = { ...quote[0], last: quote[0]!.close, close: undefined }),
    /indicators\.quote\.0\.close is missing/,
  ],
  ['times that are gone', (result) => delete result.timestamp, /timestamp is missing/],
  [
    'times as text',
    (result) => (result.timestamp = (result.timestamp as number[]).map(String)),
    /timestamp\.0 is "\d+" instead of a number/,
  ],
  [
    'a price as an object',
    ({ indicators: { quote } }) => ((quote[0]!.open as unknown[])[7] = { raw: 1 }),
    /indicators\.quote\.0\.open\.7 is \{"raw":1\} instead of a number/,
  ],
  [
    'a null among the times',
    (result) => ((result.timestamp as unknown[])[2] = null),
    /timestamp\.2 is null instead of a number/,
  ],
  [
    'no quotes',
    (result) => ({ ...(result.indicators as object), quote: delete (result.indicators as { quote?: unknown }).quote }),
    /indicators/,
  ],
  ['another interval', ({ meta }) => (meta.dataGranularity = '2m'), /meta\.dataGranularity is "2m"/],
  ['a lost field of meta', ({ meta }) => delete meta.exchangeTimezoneName, /meta.*exchangeTimezoneName/],
  [
    'a split without its denominator',
    (result) => (result.events = { splits: { 1: { date: 1, numerator: 2, splitRatio: '2:1' } } }),
    /events.*denominator/,
  ],
];
for (const [what, change, told] of CHANGES) {
  test(`a changed answer names the field: ${what}`, async (t) => {
    const url = await changed(t, ({ chart: { result } }) => change(result[0]!));
    await assert.rejects(
      collect(yahooSource({ url, patience: HASTY }), ['MSFT'], FROM, TO),
      codeIs('BARCAST_E_SOURCE_FORMAT', told),
    );
  });
}

test('splits and dividends come beside the raw rows', async (t) => {
  const splits = { 1763130600: { date: 1763130600, numerator: 4, denominator: 1, splitRatio: '4:1' } };
  const dividends = { 1763130600: { date: 1763130600, amount: 0.25 } };
  const url = await changed(t, ({ chart: { result } }) => (result[0]!.events = { splits, dividends }));
  const plain = await collect(yahooSource({ url: (await exchangeFor(t)).url }), ['MSFT'], FROM, TO);
  const { batches } = await collect(yahooSource({ url }), ['MSFT'], FROM, TO);
  const timeMs = epochMs(1763130600_000);
  const expected: CorporateEvent[] = [
    { kind: 'dividend', timeMs, value: 0.25 },
    { kind: 'split', timeMs, value: 4 },
  ];
  assert.deepEqual(batches[0]!.events, expected);
  const values = ({ timeMs: times, close, volume }: RawBars) => [times, close, volume];
  assert.deepEqual(values(batches[0]!), values(plain.batches[0]!));
});

test('a source that hangs is given up after its silence, before the first byte and in the middle', async (t) => {
  const good = await exchangeFor(t);
  for (const inTheMiddle of [false, true]) {
    let asked = 0;
    const url = await serverFor(t, (request, response) => {
      if (!request.url?.includes('/chart/')) return void response.writeHead(404).end();
      const hangs = asked++ === 0;
      if (hangs && !inTheMiddle) return;
      void fetch(`${good.url}${request.url}`).then(async (answer) => {
        const text = await answer.text();
        response.writeHead(200, { 'x-market-time': isoOf(NOW) });
        if (hangs) response.write(text.slice(0, 1000));
        else response.end(text);
      });
    });
    const source = yahooSource({ url, timeoutMs: 100, patience: HASTY, clock: { now: () => NOW } });
    const { batches, report } = await collect(source, ['MSFT'], FROM, TO);
    assert.deepEqual([batches.length, report.failed], [1, []]);
    assert.ok(asked >= 2);
  }
  const silent = await serverFor(t, () => {});
  await assert.rejects(
    collect(
      yahooSource({ url: silent, timeoutMs: 50, patience: HASTY, clock: { now: () => NOW } }),
      ['MSFT'],
      FROM,
      TO,
    ),
    codeIs('BARCAST_E_NETWORK', /no byte for 0\.05 s/),
  );
});

test('an answer that trickles in is not given up', async (t) => {
  const good = await exchangeFor(t);
  const url = await serverFor(t, (request, response) => {
    void fetch(`${good.url}${request.url}`).then(async (answer) => {
      const text = await answer.text();
      response.writeHead(answer.status, { 'x-market-time': isoOf(NOW) });
      const piece = Math.ceil(text.length / 6);
      for (let at = 0; at < text.length; at += piece) {
        response.write(text.slice(at, at + piece));
        await new Promise((resolve) => setTimeout(resolve, 60));
      }
      response.end();
    });
  });
  const { report } = await collect(
    yahooSource({ url, timeoutMs: 200, patience: { ...HASTY, tries: 1 }, clock: { now: () => NOW } }),
    ['MSFT'],
    FROM,
    TO,
  );
  assert.deepEqual([report.failed, report.unknown], [[], []]);
});

test("a clock of this machine that is wrong: told, and the server's is used", async (t) => {
  // The server lives three days from now, as far as this machine's clock can tell.
  const ahead = 3 * 86_400_000;
  const good = await exchangeFor(t, { now: epochMs(Date.now() + ahead) });
  const url = await serverFor(t, (request, response) => {
    void fetch(`${good.url}${request.url}`).then(async (answer) => {
      const text = await answer.text();
      response.writeHead(answer.status, { date: new Date(Date.now() + ahead).toUTCString() }).end(text);
    });
  });
  const source = yahooSource({ url });
  await source.sync();
  assert.ok(Math.abs(source.clock.now() - systemClock.now() - ahead) < 5000);
  const to = minuteOf(isoOf(source.clock.now()));
  const from = (to - 10 * 1440) as typeof to;
  const { batches, report } = await collect(source, ['MSFT'], from, to);
  assert.match(report.notes![0]!, /^this machine's clock says .*the server's .*set this machine's clock$/);
  const last = batches.flatMap(({ timeMs }) => [...timeMs]).at(-1)!;
  const session = sessionsIn({ from, to }).at(-1)!;
  assert.ok(last / 60_000 >= session.open, 'the last session, which this machine takes for the future, is there');
});

test('a range without any bar, as Yahoo calls it a bad request, is an answer', async (t) => {
  const url = await serverFor(t, (request, response) => {
    if (!request.url?.includes('/chart/')) return void response.writeHead(404).end();
    const description = "Data doesn't exist for startDate = 1763044200, endDate = 1763150400";
    response
      .writeHead(400, { 'x-market-time': isoOf(NOW) })
      .end(JSON.stringify({ chart: { result: null, error: { code: 'Bad Request', description } } }));
  });
  const { batches, report } = await collect(yahooSource({ url, clock: { now: () => NOW } }), ['NEW'], FROM, TO);
  assert.deepEqual([batches.map(({ timeMs }) => timeMs.length), report.failed, report.unknown], [[0], [], []]);
});

test('an outage opens the circuit breaker: one request at a time tries, and then all goes on', async (t) => {
  const good = await exchangeFor(t);
  let down = false;
  let inFlight = 0;
  let mostWhileDown = 0;
  let asked = 0;
  const url = await serverFor(t, (request, response) => {
    if (!request.url?.includes('/chart/')) return void response.writeHead(404).end();
    asked++;
    inFlight++;
    response.on('close', () => inFlight--);
    if (asked === 5) down = true;
    if (down) {
      if (asked > 40) mostWhileDown = Math.max(mostWhileDown, inFlight);
      if (asked > 46) down = false;
      return void response.writeHead(503).end();
    }
    void fetch(`${good.url}${request.url}`).then(async (answer) =>
      response.writeHead(answer.status, { 'x-market-time': isoOf(NOW) }).end(await answer.text()),
    );
  });
  const symbols = good.market.symbols.slice(0, 60);
  const patience = { ...HASTY, trials: 60, initialPerSecond: 500 };
  const source = yahooSource({ url, concurrency: 30, patience, clock: { now: () => NOW } });
  const { batches, report } = await collect(source, symbols, FROM, TO);
  assert.deepEqual([batches.length, report.failed], [60, []]);
  assert.equal(mostWhileDown, 1, 'the breaker lets one at a time try');
});

test('an outage that lasts ends with its reason', async (t) => {
  let asked = 0;
  const url = await serverFor(t, (request, response) => {
    if (request.url?.includes('/chart/')) asked++;
    response.writeHead(503).end();
  });
  const symbols = Array.from({ length: 300 }, (_, i) => `S${i}`);
  const source = yahooSource({ url, patience: HASTY, clock: { now: () => NOW } });
  await assert.rejects(collect(source, symbols, FROM, TO), codeIs('BARCAST_E_NETWORK', /HTTP 503/));
  assert.ok(asked < 150, `${asked} requests`);
});
