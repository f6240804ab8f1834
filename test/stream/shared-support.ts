/** Forecasters on a real bus: started in this process or as processes that can be killed, and what they published. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Bar } from '../../src/bars/index.ts';
import { type EpochMs, epochMinute, Random } from '../../src/base/index.ts';
import {
  type Forecast,
  type ModelSource,
  type NatsBus,
  type Predictor,
  replayForecasts,
  type SharedForecasterOptions,
  startSharedForecaster,
  type Topic,
} from '../../src/stream/index.ts';
import { endsOf } from '../../src/stream/nats-reader.ts';
import { SharedWork } from '../../src/stream/shared-work.ts';
import { marketOf, OPEN } from './fixtures.ts';
import { bytesOf, madeUpMinutes, scalerOf, sensitiveModel } from './sensitive-model.ts';

export const everything = 0 as EpochMs;

/** What the stream of a topic holds, as soon as it holds `count` forecasts. */
export async function published(bus: NatsBus, topic: Topic, count: number): Promise<Forecast[]> {
  const subscription = await bus.subscribe(topic, { name: 'published', since: everything });
  const found: Forecast[] = [];
  if (count === 0) return found;
  for await (const { items } of subscription) {
    found.push(...(items as Forecast[]));
    if (found.length >= count) break;
  }
  return found;
}

/** The forecasts of an undisturbed run through the same bars in one process. */
export async function undisturbed(minutes: readonly Bar[][], predictor: Predictor): Promise<Forecast[]> {
  const bars = minutes.flat();
  const reader = {
    read: async ({ from, to }: { from: number; to: number }) =>
      marketOf(bars.filter((it) => it.minute >= from && it.minute < to)),
  };
  const range = { reader, from: OPEN, to: epochMinute(OPEN + 10_000) };
  const made: Forecast[] = [];
  const symbols = [...new Set(bars.map((it) => it.symbol))].sort();
  for await (const forecasts of replayForecasts({ ...range, symbols, predictor })) made.push(...forecasts);
  return made;
}

/** A forecaster in this process. */
export async function joinForecasters(
  bus: NatsBus,
  models: ModelSource,
  options: Partial<SharedForecasterOptions> = {},
) {
  const stop = new AbortController();
  const running = await startSharedForecaster({ bus, models, group: 'test', signal: stop.signal, ...options });
  return {
    ...running,
    async leave() {
      stop.abort();
      await running.done;
    },
  };
}

const PROGRAM = fileURLToPath(new URL('./forecaster-process.ts', import.meta.url));

export class ForecasterProcess {
  readonly #process: ChildProcess;
  forecasts = 0;

  private constructor(child: ChildProcess) {
    this.#process = child;
  }

  static async start(url: string, symbols: number, minutes: number): Promise<ForecasterProcess> {
    const child = spawn(process.execPath, [PROGRAM, url, String(symbols), String(minutes)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const forecaster = new ForecasterProcess(child);
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      for (const line of text.split('\n')) forecaster.forecasts += Number(line) || 0;
    });
    await once(child.stdout!, 'data');
    return forecaster;
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill(signal);
    await once(this.#process, 'exit');
  }
}

/** Waits until every bar that is stored is in a batch. @returns the sequence of the newest record */
export async function allRecorded(bus: NatsBus): Promise<number> {
  const bars = (await endsOf(bus.nats, 'BARS')).last;
  while (true) {
    // A minute may be more than one batch: what counts is how far the newest record goes.
    const record = await bus.nats.manager.streams.getMessage('BATCHES', { last_by_subj: 'batches' });
    if (record !== null && record.json<{ to: number }>().to >= bars) return record.seq;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Waits until every bar that is stored is in a batch and every batch is forecast. */
export async function allForecast(bus: NatsBus): Promise<void> {
  const work = await SharedWork.join(bus.nats, 'test', 2000);
  const newest = await allRecorded(bus);
  while ((await work.state()).doneTo < newest) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Waits until something holds. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
}

export interface KillOptions {
  readonly bus: NatsBus;
  readonly url: string;
  readonly symbols: number;
  readonly minutes: number;
  /** A random forecaster of three is killed so often, and another one started for it. */
  readonly killMs: number;
  /** A market minute. */
  readonly minuteMs: number;
}

/** Three forecasters, one of which is killed again and again while the bars come. @returns what was published, and what an undisturbed run gives */
export async function killForecasters({ bus, url, symbols, minutes, killMs, minuteMs }: KillOptions) {
  const bars = madeUpMinutes(symbols, minutes);
  const expected = await undisturbed(bars, sensitiveModel(scalerOf(bars)));
  const start = () => ForecasterProcess.start(url, symbols, minutes);
  const forecasters = await Promise.all([start(), start(), start()]);
  const random = new Random(5);
  const total = () => forecasters.reduce((sum, it) => sum + it.forecasts, 0);
  let [kills, feeding] = [0, true];
  const killing = (async () => {
    while (feeding) {
      await new Promise((resolve) => setTimeout(resolve, killMs));
      if (!feeding) return;
      const victim = Math.floor(random.uniform() * forecasters.length);
      await forecasters[victim].end('SIGKILL');
      kills++;
      forecasters[victim] = await start();
    }
  })();
  const startedAtMs = performance.now();
  try {
    for (const [m, minute] of bars.entries()) {
      await bus.publish('bars', minute);
      const wait = (m + 1) * minuteMs - (performance.now() - startedAtMs);
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    }
    feeding = false;
    await killing;
    await published(bus, 'forecasts', expected.length);
  } finally {
    feeding = false;
    await killing;
    for (const forecaster of forecasters) await forecaster.end('SIGTERM');
  }
  // Everything has been said: what came twice would be there now.
  const found = await published(bus, 'forecasts', (await endsOf(bus.nats, 'FORECASTS')).last);
  return {
    kills,
    found: bytesOf(found),
    expected: bytesOf(expected),
    seconds: (performance.now() - startedAtMs) / 1000,
    last: total(),
  };
}
