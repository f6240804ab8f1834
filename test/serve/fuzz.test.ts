/** Hostile requests and WebSocket frames: a clear refusal, no crash, no effect on the others. */
import assert from 'node:assert/strict';
import { connect as connectSocket, type Socket } from 'node:net';
import { test } from 'node:test';
import { Random } from '../../src/base/index.ts';
import { bar, connect, filledState, forecastOf, getJson, minute, serve } from './fixtures.ts';
import { HostileRequests, type OpenApi } from './hostile-requests.ts';

const REQUESTS = 1500;
const SOCKETS = 150;
const AT_ONCE = 16;
const SEED = Number(process.env.BARCAST_FUZZ_SEED ?? 1);

/** Writes bytes and answers everything that comes until the server closes or the first answer is whole. */
function exchange(port: number, bytes: Buffer, whole: boolean): Promise<string> {
  return new Promise((resolve) => {
    const socket = connectSocket(port, '127.0.0.1');
    let text = '';
    const done = () => {
      socket.destroy();
      resolve(text);
    };
    socket.setEncoding('latin1').on('data', (part: string) => {
      text += part;
      const [head, ...rest] = text.split('\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? Number.NaN);
      // What has no length is a WebSocket, or ends with the connection.
      if (rest.length > 0 && (rest.join('\r\n\r\n').length >= length || head.includes(' 101 '))) done();
    });
    socket.on('error', done).on('close', done);
    socket.write(bytes);
    // A server that waits for more is told that there is none.
    if (!whole) socket.end();
  });
}

async function inParallel(count: number, work: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

test(`hostile requests from the OpenAPI document (seed ${SEED})`, async (t) => {
  const state = filledState();
  const { url } = await serve(t, { state, rateLimit: false });
  const port = Number(new URL(url).port);
  const api = (await getJson(`${url}/docs/openapi.json`)).body as OpenApi;
  state.acceptForecasts([forecastOf('A', minute(100), 100, 0)]);
  const hostile = new HostileRequests(new Random(SEED), api);
  const watcher = await connect(t, `${url}/api/v1/stream`);
  const seen = new Map<string, number>();
  await inParallel(REQUESTS, async (i) => {
    const { bytes, plain } = hostile.next();
    const answer = await exchange(port, bytes, plain !== undefined);
    const said = bytes.subarray(0, 200).toString('latin1');
    const status = /^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1] ?? 'none';
    seen.set(status, (seen.get(status) ?? 0) + 1);
    assert.ok(status === 'none' || Number(status) < 500, `${status} to ${JSON.stringify(said)}`);
    assert.doesNotMatch(answer, /devDependencies|root:x:0|\n\s+at /, `it tells too much: ${said}`);
    if (plain !== undefined) {
      const documented = Object.keys(api.paths[plain].get.responses);
      assert.ok(
        ['431', '414', ...documented].includes(status),
        `${status} to ${JSON.stringify(said)}: not in the document`,
      );
    }
    const [head] = answer.split('\r\n\r\n', 1);
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
    // An answer without a body is to HEAD.
    const json = /content-type: application\/json/i.test(head) && length > 0 && !/^HEAD/i.test(said);
    if (Number(status) >= 400 && json) {
      const text = answer.substring(head.length + 4, head.length + 4 + length);
      const body = JSON.parse(Buffer.from(text, 'latin1').toString());
      assert.match(body.error?.code ?? text, /^BARCAST_E_/, said);
    }
    if (i % 100 > 0) return;
    state.acceptBars([bar('A', minute(100 + i / 100), 100)]);
    state.acceptForecasts([forecastOf('A', minute(101 + i / 100), 100, 0)]);
  });
  t.diagnostic(
    `answers: ${[...seen]
      .sort()
      .map(([status, count]) => `${status}: ${count}`)
      .join(', ')}`,
  );
  assert.ok((seen.get('200') ?? 0) > 50 && (seen.get('400') ?? 0) > 50 && (seen.get('404') ?? 0) > 50);
  // Whoever was connected before has missed nothing.
  await watcher.waitFor((it) => it.type === 'bars' && it.bars[0].time === new Date(minute(114) * 60_000).toISOString());
  assert.equal(watcher.messages.filter((it) => it.type === 'bars').length, REQUESTS / 100);
  assert.equal((await getJson(`${url}/api/v1/predictions`)).body.predictions.length, 2);
});

test(`hostile WebSocket frames (seed ${SEED})`, async (t) => {
  const state = filledState();
  const { url } = await serve(t, { state, rateLimit: false, heartbeatMs: 20 });
  const port = Number(new URL(url).port);
  const api = (await getJson(`${url}/docs/openapi.json`)).body as OpenApi;
  const hostile = new HostileRequests(new Random(SEED), api);
  const watcher = await connect(t, `${url}/api/v1/stream`);
  const open: Socket[] = [];
  t.after(() => {
    for (const socket of open) socket.destroy();
  });
  await inParallel(SOCKETS, async (i) => {
    const socket = connectSocket(port, '127.0.0.1');
    open.push(socket);
    socket.on('error', () => {});
    const opened = new Promise<void>((resolve) => socket.once('data', () => resolve()).once('close', () => resolve()));
    socket.write(
      'GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
    );
    await opened;
    for (let f = 0; f < 5 && socket.writable; f++) socket.write(hostile.frames());
    if (i % 10 === 0) state.acceptBars([bar('A', minute(100 + i / 10), 100)]);
    if (i % 3 === 0) socket.destroy();
    else socket.resume();
  });
  const last = new Date(minute(100 + (SOCKETS - 10) / 10) * 60_000).toISOString();
  await watcher.waitFor((it) => it.type === 'bars' && it.bars[0].time === last);
  assert.equal(watcher.messages.filter((it) => it.type === 'bars').length, SOCKETS / 10);
  for (const socket of open) socket.destroy();
  // All of them are gone and only the watcher is left.
  const clients = async () =>
    Number(/^barcast_stream_clients (\d+)/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1]);
  while ((await clients()) > 1) await watcher.waitFor((it) => it.type === 'time');
  assert.equal(await clients(), 1);
});
