import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectSocket } from 'node:net';
import { describe, test } from 'node:test';
import WebSocket from 'ws';
import { bar, connect, filledState, forecastOf, getJson, MODEL, minute, serve } from './fixtures.ts';

describe('the WebSocket stream', () => {
  test('tells the status first, then bars, forecasts and scores as they come', async (t) => {
    const state = filledState();
    const { url } = await serve(t, { state });
    const { messages, waitFor } = await connect(t, `${url}/api/v1/stream`);
    const status = await waitFor((it) => it.type === 'status');
    assert.deepEqual(
      [status.model, status.source, status.symbols, status.forecasting, status.ready, status.lastBarEnd],
      [
        { ...MODEL, details: { recipe: 'returns' } },
        { name: 'replay', state: 'running', detail: null },
        3,
        2,
        true,
        '2020-01-02T14:37:00.000Z',
      ],
    );
    state.acceptBars([bar('A', minute(7), 107), bar('NEW', minute(7), 5)]);
    const forecast = forecastOf('A', minute(8), 107, 0.001);
    state.acceptForecasts([forecast]);
    const told = await waitFor((it) => it.type === 'forecasts');
    assert.deepEqual(told, { marketTime: '2020-01-02T14:37:00.000Z', type: 'forecasts', forecasts: [forecast] });
    assert.deepEqual(
      messages.map((it) => it.type),
      ['status', 'bars', 'scores', 'forecasts'],
    );
    assert.deepEqual(
      messages[1].bars.map((it: { symbol: string; time: string }) => [it.symbol, it.time]),
      [
        ['A', '2020-01-02T14:37:00.000Z'],
        ['NEW', '2020-01-02T14:37:00.000Z'],
      ],
    );
    // The bar at minute 7 ends the horizon of the forecast as of minute 3, which saw a close of 102.
    assert.deepEqual(
      messages[2].scores.map((it: { symbol: string; realisedReturn: number }) => [it.symbol, it.realisedReturn]),
      [['A', Math.log(107 / 102)]],
    );
    assert.equal(messages[2].overall.session.forecasts, 5);
  });

  test('tells when the status changes, and the time in between', async (t) => {
    const state = filledState();
    const { url } = await serve(t, { state, heartbeatMs: 5 });
    const { waitFor } = await connect(t, `${url}/api/v1/stream`);
    assert.equal((await waitFor((it) => it.type === 'time')).marketTime, '2020-01-02T14:37:00.000Z');
    state.setSource({ name: 'replay', state: 'retrying', detail: 'no route' });
    const status = await waitFor((it) => it.type === 'status' && !it.ready);
    assert.deepEqual(status.reasons, ['the source of bars (replay) is retrying: no route']);
  });

  test('a client that does not read is cut off, and the others miss nothing', async (t) => {
    const state = filledState();
    const { url } = await serve(t, { state, maxBufferedBytes: 64 * 1024, heartbeatMs: 60_000 });
    const healthy = await connect(t, `${url}/api/v1/stream`);
    const stalled = connectSocket(Number(new URL(url).port), '127.0.0.1');
    t.after(() => stalled.destroy());
    stalled.on('error', () => {});
    stalled.write(
      'GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
    );
    await once(stalled, 'readable');
    const metric = async (name: string) => {
      const text = await (await fetch(`${url}/metrics`)).text();
      return Number(text.match(new RegExp(`^${name} (\\d+)`, 'm'))?.[1]);
    };
    assert.equal(await metric('barcast_stream_clients'), 2);
    const symbols = Array.from({ length: 2000 }, (_, i) => `S${i}`);
    let sent = 0;
    while ((await metric('barcast_stream_clients_dropped_total')) === 0) {
      assert.ok(sent < 300, 'the stalled client was never cut off');
      state.acceptBars(symbols.map((symbol) => bar(symbol, minute(sent), 100)));
      sent++;
    }
    const last = new Date(minute(sent - 1) * 60_000).toISOString();
    await healthy.waitFor((it) => it.type === 'bars' && it.bars[0].time === last);
    assert.equal(healthy.messages.filter((it) => it.type === 'bars').length, sent);
    assert.equal(await metric('barcast_stream_clients'), 1);
  });

  test('a slow client holds its place and misses nothing; what is kept for it is bounded', async (t) => {
    const state = filledState();
    const { url } = await serve(t, { state, maxBufferedBytes: 24 * 1024 * 1024, heartbeatMs: 60_000 });
    const healthy = await connect(t, `${url}/api/v1/stream`);
    const slow = await connect(t, `${url}/api/v1/stream`);
    slow.socket.pause();
    const buffered = async () =>
      Number(/^barcast_stream_buffered_bytes (\d+)/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1]);
    const symbols = Array.from({ length: 2000 }, (_, i) => `S${i}`);
    const size = JSON.stringify(symbols.map((symbol) => bar(symbol, minute(0), 100))).length;
    let sent = 0;
    // Beyond what the operating system holds between the two.
    while ((await buffered()) < 5 * size) {
      assert.ok(sent < 200, 'nothing had to be kept');
      state.acceptBars(symbols.map((symbol) => bar(symbol, minute(sent), 100)));
      sent++;
    }
    const last = new Date(minute(sent - 1) * 60_000).toISOString();
    const isLast = (it: { type: string; bars: { time: string }[] }) => it.type === 'bars' && it.bars[0].time === last;
    await healthy.waitFor(isLast);
    assert.ok((await buffered()) <= 24 * 1024 * 1024);
    slow.socket.resume();
    await slow.waitFor(isLast);
    const times = ({ messages }: typeof slow) =>
      messages.filter((it) => it.type === 'bars').map((it) => it.bars[0].time);
    assert.equal(times(slow).length, sent);
    assert.deepEqual(times(slow), times(healthy));
    state.acceptBars([bar('A', minute(500), 1)]);
    await slow.waitFor((it) => it.type === 'bars' && it.bars.length === 1);
    assert.equal(await buffered(), 0, 'and nothing is kept once everybody has it');
  });

  test('refuses pages of other sites, but only where no token guards', async (t) => {
    const { url } = await serve(t);
    const other = new WebSocket(`${url.replace('http', 'ws')}/api/v1/stream`, { origin: 'https://example.org' });
    const [, response] = await once(other, 'unexpected-response');
    assert.equal(response.statusCode, 403);
    response.destroy();
    await connect(t, `${url}/api/v1/stream`, { origin: url });
  });

  test('takes the token in a header or in the query', async (t) => {
    const token = 'correct-horse-7';
    const { url } = await serve(t, { token });
    const address = `${url}/api/v1/stream`;
    const without = new WebSocket(address.replace('http', 'ws'));
    const [, response] = await once(without, 'unexpected-response');
    assert.equal(response.statusCode, 401);
    response.destroy();
    await connect(t, address, { headers: { Authorization: `Bearer ${token}` } });
    await connect(t, `${address}?token=${token}`, { origin: 'https://example.org' });
  });

  test('refuses more clients than it may have', async (t) => {
    const { url } = await serve(t, { maxClients: 1 });
    await connect(t, `${url}/api/v1/stream`);
    const { socket } = await connect(t, `${url}/api/v1/stream`);
    const [code] = await once(socket, 'close');
    assert.equal(code, 1013);
  });

  test('a client that sends too much is cut off', async (t) => {
    const { url } = await serve(t);
    const { socket } = await connect(t, `${url}/api/v1/stream`);
    socket.send('x'.repeat(2000));
    const [code] = await once(socket, 'close');
    assert.equal(code, 1009);
    assert.equal((await getJson(`${url}/healthz`)).status, 200);
  });

  test('closing the server tells the clients', async (t) => {
    const server = await serve(t);
    const { socket } = await connect(t, `${server.url}/api/v1/stream`);
    const closed = once(socket, 'close');
    await server.close();
    assert.equal((await closed)[0], 1001);
  });
});
