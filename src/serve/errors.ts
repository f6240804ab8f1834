/** Errors of the HTTP interface: `{ "error": { "code", "message" } }` with the codes of the command line. */
import type { Socket } from 'node:net';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { BarcastError, type ErrorCode } from '../base/index.ts';

/** An error with the HTTP status that carries it. */
export class HttpError extends Error {
  readonly statusCode: number;
  readonly code: ErrorCode;

  constructor(statusCode: number, code: ErrorCode, message: string) {
    super(message);
    this.statusCode = statusCode;
    this.code = code;
  }
}

export const errorBody = (code: ErrorCode, message: string) => ({ error: { code, message } });

/** Makes every error of the server, its 404 included, take the one form. What went wrong inside is logged, not told. */
export function answerErrors(server: FastifyInstance): void {
  server.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0];
    return reply.code(404).send(errorBody('BARCAST_E_USAGE', `there is no ${request.method} ${path}; see /docs`));
  });
  server.setErrorHandler(answerError);
}

export function answerError(error: FastifyError | HttpError, request: FastifyRequest, reply: FastifyReply): void {
  const status = error.statusCode ?? 500;
  const known = error instanceof HttpError || status < 500;
  if (!known) request.log.error(error);
  const code = error instanceof HttpError ? error.code : known ? 'BARCAST_E_USAGE' : 'BARCAST_E_INTERNAL';
  const told = known || (error as unknown) instanceof BarcastError ? error.message : 'the server failed to answer';
  void reply.code(known ? status : 500).send(errorBody(code, told));
}

const BROKEN: Readonly<Record<string, readonly [status: string, message: string]>> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'the address and the headers are more than 16 KiB'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: ['413 Payload Too Large', 'the extensions of a chunk are too long'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'the request did not come whole in time'],
};

/** Answers what is no HTTP, or more of it than is taken, in the same form, and closes the connection. */
export function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  if (socket.writable && error.code !== 'ECONNRESET') {
    const [status, message] = BROKEN[error.code ?? ''] ?? ['400 Bad Request', 'that is no HTTP request'];
    const body = JSON.stringify(errorBody('BARCAST_E_USAGE', message));
    const head = [`HTTP/1.1 ${status}`, 'Content-Type: application/json', `Content-Length: ${body.length}`];
    socket.write([...head, 'Connection: close', '', body].join('\r\n'));
  }
  socket.destroy(error);
}
