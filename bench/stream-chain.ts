/**
 * From bars to forecasts, for the benchmark of the stream: through the bus in memory all in this process, as in
 * `serve`; through NATS with the forecaster in a process of its own, and the feed and a subscriber in this one.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { BarcastError } from '../src/base/index.ts';
import type { Kernel } from '../src/kernel/index.ts';
import type { Model } from '../src/model/index.ts';
import { type Bus, type Forecast, Forecaster, fixedModel, memoryBus, natsBus } from '../src/stream/index.ts';
import { type Memory, memoryNow } from './memory.ts';
import { type ForecasterNews, type ForecasterOrder, machineMs } from './stream-forecaster.ts';

/** A forecaster on a bus, and what has reached everyone who is to have it. */
export interface Chain {
  readonly bus: Bus;
  /** Forecasts of the last minutes, until somebody takes them. */
  take(): Forecast[];
  /** Resolves when so many forecasts are with the subscriber, and stored. */
  reached(forecasts: number): Promise<void>;
  /** When the steps of the newest batch ended; {@link machineMs}. Nothing where they are not apart. */
  steps(): { readonly [step in 'arrived' | 'taken' | 'forecast' | 'stored' | 'seen']?: number };
  waiting(): number;
  /** Of the forecaster's process. */
  memory(): Promise<Memory>;
  close(): Promise<void>;
}

/** Counts what arrives on two ways, and tells when both have come so far. */
class Arrivals {
  seen = 0;
  stored = 0;
  seenAtMs = 0;
  #goal = 0;
  #arrive = () => {};
  #fail: (error: Error) => void = () => {};

  note(): void {
    if (Math.min(this.seen, this.stored) >= this.#goal) this.#arrive();
  }

  fail(error: Error): void {
    this.#fail(error);
  }

  async reached(goal: number): Promise<void> {
    this.#goal = goal;
    if (Math.min(this.seen, this.stored) >= goal) return;
    await new Promise<void>((resolve, reject) => {
      this.#arrive = resolve;
      this.#fail = reject;
    });
  }
}

async function observe(bus: Bus, arrivals: Arrivals) {
  const subscription = await bus.subscribe('forecasts', { name: 'bench' });
  let kept: Forecast[] = [];
  const done = (async () => {
    for await (const { items } of subscription) {
      arrivals.seen += items.length;
      arrivals.seenAtMs = machineMs();
      kept.push(...items);
      arrivals.note();
    }
  })();
  const take = () => {
    const taken = kept;
    kept = [];
    return taken;
  };
  return { take, done };
}

export async function openMemoryChain(model: Model): Promise<Chain> {
  const bus = memoryBus();
  const arrivals = new Arrivals();
  arrivals.stored = Number.POSITIVE_INFINITY;
  const { take, done } = await observe(bus, arrivals);
  const bars = await bus.subscribe('bars', { name: 'forecaster' });
  const running = new Forecaster(fixedModel(model)).run(bars, bus);
  return {
    bus,
    take,
    reached: (forecasts) => arrivals.reached(forecasts),
    steps: () => ({}),
    waiting: () => 0,
    memory: memoryNow,
    async close() {
      await bus.close();
      await Promise.all([running, done]);
    },
  };
}

const FORECASTER = fileURLToPath(new URL('./stream-forecaster.ts', import.meta.url));

export async function openNatsChain(url: string, { name, threads }: Kernel, units: number): Promise<Chain> {
  const bus = await natsBus({ url });
  const arrivals = new Arrivals();
  const { take, done } = await observe(bus, arrivals);
  const child = fork(FORECASTER, { stdio: ['ignore', 2, 2, 'ipc'] });
  const exited = once(child, 'exit');
  let tellMemory = (_: Memory) => {};
  let steps = {};
  let waiting = 0;
  const ready = new Promise<void>((resolve, reject) => {
    const ended = () => new BarcastError('BARCAST_E_INTERNAL', 'the forecaster ended', 'report what it printed');
    void exited.then(() => {
      reject(ended());
      arrivals.fail(ended());
    });
    child.on('message', (news: ForecasterNews) => {
      if (news.type === 'ready') resolve();
      else if (news.type === 'memory') tellMemory(news);
      else {
        const [arrived, taken, forecast, stored] = news.times;
        steps = { arrived, taken, forecast, stored };
        waiting = news.waitingBatches;
        arrivals.stored += news.forecasts;
        arrivals.note();
      }
    });
  });
  child.send({ url, units, kernel: name, threads, group: `bench-${process.pid}` } satisfies ForecasterOrder);
  await ready;
  return {
    bus,
    take,
    reached: (forecasts) => arrivals.reached(forecasts),
    steps: () => ({ ...steps, seen: arrivals.seenAtMs }),
    waiting: () => waiting,
    memory: () =>
      new Promise((resolve) => {
        tellMemory = ({ rssMb, heldMb }) => resolve({ rssMb, heldMb });
        child.send('memory');
      }),
    async close() {
      if (child.connected) child.send('stop');
      await exited;
      await bus.close();
      await done;
    },
  };
}
