/**
 * Bars in, forecasts out: milliseconds from the moment the bars of a minute are handed to the bus, all symbols at once,
 * until their last forecast is there. In memory: with the subscriber. On NATS: stored by the server and acknowledged;
 * a subscriber takes them meanwhile, and the next minute waits for it. Every minute counts once.
 *
 * The network is the recipe's with an LSTM as wide as asked and weights that are not trained: the arithmetic is the same.
 */
import { type Bar, sessionsBetween } from '../src/bars/index.ts';
import { BarcastError, type DayString, epochMinute } from '../src/base/index.ts';
import type { Kernel } from '../src/kernel/index.ts';
import type { Model } from '../src/model/index.ts';
import { type Forecast, markByShare } from '../src/stream/index.ts';
import { growthOf, type Memory } from './memory.ts';
import { startNatsServer } from './nats-server.ts';
import { type Chain, openMemoryChain, openNatsChain } from './stream-chain.ts';
import { machineMs } from './stream-forecaster.ts';
import { batchForecasts, MadeUpMarket, untrainedModel } from './stream-market.ts';
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
  markByShare();
  const { bus, units } = options;
  const own = bus === 'nats' ? await startNatsServer() : undefined;
  const model = await untrainedModel(kernel, units);
  try {
    const chain = bus === 'memory' ? await openMemoryChain(model) : await openNatsChain(own?.url ?? bus, kernel, units);
    try {
      const measured = await measure(chain, model, options);
      const { name, description, threads } = kernel;
      return { ...measured, units, kernel: name, description, threads, ...circumstances() };
    } finally {
      await chain.close();
    }
  } finally {
    model.close();
    await own?.stop();
  }
}

async function measure(chain: Chain, model: Model, { symbols, minutes, intervalMs }: StreamBenchOptions) {
  const market = new MadeUpMarket(symbols);
  const warmUp = model.recipe.windowLength - 1;
  const latencies: number[] = [];
  const steps = new Steps();
  const memory: Memory[] = [];
  const sampleEvery = Math.ceil(minutes / MEMORY_SAMPLES);
  let [forecasts, checked, mostWaiting, untimed] = [0, 0, 0, WARM_UP_MINUTES];
  const sessions = sessionsBetween('2020-01-02' as DayString, '2030-12-31' as DayString);
  let startedAtMs = 0;
  let busyMs = 0;
  const pass = async (bars: Bar[]) => {
    const publishing = chain.bus.publish('bars', bars).then(machineMs);
    await chain.reached((forecasts += symbols));
    return { fed: await publishing };
  };
  for (const session of sessions) {
    if (latencies.length >= minutes) break;
    const past: Bar[][] = [];
    for (let minute: number = session.open; minute < session.close; minute++) {
      const bars = market.minute(epochMinute(minute));
      if (minute - session.open < warmUp) {
        past.push(bars);
        await chain.bus.publish('bars', bars);
        continue;
      }
      if (checked === 0) {
        past.push(bars);
        await pass(bars);
        checked = check(chain.take(), await batchForecasts(model, past));
        continue;
      }
      if (latencies.length >= minutes) break;
      // Between two sessions lies a night: nothing of the second one is late because its windows were filled first.
      if (minute - session.open === warmUp) untimed = Math.max(untimed, 1);
      if (untimed === 0 && memory.length * sampleEvery === latencies.length) {
        memory.push(await chain.memory());
        untimed = RECOVERY_MINUTES;
      }
      const wait = startedAtMs + intervalMs - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      // A minute that comes late because the one before took too long has waited since it was due.
      const isDue = wait < 0 && intervalMs > 0 && untimed === 0;
      startedAtMs = isDue ? startedAtMs + intervalMs : performance.now();
      const zero = machineMs() - (performance.now() - startedAtMs);
      const ends = { ...(await pass(bars)), ...chain.steps() };
      const took = (ends.stored ?? machineMs()) - zero;
      chain.take();
      if (untimed > 0) {
        untimed--;
        continue;
      }
      latencies.push(took);
      steps.add(zero, ends);
      busyMs += took;
      mostWaiting = Math.max(mostWaiting, chain.waiting());
    }
  }
  memory.push(await chain.memory());
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
    /** When each step had ended, from the moment the bars were handed over. */
    steps: steps.summary(),
    forecastsPerSecond: Math.round((1000 * symbols * latencies.length) / busyMs),
    minutes: latencies.length,
    intervalMs,
    mostWaitingBatches: mostWaiting,
    checkedForecasts: checked,
    /** Of the forecaster's process, at each tenth. */
    memory,
    /** From the end of the second tenth on: until then V8 is still finding its size. */
    resident: growthOf(memory.slice(2).map(({ rssMb }) => rssMb)),
    held: growthOf(memory.slice(2).map(({ heldMb }) => heldMb)),
  };
}

const WARM_UP_MINUTES = 30;
const MEMORY_SAMPLES = 10;
/** After a collection that was forced, which throws compiled code away too: nothing does so in service. V8 has all of it again after ten. */
const RECOVERY_MINUTES = 15;

export interface Step {
  readonly step: string;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

class Steps {
  readonly #times = new Map<string, number[]>();

  add(zero: number, ends: { readonly [step: string]: number }): void {
    for (const [step, end] of Object.entries(ends)) {
      const times = this.#times.get(step) ?? [];
      times.push(end - zero);
      this.#times.set(step, times);
    }
  }

  summary(): Step[] {
    const steps = [...this.#times].map(([step, times]) => ({
      step,
      p50Ms: quantile(times, 0.5),
      p99Ms: quantile(times, 0.99),
    }));
    return steps.length > 1 ? steps.sort((a, b) => a.p50Ms - b.p50Ms) : [];
  }
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
