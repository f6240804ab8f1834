/** Forecasters on a real bus: started in this process or as processes that can be killed, and what they published. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Bar } from '../../src/bars/index.ts';
import { type EpochMs, epochMinute } from '../../src/base/index.ts';
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
import { marketOf, OPEN } from './fixtures.ts';

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
