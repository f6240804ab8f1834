/**
 * Who may listen and who may ask. Without a token the server answers this machine alone; with one, every request for
 * data carries it.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { FastifyRequest } from 'fastify';
import { BarcastError } from '../base/index.ts';

/** Whether an address is reachable from this machine alone. */
export function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}

/** @throws BARCAST_E_TOKEN_REQUIRED for an address beyond this machine without a token; BARCAST_E_USAGE for a bad token */
export function checkAccess(host: string, token: string | undefined): void {
  if (token !== undefined && !/^[\x21-\x7e]{8,512}$/.test(token)) {
    throw new BarcastError(
      'BARCAST_E_USAGE',
      'the access token cannot be used',
      'choose 8 to 512 visible ASCII characters without a space',
    );
  }
  if (token === undefined && !isLoopback(host)) {
    throw new BarcastError(
      'BARCAST_E_TOKEN_REQUIRED',
      `listening on ${host} would let other machines in without an access token`,
      'give a token, or listen on 127.0.0.1',
    );
  }
}

const digest = (text: string) => createHash('sha256').update(text).digest();

/** Compares a request's token in constant time. */
export function tokenChecker(token: string): (request: FastifyRequest) => boolean {
  const expected = digest(token);
  return (request) => {
    const given = tokenOf(request);
    return given !== undefined && timingSafeEqual(digest(given), expected);
  };
}

/** The bearer token; for the WebSocket, where a browser can set no header, also the query's `token`. */
function tokenOf(request: FastifyRequest): string | undefined {
  const bearer = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '');
  if (bearer) return bearer[1];
  if (request.headers.upgrade?.toLowerCase() !== 'websocket') return undefined;
  const { token } = request.query as { token?: unknown };
  return typeof token === 'string' ? token : undefined;
}

/**
 * Whether a WebSocket comes from a page of this server, or from no page at all. Browsers let any site open a
 * WebSocket to this machine, so without a token the origin decides.
 */
export function isSameOrigin(request: IncomingMessage): boolean {
  const { origin, host } = request.headers;
  if (origin === undefined) return true;
  return URL.canParse(origin) && new URL(origin).host === host;
}
