/** What Prometheus reads: a registry of this server's own, so that two servers in one process do not mix. */
import type { FastifyInstance } from 'fastify';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { BothScores, LiveState, Monitor } from '../stream/index.ts';
import { ROUTES } from './schemas.ts';
import type { StreamHub } from './stream-hub.ts';

const LATENCY_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Adds `/metrics`. @returns what ends the observation */
export function addMetrics(server: FastifyInstance, state: LiveState, hub: StreamHub): () => void {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });

  const bars = new Counter({ name: 'barcast_bars_total', help: 'New bars taken', registers });
  const forecasts = new Counter({ name: 'barcast_forecasts_total', help: 'Forecasts shown', registers });
  const scored = new Counter({ name: 'barcast_forecasts_scored_total', help: 'Forecasts scored', registers });
  const barToForecast = new Histogram({
    name: 'barcast_bar_to_forecast_seconds',
    help: 'From the arrival of the bars to the forecast, one observation a batch',
    buckets: LATENCY_SECONDS,
    registers,
  });
  const prediction = new Histogram({
    name: 'barcast_prediction_seconds',
    help: 'Time in the model, one observation a batch',
    buckets: LATENCY_SECONDS,
    registers,
  });
  const requests = new Histogram({
    name: 'barcast_http_request_seconds',
    help: 'HTTP requests answered',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: LATENCY_SECONDS,
    registers,
  });

  const gauge = (name: string, help: string, read: () => number | undefined) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read() ?? Number.NaN);
      },
    });
  gauge('barcast_ready', 'Whether forecasts can come', () => Number(state.readiness().ready));
  gauge('barcast_source_up', 'Whether the source of bars is running', () => Number(state.source.state === 'running'));
  gauge('barcast_symbols', 'Symbols followed', () => state.symbols().length);
  gauge('barcast_symbols_forecast', 'Symbols with a forecast', () => state.forecasting);
  gauge('barcast_last_bar_age_seconds', "End of the newest bar to the market's present time", () =>
    state.lastBarEnd === undefined ? undefined : (state.clock.now() - state.lastBarEnd) / 1000,
  );
  gauge('barcast_stream_clients', 'WebSocket clients', () => hub.clients);
  gauge('barcast_stream_buffered_bytes', 'Messages kept for WebSocket clients', () => hub.bufferedBytes);
  gauge('barcast_forecast_lag_minutes', 'Market minutes that forecasts are behind the bars', () => {
    return state.lagMinutes() ?? undefined;
  });
  gauge('barcast_windows_warm', 'Whether windows of the present session are full', () => {
    return Number(state.windows() === 'warm');
  });
  gauge('barcast_bus_connected', 'Whether the bus is connected; not a number where one process does it all', () => {
    return state.bus && Number(state.bus.state === 'connected');
  });
  addScores(registers, state);
  counterOf('barcast_model_changes_total', 'Times that another model took over', () => state.modelChanges);
  counterOf(
    'barcast_stream_clients_dropped_total',
    'WebSocket clients cut off because they did not read',
    () => hub.droppedClients,
  );
  counterOf('barcast_prediction_failures_total', 'Predictions that failed', () => state.counts?.failedPredictions ?? 0);
  new Counter({
    name: 'barcast_bars_ignored_total',
    help: 'Bars left out by the forecaster',
    labelNames: ['reason'] as const,
    registers,
    collect() {
      this.reset();
      this.inc({ reason: 'repeated' }, state.counts?.repeatedBars ?? 0);
      this.inc({ reason: 'late' }, state.counts?.lateBars ?? 0);
      this.inc({ reason: 'unusable' }, state.counts?.unusableBars ?? 0);
    },
  });
  function counterOf(name: string, help: string, read: () => number): void {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  }

  const stop = state.listen((event) => {
    if (event.type === 'bars') bars.inc(event.bars.length);
    else if (event.type === 'scores') scored.inc(event.scores.length);
    else if (event.type === 'prediction') prediction.observe(event.predictionMs / 1000);
    else if (event.type === 'forecasts') {
      forecasts.inc(event.forecasts.length);
      barToForecast.observe(Math.max(...event.forecasts.map((it) => it.latencyMs)) / 1000);
    }
  });
  server.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    const labels = { method: request.method, route, status: String(reply.statusCode) };
    requests.observe(labels, reply.elapsedTime / 1000);
  });
  server.get('/metrics', { schema: ROUTES.metrics }, async (_request, reply) => {
    void reply.type(registry.contentType);
    return registry.metrics();
  });
  return () => {
    stop();
    registry.clear();
  };
}

/** What each role's forecasts were worth, and whether its drift monitors are in bounds. */
function addScores(registers: Registry[], state: LiveState): void {
  const boards = () => ({ active: state.scoreboard, shadow: state.shadowScoreboard });
  const byRole = (name: string, help: string, read: (scores: BothScores) => number | null) =>
    new Gauge({
      name,
      help,
      labelNames: ['role'] as const,
      registers,
      collect() {
        this.reset();
        for (const [role, board] of Object.entries(boards()))
          if (board !== undefined) this.set({ role }, read(board.overall()) ?? Number.NaN);
      },
    });
  byRole('barcast_skill', 'Skill against persistence since the start', ({ total }) => total.skill);
  byRole('barcast_skill_scaled', 'Scaled skill against persistence since the start', ({ total }) => total.skillScaled);
  byRole('barcast_session_skill_scaled', 'The same over the session', ({ session }) => session.skillScaled);
  byRole('barcast_directional_accuracy', 'Share of moves forecast rightly', ({ total }) => total.directionalAccuracy);
  byRole('barcast_interval_coverage', 'Share of closes inside their interval', ({ total }) => total.coverage);
  byRole('barcast_forecasts_scored', 'Forecasts scored since the start, restarts included', ({ total }) => {
    return total.forecasts;
  });
  const monitored = (name: string, help: string, read: (monitor: Monitor) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['role', 'monitor'] as const,
      registers,
      collect() {
        this.reset();
        for (const [role, board] of Object.entries(boards()))
          for (const it of board?.drift().monitors ?? []) this.set({ role, monitor: it.name }, read(it));
      },
    });
  monitored('barcast_drift_alarm', 'Whether the monitor is out of bounds', ({ state: is }) => Number(is === 'alarm'));
  monitored('barcast_drift_statistic', 'The statistic over its bound; above 1 it raises an alarm', (it) => {
    return it.statistic / it.bound;
  });
  new Gauge({
    name: 'barcast_model_info',
    help: 'The models in use, by name, weights and role',
    labelNames: ['role', 'model', 'weights_hash'] as const,
    registers,
    collect() {
      this.reset();
      for (const [role, model] of Object.entries({ active: state.model, shadow: state.shadow }))
        if (model !== undefined) this.set({ role, model: model.name, weights_hash: model.weightsHash }, 1);
    },
  });
}
