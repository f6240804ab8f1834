/** Errors of the HTTP interface: `{ "error": { "code", "message" } }` with the codes of the command line. */
import type { FastifyError, FastifyInstance } from 'fastify';
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
  server.setErrorHandler((error: FastifyError | HttpError, request, reply) => {
    const status = error.statusCode ?? 500;
    if (error instanceof HttpError) return reply.code(status).send(errorBody(error.code, error.message));
    if (status < 500) return reply.code(status).send(errorBody('BARCAST_E_USAGE', error.message));
    request.log.error(error);
    const told = (error as unknown) instanceof BarcastError ? error.message : 'the server failed to answer';
    return reply.code(500).send(errorBody('BARCAST_E_INTERNAL', told));
  });
}
