/**
 * Bars in, forecasts out: milliseconds from the moment the bars of a minute are handed to the bus, all symbols at once,
 * until their last forecast is there. In memory: with the subscriber. On NATS: stored by the server, acknowledged, and
 * with the subscriber too. Every minute counts once.
 *
 * The network is the recipe's with an LSTM as wide as asked and weights that are not trained: the arithmetic is the same.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Bar, type MarketBars, sessionsBetween } from '../src/bars/index.ts';
import { BarcastError, type DayString, type EpochMinute, epochMinute, Random } from '../src/base/index.ts';
import { recipeOf } from '../src/features/index.ts';
import { initialWeights, type Kernel } from '../src/kernel/index.ts';
import { Model, plainCalibration } from '../src/model/index.ts';
import {
  type Bus,
  type Forecast,
  Forecaster,
  fixedModel,
  makeForecasts,
  memoryBus,
  type NatsBus,
  natsBus,
  startSharedForecaster,
} from '../src/stream/index.ts';
import { circumstances } from './timing.ts';

export interface StreamBenchOptions {
  readonly symbols: number;
  /** `memory`, `nats` (a server of its own, found on the PATH), or `nats://…`. */
  readonly bus: string;
  readonly units: number;
  /** Market minutes that are timed, after the windows are warm. */
  readonly minutes: number;
  /** Milliseconds from one market minute to the next; 0: the next one as soon as the last one is forecast. */
  readonly intervalMs: number;
}

/** Bytes of this process; after a collection of garbage, so that growth is growth. */
interface Memory {
  readonly rssMb: number;
  readonly heldMb: number;
}

const collect = (() => {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
})();

function memoryNow(): Memory {
  collect();
  const { rss, heapUsed, external } = process.memoryUsage();
  const megabytes = (bytes: number) => Math.round(bytes / 2 ** 20);
  return { rssMb: megabytes(rss), heldMb: megabytes(heapUsed + external) };
}

/** A random walk of each symbol, minute by minute, in the sessions from 2020 on. */
class MadeUpMarket {
  readonly #random = new Random(1);
  readonly #prices: Float64Array;
  readonly #symbols: readonly string[];

  constructor(symbols: number) {
    this.#prices = new Float64Array(symbols).fill(100);
    this.#symbols = Array.from({ length: symbols }, (_, s) => `S${s}`);
  }

  minute(minute: EpochMinute): Bar[] {
    return this.#symbols.map((symbol, s) => {
      const open = this.#prices[s];
      const close = open * Math.exp(0.0005 * this.#random.normal());
      this.#prices[s] = close;
      const volume = Math.floor(1000 * this.#random.uniform());
      return { symbol, minute, open, high: Math.max(open, close), low: Math.min(open, close), close, volume };
    });
  }
}

const marketOf = (minutes: readonly Bar[][]): MarketBars => {
  const order = minutes[0].map((_, s) => s).sort((a, b) => (minutes[0][a].symbol < minutes[0][b].symbol ? -1 : 1));
  const bars = order.flatMap((s) => minutes.map((minute) => minute[s]));
  const column = (name: 'open' | 'high' | 'low' | 'close' | 'volume') => Float64Array.from(bars, (bar) => bar[name]);
  return {
    symbols: order.map((s) => minutes[0][s].symbol),
    offsets: Int32Array.from({ length: order.length + 1 }, (_, s) => s * minutes.length),
    minute: Int32Array.from(bars, (bar) => bar.minute),
    open: column('open'),
    high: column('high'),
    low: column('low'),
    close: column('close'),
    volume: column('volume'),
  };
};

async function untrainedModel(kernel: Kernel, units: number): Promise<Model> {
  const recipe = recipeOf('returns');
  const shape = { ...recipe.network, lstm: [units] };
  const { name, version } = recipe;
  const description = {
    format: 1 as const,
    name: 'bench',
    version: '1',
    recipe: { name, version },
    shape,
    scaler: {},
    calibration: plainCalibration(),
    weightsHash: 'untrained',
  };
  return Model.open(description, initialWeights(shape, 1), kernel);
}

/** A forecaster on a bus, and how many forecasts have reached everyone who is to have them. */
interface Chain {
  readonly bus: Bus;
  /** Forecasts of the last minutes, until somebody takes them. */
  take(): Forecast[];
  /** Resolves when so many forecasts are with the subscriber, and stored. */
  reached(forecasts: number): Promise<void>;
  waiting(): number;
  close(): Promise<void>;
}

async function openChain(url: string, model: Model): Promise<Chain> {
  const stop = new AbortController();
  const bus = url === 'memory' ? memoryBus() : await natsBus({ url });
  const subscription = await bus.subscribe('forecasts', { name: 'bench' });
  const models = fixedModel(model);
  let [seen, stored, goal] = [0, 0, 0];
  let kept: Forecast[] = [];
  let arrive = () => {};
  const note = () => {
    if (Math.min(seen, stored) >= goal) arrive();
  };
  const watching = (async () => {
    for await (const { items } of subscription) {
      seen += items.length;
      kept.push(...items);
      note();
    }
  })();
  let waiting = () => 0;
  let running: Promise<unknown>;
  if (url === 'memory') {
    const forecaster = new Forecaster(models);
    const bars = await bus.subscribe('bars', { name: 'forecaster' });
    stored = Number.POSITIVE_INFINITY;
    running = forecaster.run(bars, bus);
  } else {
    const forecaster = await startSharedForecaster({
      bus: bus as NatsBus,
      models,
      group: `bench-${process.pid}`,
      signal: stop.signal,
      tell: ({ forecasts }) => {
        stored += forecasts.length;
        note();
      },
    });
    waiting = () => forecaster.counts.waitingBatches;
    running = forecaster.done;
  }
  return {
    bus,
    take() {
      const taken = kept;
      kept = [];
      return taken;
    },
    async reached(forecasts) {
      goal = forecasts;
      if (Math.min(seen, stored) >= goal) return;
      await new Promise<void>((resolve) => {
        arrive = resolve;
      });
    },
    waiting,
    async close() {
      stop.abort();
      if (url !== 'memory') await running;
      await bus.close();
      await Promise.all([running, watching]);
    },
  };
}

/** A nats-server with JetStream on an empty folder, for the time of the benchmark. */
async function startServer(): Promise<{ url: string; stop(): Promise<void> }> {
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  probe.close();
  const directory = mkdtempSync(join(tmpdir(), 'barcast-bench-'));
  const server = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', directory], {
    stdio: 'ignore',
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
  });
  const failed = once(server, 'error').then(([error]) => {
    throw new BarcastError('BARCAST_E_BUS', `nats-server does not start (${error.message})`, 'install nats-server');
  });
  failed.catch(() => {});
  const url = `nats://127.0.0.1:${port}`;
  const answers = async () => {
    for (let tries = 0; tries < 100; tries++) {
      try {
        return await (await natsBus({ url })).close();
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  };
  await Promise.race([answers(), failed]);
  return {
    url,
    async stop() {
      server.kill();
      await once(server, 'exit');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** The forecasts of the newest minute, made of the same bars on the path that training takes. */
async function batchForecasts(model: Model, minutes: readonly Bar[][]): Promise<Forecast[]> {
  const asOfFrom = minutes.at(-1)![0].minute + 1;
  const windows = model.windows(marketOf(minutes), { requireTarget: false, asOfFrom });
  return makeForecasts(windows, await model.predict(windows), model, 0);
}

const text = (forecasts: readonly Forecast[]) =>
  forecasts.map(({ latencyMs: _, ...rest }) => JSON.stringify(rest)).sort();

function check(found: readonly Forecast[], expected: readonly Forecast[]): number {
  const [ours, theirs] = [text(found), text(expected)];
  if (ours.length === theirs.length && ours.length > 0 && ours.every((line, i) => line === theirs[i]))
    return ours.length;
  throw new BarcastError(
    'BARCAST_E_INTERNAL',
    `the ${ours.length} forecasts of the stream are not the ${theirs.length} of the batch path`,
    'nothing was timed; report this',
  );
}

/** @throws BARCAST_E_INTERNAL when the stream's forecasts differ in any bit from the batch path's, BARCAST_E_BUS, BARCAST_E_NETWORK */
export async function benchStream(kernel: Kernel, options: StreamBenchOptions) {
  const { symbols, minutes, intervalMs } = options;
  const own = options.bus === 'nats' ? await startServer() : undefined;
  const model = await untrainedModel(kernel, options.units);
  try {
    const chain = await openChain(own?.url ?? options.bus, model);
    try {
      return await measure(chain, model, kernel, { ...options, symbols, minutes, intervalMs });
    } finally {
      await chain.close();
    }
  } finally {
    model.close();
    await own?.stop();
  }
}

async function measure(chain: Chain, model: Model, kernel: Kernel, options: StreamBenchOptions) {
  const { symbols, minutes, intervalMs } = options;
  const market = new MadeUpMarket(symbols);
  const warmUp = model.recipe.windowLength - 1;
  const latencies: number[] = [];
  const memory: Memory[] = [];
  let [forecasts, checked, mostWaiting] = [0, 0, 0];
  const sessions = sessionsBetween('2020-01-02' as DayString, '2030-12-31' as DayString);
  let startedAtMs = 0;
  let busyMs = 0;
  for (const session of sessions) {
    if (latencies.length >= minutes) break;
    const past: Bar[][] = [];
    for (let minute: number = session.open; minute < session.close; minute++) {
      const bars = market.minute(epochMinute(minute));
      const m = minute - session.open;
      if (m < warmUp) {
        past.push(bars);
        await chain.bus.publish('bars', bars);
        continue;
      }
      if (checked === 0) {
        past.push(bars);
        await chain.bus.publish('bars', bars);
        await chain.reached((forecasts += symbols));
        checked = check(chain.take(), await batchForecasts(model, past));
        continue;
      }
      if (m < warmUp + WARM_UP_MINUTES) {
        await chain.bus.publish('bars', bars);
        await chain.reached((forecasts += symbols));
        chain.take();
        startedAtMs = performance.now();
        continue;
      }
      if (latencies.length >= minutes) break;
      if (latencies.length % Math.ceil(minutes / MEMORY_SAMPLES) === 0) memory.push(memoryNow());
      const wait = startedAtMs + intervalMs - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      // A minute that comes late because the one before took too long has waited since it was due.
      startedAtMs = wait < 0 && intervalMs > 0 ? startedAtMs + intervalMs : performance.now();
      const publishing = chain.bus.publish('bars', bars);
      await chain.reached((forecasts += symbols));
      await publishing;
      const took = performance.now() - startedAtMs;
      latencies.push(took);
      busyMs += took;
      mostWaiting = Math.max(mostWaiting, chain.waiting());
      chain.take();
    }
  }
  memory.push(memoryNow());
  const third = Math.floor(latencies.length / 3);
  return {
    symbols,
    bus: chain.bus.name,
    barToForecastP50Ms: quantile(latencies, 0.5),
    barToForecastP99Ms: quantile(latencies, 0.99),
    barToForecastMaxMs: quantile(latencies, 1),
    /** Medians of the first and the last third: a lag that grows shows here. */
    firstThirdP50Ms: quantile(latencies.slice(0, third), 0.5),
    lastThirdP50Ms: quantile(latencies.slice(-third), 0.5),
    forecastsPerSecond: Math.round((1000 * symbols * latencies.length) / busyMs),
    minutes: latencies.length,
    intervalMs,
    mostWaitingBatches: mostWaiting,
    checkedForecasts: checked,
    memory,
    units: options.units,
    kernel: kernel.name,
    description: kernel.description,
    threads: kernel.threads,
    ...circumstances(),
  };
}

const WARM_UP_MINUTES = 10;
const MEMORY_SAMPLES = 10;

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
