/**
 * The simulated exchange: a local HTTP server that answers Yahoo's chart API from the simulated market.
 *
 *     GET /v8/finance/chart/SYMBOL?period1&period2&interval=1m   as Yahoo answers, refusals included
 *     GET /clock                                                 {now, speed}
 *     GET /pattern?from&to&symbols&horizon                       the best reachable score, see reachable.ts
 *
 * Every answer carries the exchange's time and speed in the headers `x-market-time` (ISO 8601 UTC) and `x-market-speed`.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { parseSymbol, parseSymbols, sessionsBetween } from '../../bars/index.ts';
import {
  BarcastError,
  type EpochMinute,
  isoOf,
  msToMinute,
  parseDay,
  systemErrorCode,
  toBarcastError,
} from '../../base/index.ts';
import { Allowance } from './allowance.ts';
import { chartAnswer, chartError } from './chart-answer.ts';
import { type ExchangeClock, type ExchangeClockOptions, exchangeClock } from './clock.ts';
import { FaultDice, type Faults } from './faults.ts';
import { Market, type MarketOptions } from './market.ts';
import { ReachableScore } from './reachable.ts';

export interface ExchangeOptions extends MarketOptions, ExchangeClockOptions {
  /** 0 for any free one. */
  readonly port: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
  readonly faults?: Faults;
  /** Chart requests a second that are answered, a second's worth saved up; others get status 429. Default: no limit. */
  readonly limitPerSecond?: number;
}

export interface Exchange {
  /** Without a slash at its end. */
  readonly url: string;
  readonly clock: ExchangeClock;
  readonly market: Market;
  /** Chart requests so far: granted, and refused by the limit. */
  readonly requests: { readonly granted: number; readonly refused: number };
  /** Drops open connections too. */
  close(): Promise<void>;
}

/** Days that one request may span, and days that are kept. */
export const DAYS_A_REQUEST = 7;
export const DAYS_KEPT = 30;
const SECONDS_A_DAY = 86_400;

/** @throws BARCAST_E_PORT_IN_USE, BARCAST_E_USAGE */
export async function startExchange(options: ExchangeOptions): Promise<Exchange> {
  const { host = '127.0.0.1' } = options;
  const market = new Market(options);
  const clock = exchangeClock(options);
  const dice = new FaultDice(options.seed, options.faults ?? {});
  const answering = new Answering(market, clock, dice, options.limitPerSecond);
  const server = createServer((request, response) => {
    answering.handle(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  await listen(server, options.port, host);
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    clock,
    market,
    requests: answering.requests,
    close: () =>
      new Promise((resolve) => {
        answering.stop();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const taken = systemErrorCode(error) === 'EADDRINUSE';
      reject(
        taken
          ? new BarcastError('BARCAST_E_PORT_IN_USE', `port ${port} is taken`, 'choose another with --port', {
              cause: error,
            })
          : toBarcastError(error),
      );
    });
    server.listen(port, host, resolve);
  });
}

class Answering {
  readonly #market: Market;
  readonly #clock: ExchangeClock;
  readonly #dice: FaultDice;
  readonly #stopped = new AbortController();
  readonly #allowance: Allowance | undefined;
  readonly requests = { granted: 0, refused: 0 };

  constructor(market: Market, clock: ExchangeClock, dice: FaultDice, limitPerSecond: number | undefined) {
    this.#market = market;
    this.#clock = clock;
    this.#dice = dice;
    if (limitPerSecond !== undefined) this.#allowance = new Allowance(limitPerSecond);
  }

  /** Ends answers that are held back. */
  stop(): void {
    this.#stopped.abort();
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://exchange');
    const chart = /^\/v8\/finance\/chart\/([^/]+)$/.exec(url.pathname);
    if (request.method !== 'GET') return this.#send(response, 405, { error: 'only GET is answered' });
    if (chart !== null) return this.#chart(decodeURIComponent(chart[1]), url.searchParams, response);
    if (url.pathname === '/clock') {
      return this.#send(response, 200, { now: isoOf(this.#clock.now()), speed: this.#clock.speed });
    }
    if (url.pathname === '/pattern') return this.#pattern(url.searchParams, response);
    return this.#send(response, 404, { error: 'there are /v8/finance/chart/SYMBOL, /clock and /pattern' });
  }

  async #chart(asked: string, query: URLSearchParams, response: ServerResponse): Promise<void> {
    const wait = this.#allowance?.take();
    this.requests[wait === undefined ? 'granted' : 'refused']++;
    const share = this.#dice.share(asked);
    const faulty = this.#dice.draw(asked);
    if (faulty('slow')) {
      const waited = await sleep(this.#dice.faults.slow?.value ?? 300, true, { signal: this.#stopped.signal }).catch(
        () => false,
      );
      if (!waited) return;
    }
    if (wait !== undefined) {
      response.setHeader('Retry-After', String(wait));
      return this.#sendText(response, 429, 'Too Many Requests\r\n', 'text/plain');
    }
    if (faulty('hang') && share < 0.5) return;
    if (faulty('429') || faulty('429-bare')) {
      if (faulty('429')) response.setHeader('Retry-After', String(this.#dice.faults['429']?.value ?? 1));
      return this.#sendText(response, 429, 'Too Many Requests\r\n', 'text/plain');
    }
    if (faulty('500')) return this.#send(response, 500, chartError('Internal Server Error', 'the server failed'));
    const symbol = this.#listed(asked);
    if (symbol === undefined) {
      return this.#send(response, 404, chartError('Not Found', 'No data found, symbol may be delisted'));
    }
    const now = this.#clock.now();
    const period1 = secondsOf(query.get('period1'));
    const period2 = secondsOf(query.get('period2'));
    const refusal = refusalOf(query.get('interval') ?? '1d', period1, period2, Math.floor(now / 1000));
    if (refusal !== undefined)
      return this.#send(response, refusal.status, chartError(refusal.code, refusal.description));
    const body = JSON.stringify(
      chartAnswer(this.#market, {
        symbol,
        period1,
        period2,
        now,
        dice: this.#dice,
        disguisePartial: faulty('partial'),
        events: (query.get('events') ?? '').split(/[|,]/),
      }),
    );
    const stops = faulty('hang') ? 'hang' : faulty('reset') ? 'reset' : undefined;
    if (stops !== undefined) {
      this.#head(response, 200, body, 'application/json;charset=utf-8', isoOf(now));
      response.write(body.slice(0, Math.floor(body.length * Math.max(0.01, share))));
      // What was written is to arrive before the connection drops.
      if (stops === 'reset') setTimeout(() => response.destroy(), 5);
      return;
    }
    const sent = faulty('malformed') ? body.slice(0, Math.floor(body.length / 2)) : body;
    return this.#sendText(response, 200, sent, 'application/json;charset=utf-8', isoOf(now));
  }

  #listed(asked: string): string | undefined {
    try {
      const symbol = parseSymbol(asked);
      return this.#market.has(symbol) ? symbol : undefined;
    } catch {
      return undefined;
    }
  }

  /** `from` and `to` are days, both included, or minutes since 1970, the second not included. */
  async #pattern(query: URLSearchParams, response: ServerResponse): Promise<void> {
    try {
      const today = isoOf(this.#clock.now()).slice(0, 10);
      const from = minuteOf(query.get('from') ?? today, 'open');
      const to = minuteOf(query.get('to') ?? today, 'close');
      const symbols = query.has('symbols') ? parseSymbols(query.get('symbols')!) : this.#market.symbols;
      const horizon = Number(query.get('horizon') ?? 5);
      if (!(Number.isInteger(horizon) && horizon >= 1 && horizon <= 300)) {
        throw new BarcastError('BARCAST_E_USAGE', `'${query.get('horizon')}' is not a horizon`, 'use 1 to 300 minutes');
      }
      const score = new ReachableScore(this.#market, { symbols, from, to, horizon });
      for (const symbol of symbols) {
        score.add(symbol);
        await nextTurn();
      }
      const { pattern } = this.#market;
      this.#send(response, 200, { pattern, horizonMinutes: horizon, ...score.result() });
    } catch (error) {
      if (!(error instanceof BarcastError)) throw error;
      this.#send(response, 400, { error: error.line });
    }
  }

  #send(response: ServerResponse, status: number, body: object): void {
    this.#sendText(response, status, JSON.stringify(body), 'application/json;charset=utf-8');
  }

  #sendText(
    response: ServerResponse,
    status: number,
    body: string,
    type: string,
    marketTime = isoOf(this.#clock.now()),
  ): void {
    this.#head(response, status, body, type, marketTime);
    response.end(body);
  }

  #head(response: ServerResponse, status: number, body: string, type: string, marketTime: string): void {
    response.writeHead(status, {
      'content-type': type,
      'content-length': Buffer.byteLength(body),
      'x-market-time': marketTime,
      'x-market-speed': String(this.#clock.speed),
    });
  }
}

const secondsOf = (text: string | null): number =>
  text !== null && /^\d{1,11}$/.test(text) ? Number(text) : Number.NaN;

/** Yahoo's refusals of a range. */
function refusalOf(
  interval: string,
  period1: number,
  period2: number,
  now: number,
): { status: number; code: string; description: string } | undefined {
  const bad = (description: string) => ({ status: 400, code: 'Bad Request', description });
  const unprocessable = (description: string) => ({ status: 422, code: 'Unprocessable Entity', description });
  if (interval !== '1m')
    return unprocessable(`Invalid input - interval=${interval} is not supported. Valid intervals: [1m]`);
  if (Number.isNaN(period1) || Number.isNaN(period2)) return bad('Invalid input - period1 and period2 are needed');
  if (period1 >= period2) {
    return bad(`Invalid input - start date cannot be after end date. startDate = ${period1}, endDate = ${period2}`);
  }
  const range = `1m data not available for startTime=${period1} and endTime=${period2}.`;
  if (period1 < now - DAYS_KEPT * SECONDS_A_DAY) {
    return unprocessable(`${range} The requested range must be within the last ${DAYS_KEPT} days.`);
  }
  if (period2 - period1 > DAYS_A_REQUEST * SECONDS_A_DAY) {
    return unprocessable(
      `${range} Only ${DAYS_A_REQUEST} days worth of 1m granularity data are allowed to be fetched per request.`,
    );
  }
  return undefined;
}

function minuteOf(text: string, end: 'open' | 'close'): EpochMinute {
  if (/^\d{1,10}$/.test(text)) return Number(text) as EpochMinute;
  const day = parseDay(text);
  const [session] = sessionsBetween(day, day);
  if (session !== undefined) return (end === 'open' ? session.open : session.close + 1) as EpochMinute;
  return msToMinute((Date.parse(day) + (end === 'open' ? 0 : 24 * 3_600_000)) as ReturnType<ExchangeClock['now']>);
}
