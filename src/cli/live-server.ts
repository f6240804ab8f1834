/** Live forecasts behind HTTP in one process, for `serve` and `demo`: everything wired, until the signal aborts. */
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { BarcastError, type EpochMinute } from '../base/index.ts';
import type { Model } from '../model/index.ts';
import { startServer } from '../serve/index.ts';
import type { LiveSource } from '../sources/index.ts';
import type { BarReader } from '../store/index.ts';
import { fixedModel, LiveState, memoryBus, startLive } from '../stream/index.ts';

export interface LiveServerOptions {
  readonly model: Model;
  readonly source: LiveSource;
  readonly symbols: readonly string[];
  /** Bars of the present session that the store has warm the windows at the start. */
  readonly warmUp?: { readonly reader: BarReader; readonly from?: EpochMinute };
  /** Folder that keeps the scoreboard over restarts; none for a replay, whose scores are not the market's. */
  readonly scores?: string;
  readonly host: string;
  readonly port: number;
  readonly token?: string;
  readonly signal: AbortSignal;
  readonly notice: (line: string) => void;
  /** Told the address once requests are answered. */
  readonly onListening: (url: string) => void;
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
  const { model, source, symbols, host, port, token, signal, notice } = options;
  const { recipe, description } = model;
  const state = new LiveState({ symbols, longestQuietRun: recipe.quiet.longestRun, clock: source.clock });
  const { version, provenance } = description;
  state.setModel({
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
  });
  const server = await startServer({ state, host, port, token });
  try {
    options.onListening(server.url);
    if (options.scores) mkdirSync(options.scores, { recursive: true });
    const scoreboardFile = options.scores && join(options.scores, `scoreboard-${model.name}.json`);
    const live = await startLive({
      source,
      symbols,
      models: fixedModel(model),
      bus: memoryBus(),
      state,
      signal,
      warmUp: options.warmUp,
      notice,
      scoreboardFile,
    });
    await live.done;
    if (!signal.aborted) {
      notice(`${source.name} has no more bars; the last forecasts stay up until Ctrl-C`);
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    }
  } finally {
    await server.close();
  }
}
