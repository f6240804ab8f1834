/** The REST routes under /api/v1 and the two probes. They read the state and change nothing. */
import type { FastifyInstance } from 'fastify';
import type { LiveState } from '../stream/index.ts';
import { HttpError } from './errors.ts';
import { ROUTES } from './schemas.ts';
import { barView } from './views.ts';

export function addApi(server: FastifyInstance, state: LiveState): void {
  const known = (text: string): string => {
    const symbol = state.findSymbol(text);
    if (symbol === undefined) {
      throw new HttpError(404, 'BARCAST_E_SYMBOL', `'${text}' is not a symbol that this server follows`);
    }
    return symbol;
  };
  const noModel = () => new HttpError(503, 'BARCAST_E_MODEL_MISSING', 'no model is loaded yet; /readyz says why');

  server.get<{ Querystring: { symbols?: string } }>(
    '/api/v1/predictions',
    { schema: ROUTES.predictions },
    ({ query }) => {
      const wanted = query.symbols
        ?.split(',')
        .map((it) => it.trim())
        .filter(Boolean)
        .map(known);
      return { marketTime: state.marketTime(), predictions: state.latest(wanted) };
    },
  );

  server.get<{ Params: { symbol: string }; Querystring: { limit: number } }>(
    '/api/v1/predictions/:symbol',
    { schema: ROUTES.prediction },
    ({ params, query }) => {
      const symbol = known(params.symbol);
      const recent = state.recent(symbol, query.limit);
      return { symbol, marketTime: state.marketTime(), latest: recent[0] ?? null, recent };
    },
  );

  server.get<{ Params: { symbol: string }; Querystring: { limit: number } }>(
    '/api/v1/bars/:symbol',
    { schema: ROUTES.bars },
    ({ params, query }) => {
      const symbol = known(params.symbol);
      return { symbol, marketTime: state.marketTime(), bars: state.bars.list(symbol, query.limit).map(barView) };
    },
  );

  server.get('/api/v1/scoreboard', { schema: ROUTES.scoreboard }, () => {
    if (state.scoreboard === undefined) throw noModel();
    return state.scoreboard.report();
  });

  server.get('/api/v1/model', { schema: ROUTES.model }, () => {
    if (state.model === undefined) throw noModel();
    return { details: {}, ...state.model };
  });

  server.get('/healthz', { schema: ROUTES.healthz }, () => ({ status: 'ok' }));

  server.get('/readyz', { schema: ROUTES.readyz }, (_request, reply) => {
    const readiness = state.readiness();
    return reply.code(readiness.ready ? 200 : 503).send(readiness);
  });
}
