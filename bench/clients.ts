/**
 * The WebSocket stream under many clients, some of which have stopped reading: from the server's clock to the client,
 * milliseconds. Two servers in this process get messages by turns, one whose clients all read and one with some that do
 * not; the clients of each live in two processes of their own. Each measurement checks that every
 * client that reads has had every message once and in order, and that those that do not were still connected and behind.
 *
 * Whatever else the machine does for a moment makes the slowest hundredth of a whole run. So the p99 that are held
 * against each other are those of {@link BLOCK} messages to all clients, and the median of these blocks counts.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { BarcastError, epochMinute, isoOfMinute, systemClock } from '../src/base/index.ts';
import { startServer } from '../src/serve/index.ts';
import { type Forecast, LiveState } from '../src/stream/index.ts';
import type { LoadAnswer } from './clients-load.ts';
import { circumstances } from './timing.ts';

export interface ClientsOptions {
  readonly clients: number;
  /** Of them, clients that have stopped reading. */
  readonly stalled: number;
  /** Forecasts a message. */
  readonly symbols: number;
  readonly messages: number;
  readonly intervalMs: number;
  /** Measurements; their times are taken together. */
  readonly rounds: number;
}

const LOAD = fileURLToPath(new URL('./clients-load.ts', import.meta.url));
const PROCESSES = 2;
const WARM_UP = 5;
/** Messages of which a p99 is taken. */
const BLOCK = 5;
const OPEN = epochMinute(Date.UTC(2020, 0, 2, 14, 30) / 60_000);
const MODEL = { name: 'bench', weightsHash: 'bench', horizonMinutes: 5, level: 0.8 };
/** What fills the buffers of the operating system between a server and a client that does not read. */
const FILL_BYTES = 12 * 2 ** 20;

const forecastsOf = (minute: number, symbols: number): Forecast[] =>
  Array.from({ length: symbols }, (_, i) => ({
    symbol: `S${i}`,
    asOf: isoOfMinute(epochMinute(OPEN + minute)),
    horizonMinutes: MODEL.horizonMinutes,
    lastClose: 100 + i / 7,
    predictedClose: 100.1 + i / 7,
    predictedReturn: 0.0009995,
    volatility: 0.0012,
    interval: { level: MODEL.level, low: 99.5 + i / 7, high: 100.7 + i / 7 },
    model: MODEL.name,
    weightsHash: MODEL.weightsHash,
    latencyMs: 4.2,
  }));

const failed = (what: string) => new BarcastError('BARCAST_E_INTERNAL', what, 'report what this prints');

/** A client that says hello and never reads. */
async function stalledClient(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(
    `GET /api/v1/stream HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
  );
  await once(socket, 'readable');
  return socket;
}

/** Waits for a figure of `/metrics`. */
async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)`, 'm').exec(text)?.[1]);
}

/** A server with its clients, all connected, and those that do not read behind already. */
async function open({ clients, symbols, messages }: ClientsOptions, stalled: number) {
  const state = new LiveState({ clock: systemClock });
  state.setModel(MODEL);
  state.setSource({ name: 'bench', state: 'running', detail: null });
  const server = await startServer({ state, port: 0, rateLimit: false, maxBufferedBytes: 4 * FILL_BYTES });
  const sockets: Socket[] = [];
  let minute = 0;
  const publish = () => state.acceptForecasts(forecastsOf(++minute, symbols));
  const close = async () => {
    for (const socket of sockets) socket.destroy();
    await server.close();
  };
  try {
    for (let i = 0; i < stalled; i++) sockets.push(await stalledClient(server.url));
    const bytesPerMessage = JSON.stringify(forecastsOf(0, symbols)).length;
    if (stalled > 0) for (let bytes = 0; bytes < FILL_BYTES; bytes += bytesPerMessage) publish();
    const url = `${server.url.replace('http', 'ws')}/api/v1/stream`;
    const share = Math.floor((clients - stalled) / PROCESSES);
    const loads = Array.from({ length: PROCESSES }, () => fork(LOAD, { stdio: ['ignore', 2, 2, 'ipc'] }));
    const ready = loads.map((load) => once(load, 'message'));
    for (const load of loads) load.send({ url, clients: share, warmUp: WARM_UP, messages });
    await Promise.all(ready);
    const answers = loads.map(async (load) => (await once(load, 'message'))[0] as LoadAnswer);
    const finish = async () => {
      const behindBytes = await metric(server.url, 'barcast_stream_buffered_bytes');
      const connected = await metric(server.url, 'barcast_stream_clients');
      const got = await Promise.all(answers);
      const latencies = Array.from({ length: messages }, (_, m) => got.flatMap((answer) => answer.latencies[m]));
      const wrong = got.reduce((sum, answer) => sum + answer.wrong, 0);
      if (wrong > 0 || latencies.flat().length !== PROCESSES * share * messages)
        throw failed(`${wrong} messages were lost or came out of order of ${PROCESSES * share * messages}`);
      if (stalled > 0 && (behindBytes < bytesPerMessage || connected < stalled))
        throw failed('the clients that do not read were not behind, or were gone');
      return { latencies, behindBytes };
    };
    return { publish, finish, close, bytesPerMessage, clients: PROCESSES * share + stalled };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Two servers side by side that get a message by turns, so that whatever else the machine does hits both alike. */
async function measure(options: ClientsOptions) {
  const all = await open(options, 0);
  try {
    const some = await open(options, options.stalled);
    try {
      for (let m = 0; m < WARM_UP + options.messages; m++) {
        // Each goes first by turns: the second one's clients may still be busy with the first one's message.
        for (const server of m % 2 === 0 ? [all, some] : [some, all]) {
          const startedAt = performance.now();
          server.publish();
          await sleep(Math.max(0, startedAt + options.intervalMs / 2 - performance.now()));
        }
      }
      const [without, withStalled] = [await all.finish(), await some.finish()];
      return { without, withStalled, bytesPerMessage: some.bytesPerMessage, clients: some.clients };
    } finally {
      await some.close();
    }
  } finally {
    await all.close();
  }
}

const sorted = (values: readonly number[]) => [...values].sort((a, b) => a - b);
const quantile = (ascending: readonly number[], share: number) =>
  ascending[Math.min(ascending.length - 1, Math.floor(share * ascending.length))];

/** The p99 of every {@link BLOCK} messages to all clients. */
function blockP99s(latencies: readonly (readonly number[])[]): number[] {
  const p99s: number[] = [];
  for (let from = 0; from < latencies.length; from += BLOCK)
    p99s.push(quantile(sorted(latencies.slice(from, from + BLOCK).flat()), 0.99));
  return p99s;
}

export async function benchClients(options: ClientsOptions) {
  const rounds: Awaited<ReturnType<typeof measure>>[] = [];
  for (let round = 0; round < options.rounds; round++) rounds.push(await measure(options));
  const figures = (runs: readonly { readonly latencies: readonly (readonly number[])[] }[]) => {
    const all = sorted(runs.flatMap(({ latencies }) => latencies.flat()));
    const blocks = runs.map(({ latencies }) => blockP99s(latencies));
    return {
      p50Ms: quantile(all, 0.5),
      p99Ms: quantile(sorted(blocks.flat()), 0.5),
      p99MsOfRounds: blocks.map((p99s) => quantile(sorted(p99s), 0.5)),
      p99MsOfAll: quantile(all, 0.99),
    };
  };
  const without = figures(rounds.map((round) => round.without));
  const withStalled = figures(rounds.map((round) => round.withStalled));
  const [{ clients, bytesPerMessage, withStalled: first }] = rounds;
  return {
    clients,
    stalled: options.stalled,
    messages: options.messages,
    intervalMs: options.intervalMs,
    bytesPerMessage,
    rounds: options.rounds,
    ...without,
    withStalledP50Ms: withStalled.p50Ms,
    withStalledP99Ms: withStalled.p99Ms,
    withStalledP99MsOfRounds: withStalled.p99MsOfRounds,
    withStalledP99MsOfAll: withStalled.p99MsOfAll,
    ratio: withStalled.p99Ms / without.p99Ms,
    stalledBehindBytes: first.behindBytes,
    ...circumstances(),
  };
}
