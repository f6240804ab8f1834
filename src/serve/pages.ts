/** The page at `/`, the page of the interface at `/docs`, and the chart library: all from this machine's own files. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';

const WEB = fileURLToPath(new URL('../../web/', import.meta.url));
const CHART_LIBRARY = 'lightweight-charts.standalone.production.mjs';

/** The library styles its own elements in the page, so inline styles are allowed; scripts are not. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self' ws: wss:",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

export async function addPages(server: FastifyInstance): Promise<void> {
  server.addHook('onSend', async (request, reply) => {
    void reply.header('X-Content-Type-Options', 'nosniff').header('Referrer-Policy', 'no-referrer');
    if (request.url.startsWith('/api/')) void reply.header('Cache-Control', 'no-store');
    else void reply.header('Content-Security-Policy', CONTENT_SECURITY_POLICY);
  });
  // One route a file: any other path is not found here, whatever it looks like.
  await server.register(fastifyStatic, { root: WEB, wildcard: false, cacheControl: true, maxAge: 0, schemaHide: true });
  const charts = dirname(createRequire(import.meta.url).resolve('lightweight-charts/package.json'));
  server.get('/vendor/lightweight-charts.mjs', { schema: { hide: true } }, (_request, reply) =>
    reply.sendFile(CHART_LIBRARY, join(charts, 'dist'), { maxAge: '1h' }),
  );
  server.get('/docs', { schema: { hide: true } }, (_request, reply) => reply.sendFile('docs.html'));
  server.get('/docs/openapi.json', { schema: { hide: true } }, () => server.swagger());
}
