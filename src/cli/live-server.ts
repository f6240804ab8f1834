/** Live forecasts behind HTTP, for `serve` and `demo`: everything wired, until the signal aborts. */
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { BarcastError, type EpochMinute } from '../base/index.ts';
import type { ModelDescription } from '../model/index.ts';
import { startServer } from '../serve/index.ts';
import type { LiveSource } from '../sources/index.ts';
import type { BarReader } from '../store/index.ts';
import {
  LiveState,
  type ModelInfo,
  type ModelSource,
  markByShare,
  memoryBus,
  type NatsBus,
  type Predictor,
  startLive,
  startLiveOnBus,
} from '../stream/index.ts';

/** A model that forecasts, and where it came from. */
export interface ModelInUse extends Predictor {
  readonly description: ModelDescription;
}

interface ServerOptions {
  readonly models: ModelSource;
  readonly active: ModelInUse;
  readonly shadow?: ModelInUse;
  /** Asked to tell of models that take over. */
  readonly onChange?: (
    listener: (models: { readonly active: ModelInUse; readonly shadow?: ModelInUse }) => void,
  ) => void;
  readonly symbols: readonly string[];
  /** Folder that keeps the scoreboard over restarts; none for a replay, whose scores are not the market's. */
  readonly scores?: string;
  readonly host: string;
  readonly port: number;
  readonly token?: string;
  /** Requests a minute from one address; false for any number. */
  readonly rateLimit?: number | false;
  /** Proxies whose `X-Forwarded-For` is believed. */
  readonly trustProxy?: string;
  readonly maxClients?: number;
  readonly signal: AbortSignal;
  readonly notice: (line: string) => void;
  /** Told the address once requests are answered. */
  readonly onListening: (url: string) => void;
}

export interface LiveServerOptions extends ServerOptions {
  readonly source: LiveSource;
  /** Bars of the present session that the store has warm the windows at the start. */
  readonly warmUp?: { readonly reader: BarReader; readonly from?: EpochMinute };
}

export interface BusServerOptions extends ServerOptions {
  readonly bus: NatsBus;
  /** Bars that this node brings to the bus. */
  readonly source?: LiveSource;
  readonly part: 'all' | 'api';
}

/** Tells early that a port is taken; whoever takes it afterwards is told by the server. @throws BARCAST_E_PORT_IN_USE */
export async function requireFreePort(host: string, port: number): Promise<void> {
  const probe = createServer();
  try {
    probe.listen(port, host);
    await once(probe, 'listening');
  } catch (error) {
    throw new BarcastError('BARCAST_E_PORT_IN_USE', `port ${port} of ${host} is taken`, 'choose another with --port', {
      cause: error,
    });
  } finally {
    probe.close();
  }
}

/** Serves until the signal aborts or the source fails for good; a source that ends leaves the server up. */
export async function serveLive(options: LiveServerOptions): Promise<void> {
  const { models, source, symbols, signal, notice, warmUp } = options;
  await withServer(options, source, async (state, scoreboardFile) => {
    const bus = memoryBus();
    const live = await startLive({
      source,
      symbols,
      models,
      bus,
      state,
      signal,
      warmUp,
      notice,
      scoreboardFile,
    });
    await live.done;
    if (signal.aborted) return;
    notice(`${source.name} has no more bars; the last forecasts stay up until Ctrl-C`);
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  });
}

/** Serves what comes over a NATS bus, forecasts with the others and feeds its own bars, as asked, until the signal aborts. */
export async function serveOnBus(options: BusServerOptions): Promise<void> {
  const { bus, models, active, source, symbols, signal, notice, part } = options;
  try {
    await withServer(options, source, async (state, scoreboardFile) => {
      const forecasting = part === 'all' ? { models, group: active.name } : undefined;
      const live = await startLiveOnBus({
        bus,
        state,
        forecasting,
        source,
        symbols,
        signal,
        notice,
        scoreboardFile,
      });
      await live.done;
    });
  } finally {
    await bus.close();
  }
}

async function withServer(
  options: ServerOptions,
  source: LiveSource | undefined,
  work: (state: LiveState, scoreboardFile: string | undefined) => Promise<void>,
): Promise<void> {
  const { active, symbols, host, port, token, rateLimit, trustProxy, maxClients, scores } = options;
  markByShare();
  const { longestRun } = active.recipe.quiet;
  const state = new LiveState({ symbols, longestQuietRun: longestRun, clock: source?.clock });
  state.setModel(infoOf(active), options.shadow && infoOf(options.shadow));
  options.onChange?.((models) => state.setModel(infoOf(models.active), models.shadow && infoOf(models.shadow)));
  const server = await startServer({ state, host, port, token, rateLimit, trustProxy, maxClients });
  try {
    options.onListening(server.url);
    if (scores) mkdirSync(scores, { recursive: true });
    await work(state, scores && join(scores, `scoreboard-${active.name}.json`));
  } finally {
    await server.close();
  }
}

/** What the server tells of a model. */
export function infoOf(model: ModelInUse): ModelInfo {
  const { recipe, description } = model;
  const { version, provenance } = description;
  return {
    name: model.name,
    weightsHash: model.weightsHash,
    horizonMinutes: model.horizonMinutes,
    level: model.level,
    details: {
      version,
      recipe: recipe.name,
      windowLength: recipe.windowLength,
      features: recipe.features,
      shape: description.shape,
      trainedOn: provenance && {
        from: provenance.from,
        to: provenance.to,
        symbols: provenance.symbols.length,
        windows: provenance.windows,
      },
      validation: provenance?.validation,
    },
  };
}
