/**
 * The HTTP server: REST, WebSocket, metrics, probes and the page, over a `LiveState` that others feed.
 *
 * It binds to 127.0.0.1; another address needs a token. With a token, `/api/*` and `/metrics` answer only requests
 * that carry it; the page's files, `/docs` and the probes hold no data and stay open. Every address may ask so many
 * times a minute, refused requests included; the probes are not counted.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isIPv6 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import fastifyRateLimit from '@fastify/rate-limit';
import fastifySwagger from '@fastify/swagger';
import fastifyWebsocket from '@fastify/websocket';
import fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { BarcastError, systemErrorCode } from '../base/index.ts';
import type { LiveState } from '../stream/index.ts';
import { checkAccess, isSameOrigin, tokenChecker } from './access.ts';
import { addApi } from './api.ts';
import { answerBrokenRequest, answerError, answerErrors, errorBody } from './errors.ts';
import { addMetrics } from './metrics.ts';
import { addPages } from './pages.ts';
import { ROUTES, SHARED_SCHEMAS, TAGS } from './schemas.ts';
import { StreamHub } from './stream-hub.ts';

export interface ServerOptions {
  readonly state: LiveState;
  /** An address of this machine. Beyond the loopback it needs a token. */
  readonly host?: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** 8 to 512 visible ASCII characters. */
  readonly token?: string;
  /** Logs requests to standard error as JSON lines from this level on; quiet without it. Queries are left out. */
  readonly logLevel?: 'error' | 'warn' | 'info' | 'debug';
  /** Requests a minute from one address; false for any number. WebSockets count once. 1,200 unless given. */
  readonly rateLimit?: number | false;
  /** Addresses of proxies whose `X-Forwarded-For` is believed, as `10.0.0.0/8,127.0.0.1`; the rate limit counts by it. */
  readonly trustProxy?: string;
  /** Bytes of messages kept for WebSocket clients that are behind, all of them together; 16 MiB unless given. */
  readonly maxBufferedBytes?: number;
  /** 2,000 unless given. */
  readonly maxClients?: number;
  readonly heartbeatMs?: number;
  /** How long `close` lets requests finish before it cuts them; 10 s unless given. */
  readonly finishMs?: number;
}

export interface RunningServer {
  /** `http://127.0.0.1:8080`, without a slash at its end. */
  readonly url: string;
  /** Stops listening, finishes the answers it has begun, tells the WebSocket clients, closes every connection. */
  close(): Promise<void>;
}

const REQUEST_LIMITS = { bodyLimit: 1024, requestTimeout: 30_000, keepAliveTimeout: 10_000 };
const MAX_HEADER_BYTES = 16 * 1024;
const MEBIBYTE = 1024 * 1024;
/** A page takes some twenty requests to open and three a minute afterwards. */
const REQUESTS_A_MINUTE = 1200;
/** Addresses that the rate limit remembers; the one not heard of for longest is forgotten. */
const ADDRESSES = 10_000;
/** What a stopping server waits for WebSocket clients to say goodbye, and for answers to be read. */
const GOODBYE_MS = 2000;
const FINISH_MS = 10_000;

/**
 * Starts the server.
 * @throws BARCAST_E_TOKEN_REQUIRED, BARCAST_E_PORT_IN_USE, BARCAST_E_PERMISSION (a port below 1024), BARCAST_E_USAGE
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { state, host = '127.0.0.1', port, token } = options;
  checkAccess(host, token);
  const server: FastifyInstance = fastify({
    ...REQUEST_LIMITS,
    http: { maxHeaderSize: MAX_HEADER_BYTES },
    routerOptions: { maxParamLength: 100 },
    loggerInstance: loggerOf(options.logLevel),
    forceCloseConnections: true,
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: answerError,
    trustProxy: options.trustProxy ?? false,
    ajv: { customOptions: { coerceTypes: true, removeAdditional: false } },
  });
  const hub = new StreamHub(state, {
    maxBufferedBytes: options.maxBufferedBytes ?? 16 * MEBIBYTE,
    maxClients: options.maxClients ?? 2000,
    heartbeatMs: options.heartbeatMs ?? 1000,
  });
  let stopMetrics = () => {};
  const answers = new AnswersUnderWay(server);
  server.addHook('preClose', async () => {
    const finishMs = options.finishMs ?? FINISH_MS;
    await Promise.all([answers.finish(finishMs), hub.close(Math.min(GOODBYE_MS, finishMs))]);
  });
  server.addHook('onClose', async () => stopMetrics());
  try {
    answerErrors(server);
    await describe(server);
    // First, so that a refused upgrade is answered and its socket closed.
    await server.register(fastifyWebsocket, { options: { maxPayload: 1024 } });
    await limit(server, options.rateLimit ?? REQUESTS_A_MINUTE);
    guard(server, token);
    for (const schema of SHARED_SCHEMAS) server.addSchema(schema);
    addApi(server, state);
    addStream(server, hub, token !== undefined);
    stopMetrics = addMetrics(server, state, hub);
    await addPages(server);
    await server.listen({ host, port });
  } catch (error) {
    await server.close();
    throw listenError(error, host, port);
  }
  const bound = (server.server.address() as AddressInfo).port;
  return { url: `http://${isIPv6(host) ? `[${host}]` : host}:${bound}`, close: () => server.close() };
}

/**
 * Answers that were begun and not yet handed to the operating system whole. Node's own `close` cuts those that are
 * still being sent: a connection counts as idle once its answer is written, read or not.
 */
class AnswersUnderWay {
  readonly #open = new Set<ServerResponse>();
  #stopping = false;

  constructor(server: FastifyInstance) {
    server.addHook('onRequest', async (request, reply) => {
      if (this.#stopping) {
        const body = errorBody('BARCAST_E_INTERRUPTED', 'the server is stopping');
        await reply.code(503).header('Connection', 'close').send(body);
      } else if (!request.ws) {
        this.#open.add(reply.raw);
        reply.raw.once('close', () => this.#open.delete(reply.raw));
      }
    });
  }

  /** Refuses further requests; resolves when every answer is out, or after so long. */
  async finish(withinMs: number): Promise<void> {
    this.#stopping = true;
    const late = new AbortController();
    const passed = sleep(withinMs, undefined, { signal: late.signal }).catch(() => {});
    const whole = Promise.all([...this.#open].map((answer) => once(answer, 'close', { signal: late.signal }))).catch(
      () => {},
    );
    await Promise.race([whole, passed]);
    late.abort();
  }
}

/** Counts every request by its address, found or not, allowed or not. */
async function limit(server: FastifyInstance, most: number | false): Promise<void> {
  if (most === false) return;
  await server.register(fastifyRateLimit, { global: false, cache: ADDRESSES });
  const count = server.createRateLimit({ max: most, timeWindow: 60_000 });
  server.addHook('onRequest', async (request, reply) => {
    const route = request.routeOptions.url;
    if (route === '/healthz' || route === '/readyz') return;
    const counted = await count(request);
    if (counted.isAllowed || !counted.isExceeded) return;
    const message = `more than ${most} requests a minute from one address; ask again in ${counted.ttlInSeconds} s`;
    await reply
      .code(429)
      .header('Retry-After', String(counted.ttlInSeconds))
      .send(errorBody('BARCAST_E_RATE_LIMITED', message));
  });
}

function guard(server: FastifyInstance, token: string | undefined): void {
  if (token === undefined) return;
  const allowed = tokenChecker(token);
  server.addHook('onRequest', async (request, reply) => {
    // By the route that was found, since a path can be spelled in many ways; by the path where none was found.
    const paths = [request.routeOptions.url ?? '', request.url];
    const guarded = paths.some((path) => path.startsWith('/api/') || path === '/metrics');
    if (!guarded || allowed(request)) return;
    const message = 'this needs the access token, as in Authorization: Bearer TOKEN';
    await reply.code(401).header('WWW-Authenticate', 'Bearer').send(errorBody('BARCAST_E_TOKEN_REQUIRED', message));
  });
}

async function describe(server: FastifyInstance): Promise<void> {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  await server.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'barcast',
        description: manifest.description,
        version: manifest.version,
        license: { name: manifest.license, identifier: manifest.license },
      },
      servers: [{ url: '/', description: 'This server' }],
      tags: TAGS,
      components: {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer', description: 'The access token, where the server has one' },
          tokenInQuery: { type: 'apiKey', in: 'query', name: 'token', description: 'The same, for WebSockets alone' },
        },
      },
    },
    refResolver: { buildLocalReference: (json, _base, _fragment, i) => String(json.$id ?? `schema-${i}`) },
  });
}

function addStream(server: FastifyInstance, hub: StreamHub, hasToken: boolean): void {
  server.route({
    method: 'GET',
    url: '/api/v1/stream',
    schema: ROUTES.stream,
    preValidation: async (request, reply) => {
      if (hasToken || isSameOrigin(request.raw)) return;
      await reply.code(403).send(errorBody('BARCAST_E_USAGE', 'a page of another site may not read this stream'));
    },
    handler: (_request, reply) =>
      reply
        .code(426)
        .header('Upgrade', 'websocket')
        .send(errorBody('BARCAST_E_USAGE', 'connect here with a WebSocket')),
    wsHandler: (client) => hub.add(client),
  });
}

function loggerOf(level: ServerOptions['logLevel']): FastifyBaseLogger {
  if (level === undefined) return pino({ level: 'silent' });
  const serializers = {
    req: (request: { method: string; url: string }) => ({ method: request.method, path: request.url.split('?')[0] }),
  };
  return pino({ level, serializers }, pino.destination(2));
}

function listenError(error: unknown, host: string, port: number): unknown {
  const code = systemErrorCode(error);
  if (code === 'EADDRINUSE') {
    const remedy = 'choose another port, or stop what listens there';
    return new BarcastError('BARCAST_E_PORT_IN_USE', `port ${port} of ${host} is taken`, remedy, { cause: error });
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    const remedy = 'give an address of this machine, as 127.0.0.1';
    return new BarcastError('BARCAST_E_USAGE', `${host} is not an address of this machine`, remedy, { cause: error });
  }
  return error;
}
