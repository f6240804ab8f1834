/** The REST routes under /api/v1 and the two probes. They read the state and change nothing. */
import type { FastifyInstance } from 'fastify';
import type { LiveState, ModelInfo, Scoreboard } from '../stream/index.ts';
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

  server.get<{ Querystring: { model: string } }>('/api/v1/scoreboard', { schema: ROUTES.scoreboard }, ({ query }) => {
    if (state.scoreboard === undefined) throw noModel();
    const board = boardNamed(state, query.model);
    if (board === undefined) {
      throw new HttpError(404, 'BARCAST_E_MODEL_MISSING', `no scores of a model '${query.model}'`);
    }
    const current = [state.scoreboard, state.shadowScoreboard];
    const others = state.scores
      .list()
      .filter((it) => !current.includes(it) && it.newestAsOf > 0)
      .sort((a, b) => b.newestAsOf - a.newestAsOf);
    return {
      ...board.report(),
      shadow: state.shadowScoreboard?.summary() ?? null,
      others: others.map((it) => it.summary()),
    };
  });

  server.get('/api/v1/model', { schema: ROUTES.model }, () => {
    if (state.model === undefined) throw noModel();
    const whole = (model: ModelInfo) => ({ ...model, details: model.details ?? {} });
    return { ...whole(state.model), shadow: state.shadow ? whole(state.shadow) : null, changes: state.modelChanges };
  });

  server.get('/healthz', { schema: ROUTES.healthz }, () => ({ status: 'ok', uptimeSeconds: process.uptime() }));

  server.get('/readyz', { schema: ROUTES.readyz }, (_request, reply) => {
    const readiness = state.readiness();
    const { bus = null } = state;
    const body = { ...readiness, windows: state.windows(), lagMinutes: state.lagMinutes(), bus };
    return reply.code(readiness.ready ? 200 : 503).send(body);
  });
}

function boardNamed(state: LiveState, model: string): Scoreboard | undefined {
  if (model === 'active') return state.scoreboard;
  if (model === 'shadow') return state.shadowScoreboard;
  return state.scores.list().find((board) => board.model.weightsHash === model);
}
