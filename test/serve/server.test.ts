import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectSocket } from 'node:net';
import { describe, test } from 'node:test';
import { startServer } from '../../src/serve/index.ts';
import { LiveState } from '../../src/stream/index.ts';
import { bar, filledState, forecastOf, getJson, MODEL, minute, serve } from './fixtures.ts';

describe('the REST interface', () => {
  test('GET /api/v1/predictions: the latest forecast of every symbol', async (t) => {
    const state = filledState();
    const { url } = await serve(t, { state });
    const { status, body, headers } = await getJson(`${url}/api/v1/predictions`);
    assert.equal(status, 200);
    assert.equal(headers.get('cache-control'), 'no-store');
    assert.deepEqual(body, { marketTime: '2020-01-02T14:37:00.000Z', predictions: state.latest() });
    assert.deepEqual(
      body.predictions.map((it: { symbol: string }) => it.symbol),
      ['A', 'BRK-B'],
    );
    assert.equal(body.predictions[0].asOf, '2020-01-02T14:37:00.000Z');
    assert.deepEqual(Object.keys(body.predictions[0]).sort(), [
      'asOf',
      'horizonMinutes',
      'interval',
      'lastClose',
      'latencyMs',
      'model',
      'predictedClose',
      'predictedReturn',
      'symbol',
      'volatility',
      'weightsHash',
    ]);
  });

  test('GET /api/v1/predictions?symbols: only those, in any spelling', async (t) => {
    const { url } = await serve(t);
    const some = await getJson(`${url}/api/v1/predictions?symbols=brk.b,NEW`);
    assert.deepEqual(
      some.body.predictions.map((it: { symbol: string }) => it.symbol),
      ['BRK-B'],
      'NEW has none yet',
    );
    const unknown = await getJson(`${url}/api/v1/predictions?symbols=A,ZZZ`);
    assert.deepEqual([unknown.status, unknown.body.error.code], [404, 'BARCAST_E_SYMBOL']);
    assert.match(unknown.body.error.message, /'ZZZ'/);
  });

  test('GET /api/v1/predictions/:symbol: the latest and the ones before', async (t) => {
    const { url } = await serve(t);
    const { body } = await getJson(`${url}/api/v1/predictions/a?limit=3`);
    assert.equal(body.symbol, 'A');
    assert.deepEqual(body.latest, body.recent[0]);
    assert.deepEqual(
      body.recent.map((it: { lastClose: number }) => it.lastClose),
      [106, 105, 104],
    );
    const none = await getJson(`${url}/api/v1/predictions/NEW`);
    assert.deepEqual([none.status, none.body.latest, none.body.recent], [200, null, []]);
  });

  test('GET /api/v1/bars/:symbol: recent bars by their open', async (t) => {
    const { url } = await serve(t);
    const { body } = await getJson(`${url}/api/v1/bars/BRK-B`);
    assert.equal(body.bars.length, 7);
    assert.deepEqual(body.bars[3], {
      symbol: 'BRK-B',
      time: '2020-01-02T14:33:00.000Z',
      open: 103,
      high: 103,
      low: 103,
      close: 103,
      volume: null,
    });
    const two = await getJson(`${url}/api/v1/bars/BRK-B?limit=2`);
    assert.deepEqual(
      two.body.bars.map((it: { close: number }) => it.close),
      [105, 106],
    );
  });

  test('GET /api/v1/scoreboard and /api/v1/model', async (t) => {
    const state = filledState();
    const { url } = await serve(t, { state });
    const { body } = await getJson(`${url}/api/v1/scoreboard`);
    const plain = (value: unknown) => JSON.parse(JSON.stringify(value));
    assert.deepEqual(body, plain({ ...state.scoreboard!.report(), shadow: null, others: [] }));
    assert.equal(body.overall.session.forecasts, 4);
    assert.equal(body.symbols[0].last.direction, 'hit');
    const model = { ...MODEL, details: { recipe: 'returns' }, shadow: null, changes: 0 };
    assert.deepEqual((await getJson(`${url}/api/v1/model`)).body, model);
  });

  test('a shadow is scored beside the active model and never shown; a model that is replaced keeps its scores', async (t) => {
    const state = filledState();
    const { url } = await serve(t, { state });
    const shy = { ...MODEL, name: 'shy', weightsHash: 'def456' };
    state.setModel(state.model!, shy);
    const silent = { ...forecastOf('A', minute(8), 106, 0.02), model: shy.name, weightsHash: shy.weightsHash };
    state.acceptBars([bar('A', minute(7), 106)]);
    state.acceptShadow([silent]);
    state.acceptBars([8, 9, 10, 11, 12].map((m) => bar('A', minute(m), 106 + m)));
    const { body } = await getJson(`${url}/api/v1/scoreboard`);
    assert.deepEqual([body.model, body.shadow.model, body.shadow.overall.total.forecasts], ['toy', 'shy', 1]);
    const own = (await getJson(`${url}/api/v1/scoreboard?model=shadow`)).body;
    assert.deepEqual([own.model, own.symbols.length, own.symbols[0].last.direction], ['shy', 1, 'hit']);
    assert.equal((await getJson(`${url}/api/v1/scoreboard?model=def456`)).body.model, 'shy');
    assert.equal((await getJson(`${url}/api/v1/scoreboard?model=nobody`)).body.error.code, 'BARCAST_E_MODEL_MISSING');
    const { predictions } = (await getJson(`${url}/api/v1/predictions`)).body;
    assert.ok(predictions.every((it: { model: string }) => it.model === 'toy'));
    assert.equal((await getJson(`${url}/api/v1/model`)).body.shadow.weightsHash, 'def456');
    const metrics = await (await fetch(`${url}/metrics`)).text();
    assert.match(metrics, /barcast_model_info\{role="shadow",model="shy",weights_hash="def456"\} 1/);
    assert.match(metrics, /barcast_forecasts_scored\{role="shadow"\} 1/);

    // Another machine has promoted the shadow: its forecasts come as active ones now.
    state.acceptForecasts([{ ...forecastOf('A', minute(13), 118, 0.01), model: 'shy', weightsHash: 'def456' }]);
    const after = (await getJson(`${url}/api/v1/scoreboard`)).body;
    assert.deepEqual([after.model, after.shadow, after.overall.total.forecasts], ['shy', null, 1]);
    assert.deepEqual(
      after.others.map((it: { model: string }) => it.model),
      ['toy'],
    );
    assert.equal((await getJson(`${url}/api/v1/model`)).body.changes, 1);
  });

  test('readyz tells of the bus, of windows that are warming and of forecasts that fall behind', async (t) => {
    const state = new LiveState({ longestQuietRun: 3 });
    state.setModel(MODEL);
    state.setSource({ name: 'bus', state: 'running', detail: null });
    const { url } = await serve(t, { state });
    const ready = async () => {
      const { status, body } = await getJson(`${url}/readyz`);
      return [status, body.windows, body.lagMinutes, body.reasons.join()];
    };
    assert.deepEqual(await ready(), [200, 'none', null, '']);
    state.acceptBars([bar('A', minute(0), 1)]);
    assert.deepEqual(await ready(), [200, 'warming', null, '']);
    state.acceptForecasts([forecastOf('A', minute(1), 1, 0)]);
    assert.deepEqual(await ready(), [200, 'warm', 0, '']);
    state.acceptBars([bar('A', minute(4), 1)]);
    const behind = 'forecasts are 4 minutes behind the bars; 3 are in bounds';
    assert.deepEqual(await ready(), [503, 'warm', 4, behind]);
    state.acceptForecasts([forecastOf('A', minute(5), 1, 0)]);
    assert.deepEqual(await ready(), [200, 'warm', 0, '']);
    state.setBus({ name: 'nats', state: 'reconnecting', detail: 'no route' });
    assert.deepEqual(await ready(), [503, 'warm', 0, 'the bus (nats) is reconnecting: no route']);
    state.setBus({ name: 'nats', state: 'connected', detail: null });
    // The next session: its windows fill for an hour, and that is no lag.
    state.acceptBars([bar('A', minute(1440), 1), bar('A', minute(1450), 1)]);
    assert.deepEqual(await ready(), [200, 'warming', null, '']);
  });

  test('before a model is loaded: empty predictions, 503 where one is needed, and readyz says why', async (t) => {
    const { url } = await serve(t, { state: new LiveState({ symbols: ['A'] }) });
    assert.deepEqual((await getJson(`${url}/api/v1/predictions`)).body.predictions, []);
    for (const path of ['scoreboard', 'model']) {
      const { status, body } = await getJson(`${url}/api/v1/${path}`);
      assert.deepEqual([status, body.error.code], [503, 'BARCAST_E_MODEL_MISSING']);
    }
    const { status, body } = await getJson(`${url}/readyz`);
    assert.equal(status, 503);
    assert.deepEqual(body, {
      ready: false,
      reasons: ['no model is loaded', 'no source of bars is started'],
      windows: 'none',
      lagMinutes: null,
      bus: null,
    });
  });

  test('GET /healthz, /readyz', async (t) => {
    const { url } = await serve(t);
    const health = (await getJson(`${url}/healthz`)).body;
    assert.deepEqual([health.status, health.uptimeSeconds > 0], ['ok', true]);
    const { status, body } = await getJson(`${url}/readyz`);
    assert.deepEqual([status, body.ready, body.reasons, body.windows], [200, true, [], 'warm']);
  });

  test('GET /metrics: what Prometheus reads', async (t) => {
    const state = filledState();
    const { url } = await serve(t, { state });
    state.notePrediction({ forecasts: state.latest(), predictionMs: 20 });
    await fetch(`${url}/api/v1/predictions/A`);
    const response = await fetch(`${url}/metrics`);
    assert.match(response.headers.get('content-type')!, /^text\/plain/);
    const text = await response.text();
    const value = (name: string) =>
      Number(
        text
          .split('\n')
          .find((line) => line.startsWith(`${name} `))
          ?.split(' ')[1],
      );
    assert.equal(value('barcast_ready'), 1);
    assert.equal(value('barcast_symbols'), 3);
    assert.equal(value('barcast_symbols_forecast'), 2);
    assert.equal(value('barcast_last_bar_age_seconds'), 0);
    assert.equal(value('barcast_prediction_seconds_count'), 1);
    assert.equal(value('barcast_prediction_seconds_sum'), 0.02);
    assert.equal(value('barcast_stream_clients_dropped_total'), 0);
    assert.ok(value('process_resident_memory_bytes') > 0);
    assert.match(
      text,
      /barcast_http_request_seconds_count\{method="GET",route="\/api\/v1\/predictions\/:symbol",status="200"\} 1/,
    );
  });

  test('unknown paths and symbols, bad queries: 404 and 400 in one form', async (t) => {
    const { url } = await serve(t);
    for (const [path, status, code] of [
      ['/api/v1/nothing', 404, 'BARCAST_E_USAGE'],
      ['/nothing.html', 404, 'BARCAST_E_USAGE'],
      ['/../package.json', 404, 'BARCAST_E_USAGE'],
      ['/%2e%2e/package.json', 404, 'BARCAST_E_USAGE'],
      ['/api/v1/predictions/ZZZ', 404, 'BARCAST_E_SYMBOL'],
      ['/api/v1/bars/ZZZ', 404, 'BARCAST_E_SYMBOL'],
      ['/api/v1/bars/%3Cscript%3E', 404, 'BARCAST_E_SYMBOL'],
      ['/api/v1/bars/A?limit=0', 400, 'BARCAST_E_USAGE'],
      ['/api/v1/bars/A?limit=many', 400, 'BARCAST_E_USAGE'],
      ['/api/v1/bars/A?limt=3', 400, 'BARCAST_E_USAGE'],
      [`/api/v1/bars/${'A'.repeat(33)}`, 400, 'BARCAST_E_USAGE'],
      ['/api/v1/stream', 426, 'BARCAST_E_USAGE'],
    ] as const) {
      const { status: got, body } = await getJson(url + path);
      assert.deepEqual([path, got, body.error.code], [path, status, code]);
      assert.deepEqual(Object.keys(body.error), ['code', 'message']);
    }
    const posted = await fetch(`${url}/api/v1/predictions`, { method: 'POST', body: '{}' });
    assert.equal(posted.status, 404);
  });
});

describe('limits', () => {
  test('a long URL, long headers and a large body are refused, and the server goes on', async (t) => {
    const { url } = await serve(t);
    assert.equal((await fetch(`${url}/api/v1/predictions?symbols=${'A,'.repeat(3000)}`)).status, 400);
    assert.equal((await fetch(`${url}/?${'x'.repeat(20_000)}`)).status, 431);
    assert.equal((await fetch(url, { headers: { 'X-Long': 'x'.repeat(20_000) } })).status, 431);
    const body = JSON.stringify({ x: 'x'.repeat(100_000) });
    const post = await fetch(`${url}/api/v1/predictions`, {
      method: 'POST',
      body,
      headers: { 'Content-Type': 'application/json' },
    });
    assert.ok([404, 413].includes(post.status), `${post.status}`);
    assert.equal((await fetch(`${url}/healthz`)).status, 200);
  });

  test('beyond the rate limit an address is refused for a while; probes are not', async (t) => {
    const { url } = await serve(t, { rateLimit: 10, token: 'correct-horse-7' });
    const statuses: number[] = [];
    // Guessing tokens and asking for what is not there counts like anything else.
    for (let i = 0; i < 12; i++) statuses.push((await fetch(`${url}${i % 2 ? '/api/v1/model' : '/nowhere'}`)).status);
    assert.deepEqual(statuses, [404, 401, 404, 401, 404, 401, 404, 401, 404, 401, 429, 429]);
    const { status, body, headers } = await getJson(`${url}/api/v1/predictions`, {
      Authorization: 'Bearer correct-horse-7',
    });
    assert.deepEqual([status, body.error.code], [429, 'BARCAST_E_RATE_LIMITED']);
    const wait = Number(headers.get('retry-after'));
    assert.ok(wait > 0 && wait <= 60, `${wait}`);
    assert.equal((await fetch(`${url}/healthz`)).status, 200);
    assert.equal((await fetch(`${url}/readyz`)).status, 200);
  });

  test('behind a proxy that is believed, addresses are told apart', async (t) => {
    const { url } = await serve(t, { rateLimit: 2, trustProxy: '127.0.0.1' });
    const ask = async (address: string) => {
      return (await fetch(`${url}/api/v1/model`, { headers: { 'X-Forwarded-For': address } })).status;
    };
    const of = async (address: string) => [await ask(address), await ask(address), await ask(address)];
    assert.deepEqual(await of('192.0.2.1'), [200, 200, 429]);
    assert.deepEqual(await of('192.0.2.2'), [200, 200, 429]);
    const { url: plain } = await serve(t, { rateLimit: 2 });
    const spoofed = await fetch(`${plain}/api/v1/model`, { headers: { 'X-Forwarded-For': '192.0.2.3' } });
    assert.equal(spoofed.status, 200);
    for (const expected of [200, 429]) {
      const headers = { 'X-Forwarded-For': `192.0.2.${expected % 250}` };
      assert.equal((await fetch(`${plain}/api/v1/model`, { headers })).status, expected);
    }
  });

  test('garbage instead of HTTP does no harm', async (t) => {
    const { url } = await serve(t);
    const socket = connectSocket(Number(new URL(url).port), '127.0.0.1');
    socket.on('error', () => {});
    await new Promise<void>((resolve) =>
      socket
        .resume()
        .on('close', () => resolve())
        .end('\x16\x03\x01\r\n\r\n'),
    );
    assert.equal((await fetch(`${url}/healthz`)).status, 200);
  });
});

describe('access', () => {
  test('an address beyond this machine needs a token', async () => {
    for (const host of ['0.0.0.0', '::', '192.0.2.7', 'example.org']) {
      await assert.rejects(
        startServer({ state: filledState(), host, port: 0 }),
        { code: 'BARCAST_E_TOKEN_REQUIRED' },
        host,
      );
    }
    await assert.rejects(startServer({ state: filledState(), port: 0, token: 'short' }), { code: 'BARCAST_E_USAGE' });
  });

  test('with a token, data needs it and the rest stays open', async (t) => {
    const token = 'correct-horse-7';
    const { url } = await serve(t, { token, host: '0.0.0.0' });
    const local = url.replace('0.0.0.0', '127.0.0.1');
    for (const path of [
      '/api/v1/predictions',
      '/api/v1/bars/A',
      '/api/v1/nothing',
      '/metrics',
      '/api/v1/predictions?token=correct-horse-7',
      '/%61pi/v1/predictions',
      '/metric%73',
    ]) {
      const { status, body, headers } = await getJson(local + path);
      assert.deepEqual([path, status, body.error.code], [path, 401, 'BARCAST_E_TOKEN_REQUIRED']);
      assert.equal(headers.get('www-authenticate'), 'Bearer');
    }
    assert.equal((await getJson(`${local}/api/v1/model`, { Authorization: 'Bearer correct-horse-8' })).status, 401);
    assert.equal((await getJson(`${local}/api/v1/model`, { Authorization: `Bearer ${token}` })).status, 200);
    for (const path of ['/', '/docs', '/docs/openapi.json', '/healthz', '/readyz', '/app.css']) {
      assert.equal((await fetch(local + path)).status, 200, path);
    }
  });

  test('a port that is taken, and an address that is not ours, are told', async (t) => {
    const { url } = await serve(t);
    const port = Number(new URL(url).port);
    await assert.rejects(startServer({ state: filledState(), port }), {
      code: 'BARCAST_E_PORT_IN_USE',
      message: /port \d+ of 127\.0\.0\.1 is taken/,
    });
    await assert.rejects(startServer({ state: filledState(), port: 0, host: '192.0.2.7', token: 'long-enough' }), {
      code: 'BARCAST_E_USAGE',
    });
  });
});

describe('the pages', () => {
  test('come from this machine, with a policy that keeps other scripts out', async (t) => {
    const { url } = await serve(t);
    const page = await fetch(url);
    const html = await page.text();
    assert.match(page.headers.get('content-type')!, /text\/html/);
    assert.match(page.headers.get('content-security-policy')!, /default-src 'self'/);
    assert.match(html, /TradingView/);
    for (const [, address] of html.matchAll(/(?:src|href)="([^"]+)"/g)) {
      if (/^https:\/\/www\.tradingview\.com/.test(address)) continue;
      assert.ok(address.startsWith('/') || address.startsWith('#'), address);
      if (address.startsWith('/')) assert.equal((await fetch(url + address)).status, 200, address);
    }
    const charts = await fetch(`${url}/vendor/lightweight-charts.mjs`);
    assert.match(charts.headers.get('content-type')!, /javascript/);
    assert.match(await charts.text(), /TradingView Lightweight Charts/);
  });

  test('/docs describes every route', async (t) => {
    const { url } = await serve(t);
    assert.match(await (await fetch(`${url}/docs`)).text(), /docs\.js/);
    const { body } = await getJson(`${url}/docs/openapi.json`);
    assert.equal(body.openapi, '3.1.0');
    assert.deepEqual(Object.keys(body.paths).sort(), [
      '/api/v1/bars/{symbol}',
      '/api/v1/model',
      '/api/v1/predictions',
      '/api/v1/predictions/{symbol}',
      '/api/v1/scoreboard',
      '/api/v1/stream',
      '/healthz',
      '/metrics',
      '/readyz',
    ]);
    assert.ok(body.components.schemas.Forecast.properties.predictedReturn.description.includes('Log return'));
    const references = JSON.stringify(body).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g);
    for (const [, name] of references) assert.ok(name in body.components.schemas, name);
  });
});

test('closing finishes the answers it has begun, and cuts off who does not read them', async () => {
  const state = filledState();
  const symbols = Array.from({ length: 20_000 }, (_, i) => `S${i}`);
  state.acceptForecasts(symbols.map((symbol) => forecastOf(symbol, minute(7), 10, 0.001)));
  const server = await startServer({ state, port: 0, finishMs: 2000 });
  const port = Number(new URL(server.url).port);
  const ask = async () => {
    const socket = connectSocket(port, '127.0.0.1');
    const cut = once(socket, 'close');
    socket.on('error', () => {});
    socket.write('GET /api/v1/predictions HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await once(socket, 'readable');
    return { socket, cut };
  };
  const [reader, stalled] = [await ask(), await ask()];
  const closing = server.close();
  let bytes = 0;
  for await (const part of reader.socket) bytes += part.length;
  const length = Number(state.latest().length);
  assert.ok(bytes > 250 * length, `${bytes} bytes of an answer that was begun`);
  await closing;
  stalled.socket.resume();
  await stalled.cut;
  await assert.rejects(fetch(server.url), 'nobody listens any more');
});

test('closing lets go of the port and of open connections', async (t) => {
  const server = await serve(t);
  const port = Number(new URL(server.url).port);
  await fetch(`${server.url}/healthz`);
  await server.close();
  const again = await startServer({ state: filledState(), port });
  await again.close();
});
