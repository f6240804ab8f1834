/** Servers that speak the protocols of streams, and a clock that tests set. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Bar } from '../../../src/bars/index.ts';
import {
  type Clock,
  type EpochMinute,
  epochMinute,
  epochMs,
  isoOfMinute,
  msToMinute,
} from '../../../src/base/index.ts';

/** Thursday 2020-01-02, 10:00 in New York: within the session. */
export const M0 = epochMinute(Date.parse('2020-01-02T15:00:00Z') / 60_000);

export class TestClock implements Clock {
  ms = epochMs(M0 * 60_000 + 30_000);
  now() {
    return this.ms;
  }
  /** Seconds after the begin of a minute that is so many after M0. */
  set(minutes: number, seconds: number): void {
    this.ms = epochMs((M0 + minutes) * 60_000 + seconds * 1000);
  }
}

/** Fast, as nobody waits for a server on this machine. */
export const PACE = {
  firstPauseMs: 10,
  longestPauseMs: 50,
  settleMs: 5000,
  pollMs: 2,
  keepAliveMs: 50,
  connectMs: 5000,
};

export const barOf = (symbol: string, minute: number, close = 100 + (minute % 50)): Bar => ({
  symbol,
  minute: epochMinute(minute),
  open: close - 0.5,
  high: close + 1,
  low: close - 1,
  close,
  volume: 1000 + (minute % 7),
});

export const keyOf = ({ symbol, minute, close }: Bar): string => `${symbol}+${minute - M0}=${close}`;

/** Counts connections as the source tells of them, and lets a test wait for them. */
export class Notices {
  readonly lines: string[] = [];
  #waiting: (() => void)[] = [];
  readonly take = (line: string): void => {
    this.lines.push(line);
    for (const wake of this.#waiting.splice(0)) wake();
  };

  /** Until the source has seen so many connections stand. */
  async connected(times: number): Promise<void> {
    while (this.lines.filter((line) => line.includes(': connected')).length < times)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

/** Collects what a source hands over, and lets a test wait for it. */
export class Collector {
  static readonly #all: Collector[] = [];
  readonly bars: Bar[] = [];
  readonly done: Promise<void>;
  readonly stop = new AbortController();
  #wake: (() => void)[] = [];
  #ended: unknown;

  constructor(live: (signal: AbortSignal) => AsyncGenerator<Bar[]>) {
    this.done = (async () => {
      try {
        for await (const bars of live(this.stop.signal)) {
          this.bars.push(...bars);
          for (const wake of this.#wake.splice(0)) wake();
        }
      } catch (error) {
        this.#ended = error;
        throw error;
      } finally {
        for (const wake of this.#wake.splice(0)) wake();
      }
    })();
    this.done.catch(() => {});
    Collector.#all.push(this);
  }

  /** For after a test: sources that one left running keep the process. */
  static stopAll(): void {
    for (const collector of Collector.#all) collector.stop.abort();
  }

  async until(holds: (bars: readonly Bar[]) => boolean): Promise<void> {
    while (!holds(this.bars)) {
      if (this.#ended !== undefined) throw this.#ended;
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  get keys(): string[] {
    return this.bars.map(keyOf);
  }
}

/** Until the clients have received everything that was pushed: they answer a ping in its turn. */
async function settled(sockets: ReadonlySet<WebSocket>): Promise<void> {
  for (const socket of sockets) {
    const answered = once(socket, 'pong');
    socket.ping();
    await answered;
  }
}

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** A server of Alpaca's protocol: the stream at `/v2/iex`, past bars at `/v2/stocks/bars`. */
export class AlpacaServer {
  readonly sockets = new Set<WebSocket>();
  /** Past bars, as REST hands them out. */
  past: Bar[] = [];
  rowsAPage = 3;
  readonly requests: string[] = [];
  readonly subscriptions: Record<string, string[]>[] = [];
  connections = 0;
  refuse: { code: number; msg: string } | undefined;
  restStatus = 200;
  url = '';
  readonly notices = new Notices();

  static async start(t: TestContext): Promise<AlpacaServer> {
    const alpaca = new AlpacaServer();
    const http = createServer((request, response) => {
      const { status, body } = alpaca.answer(new URL(request.url!, 'http://localhost'), request.headers);
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    const server = new WebSocketServer({ server: http, path: '/v2/iex' });
    server.on('connection', (socket) => alpaca.accept(socket));
    const port = await listening(http);
    alpaca.url = `127.0.0.1:${port}`;
    t.after(() => {
      for (const socket of alpaca.sockets) socket.terminate();
      server.close();
      http.close();
      http.closeAllConnections();
    });
    return alpaca;
  }

  get options() {
    return {
      key: 'KEY',
      secret: 'SECRET',
      streamUrl: `ws://${this.url}/v2`,
      dataUrl: `http://${this.url}`,
      pace: PACE,
      notice: this.notices.take,
    };
  }

  accept(socket: WebSocket): void {
    this.connections++;
    const send = (message: object) => socket.send(JSON.stringify([message]));
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('message', (data) => {
      const message = JSON.parse(String(data)) as { action: string; key?: string; secret?: string };
      if (message.action === 'auth') {
        if (this.refuse !== undefined) return send({ T: 'error', ...this.refuse });
        if (message.key !== 'KEY' || message.secret !== 'SECRET')
          return send({ T: 'error', code: 402, msg: 'auth failed' });
        return send({ T: 'success', msg: 'authenticated' });
      }
      const { action: _, ...asked } = message as { action: string } & Record<string, string[]>;
      this.subscriptions.push(asked);
      send({ T: 'subscription', trades: [], quotes: [], bars: [], ...asked });
      this.sockets.add(socket);
    });
    send({ T: 'success', msg: 'connected' });
  }

  push(...messages: object[]): void {
    for (const socket of this.sockets) socket.send(JSON.stringify(messages));
  }

  settled = (): Promise<void> => settled(this.sockets);

  /** Breaks every connection, as a network does. */
  drop(): void {
    for (const socket of this.sockets) socket.terminate();
    this.sockets.clear();
  }

  answer(url: URL, headers: Record<string, unknown>): { status: number; body: object } {
    this.requests.push(url.search);
    if (headers['apca-api-key-id'] !== 'KEY' || headers['apca-api-secret-key'] !== 'SECRET')
      return { status: 403, body: { message: 'forbidden.' } };
    if (this.restStatus !== 200) return { status: this.restStatus, body: {} };
    const at = (name: string) => Date.parse(url.searchParams.get(name)!) / 60_000;
    const symbols = url.searchParams.get('symbols')!.split(',');
    const rows = this.past.filter(
      ({ symbol, minute }) =>
        symbols.includes(symbol.replace('-', '.')) && minute >= at('start') && minute <= at('end'),
    );
    const first = Number(url.searchParams.get('page_token') ?? 0);
    const page = rows.slice(first, first + this.rowsAPage);
    const bars = Object.fromEntries(
      [...Map.groupBy(page, ({ symbol }) => symbol)].map(([symbol, own]) => [symbol.replace('-', '.'), own.map(rest)]),
    );
    const more = first + this.rowsAPage < rows.length ? String(first + this.rowsAPage) : null;
    return { status: 200, body: { bars, next_page_token: more } };
  }
}

const rest = ({ minute, open, high, low, close, volume }: Bar) => ({
  t: isoOfMinute(minute),
  o: open,
  h: high,
  l: low,
  c: close,
  v: volume,
  n: 10,
  vw: close,
});

/** A bar as the stream pushes it. */
export const pushed = (bar: Bar) => ({ T: 'b', S: bar.symbol.replace('-', '.'), ...rest(bar) });

export const minuteOf = (clock: Clock): EpochMinute => msToMinute(clock.now());

/** A server of Yahoo's stream of quotes. */
export class QuoteServer {
  readonly sockets = new Set<WebSocket>();
  readonly asked: string[] = [];
  url = '';
  #waiting: (() => void)[] = [];

  static async start(t: TestContext): Promise<QuoteServer> {
    const quotes = new QuoteServer();
    const http = createServer();
    const server = new WebSocketServer({ server: http });
    server.on('connection', (socket) => {
      socket.on('close', () => quotes.sockets.delete(socket));
      socket.on('message', (data) => {
        quotes.asked.push(String(data));
        quotes.sockets.add(socket);
        for (const wake of quotes.#waiting.splice(0)) wake();
      });
    });
    quotes.url = `ws://127.0.0.1:${await listening(http)}`;
    t.after(() => {
      for (const socket of quotes.sockets) socket.terminate();
      server.close();
      http.close();
    });
    return quotes;
  }

  async connected(): Promise<void> {
    while (this.sockets.size === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  settled = (): Promise<void> => settled(this.sockets);

  async askedAgain(times: number): Promise<void> {
    while (this.asked.length < times) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** @param enveloped as the second version of the stream has it */
  quote(id: string, timeMs: number, price: number, dayVolume: number, enveloped = true): void {
    const message = encodePricingData(id, timeMs, price, dayVolume).toString('base64');
    const text = enveloped ? JSON.stringify({ type: 'pricing', message }) : message;
    for (const socket of this.sockets) socket.send(text);
  }

  drop(): void {
    for (const socket of this.sockets) socket.terminate();
    this.sockets.clear();
  }
}

/** By the rules of Protocol Buffers, with fields around those that count. */
export function encodePricingData(id: string, timeMs: number, price: number, dayVolume: number): Buffer {
  const bytes: number[] = [];
  const varint = (value: bigint) => {
    let rest = value;
    for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
    bytes.push(Number(rest));
  };
  const text = (field: number, value: string) => {
    varint(BigInt(field * 8 + 2));
    varint(BigInt(Buffer.byteLength(value)));
    bytes.push(...Buffer.from(value));
  };
  const float = (field: number, value: number) => {
    const four = Buffer.alloc(4);
    four.writeFloatLE(value);
    varint(BigInt(field * 8 + 5));
    bytes.push(...four);
  };
  const signed = (field: number, value: number) => {
    varint(BigInt(field * 8));
    varint(BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n)));
  };
  text(1, id);
  float(2, price);
  signed(3, timeMs);
  text(4, 'USD');
  text(5, 'NMS');
  varint(6n * 8n);
  varint(8n);
  varint(7n * 8n);
  varint(1n);
  float(8, -0.25);
  signed(9, dayVolume);
  float(12, -1.5);
  signed(27, 2);
  varint(99n * 8n + 1n);
  bytes.push(1, 2, 3, 4, 5, 6, 7, 8);
  return Buffer.from(bytes);
}
