/**
 * The HTTP server: REST, WebSocket, metrics, probes and the page, over a `LiveState` that others feed.
 *
 * It binds to 127.0.0.1; another address needs a token. With a token, `/api/*` and `/metrics` answer only requests
 * that carry it; the page's files, `/docs` and the probes hold no data and stay open.
 */
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { isIPv6 } from 'node:net';
import fastifySwagger from '@fastify/swagger';
import fastifyWebsocket from '@fastify/websocket';
import fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { BarcastError, systemErrorCode } from '../base/index.ts';
import type { LiveState } from '../stream/index.ts';
import { checkAccess, isSameOrigin, tokenChecker } from './access.ts';
import { addApi } from './api.ts';
import { answerErrors, errorBody } from './errors.ts';
import { addMetrics } from './metrics.ts';
import { addPages } from './pages.ts';
import { ROUTES, SHARED_SCHEMAS } from './schemas.ts';
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
  /** Bytes that may wait for one WebSocket client before it is cut off. */
  readonly maxBufferedBytes?: number;
  readonly maxClients?: number;
  readonly heartbeatMs?: number;
}

export interface RunningServer {
  /** `http://127.0.0.1:8080`, without a slash at its end. */
  readonly url: string;
  /** Stops listening, answers what was asked, closes every connection. */
  close(): Promise<void>;
}

const REQUEST_LIMITS = { bodyLimit: 1024, requestTimeout: 30_000, keepAliveTimeout: 10_000 };
const MAX_HEADER_BYTES = 16 * 1024;
const MEBIBYTE = 1024 * 1024;

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
    ajv: { customOptions: { coerceTypes: true, removeAdditional: false } },
  });
  const hub = new StreamHub(state, {
    maxBufferedBytes: options.maxBufferedBytes ?? 4 * MEBIBYTE,
    maxClients: options.maxClients ?? 1000,
    heartbeatMs: options.heartbeatMs ?? 1000,
  });
  let stopMetrics = () => {};
  server.addHook('preClose', async () => hub.close());
  server.addHook('onClose', async () => {
    hub.terminate();
    stopMetrics();
  });
  try {
    answerErrors(server);
    await describe(server);
    // First, so that a refused upgrade is answered and its socket closed.
    await server.register(fastifyWebsocket, { options: { maxPayload: 1024 } });
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
      info: { title: 'barcast', description: manifest.description, version: manifest.version },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
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
