/** A forecaster on NATS in a process of its own, as it is in service. Started by `stream-chain.ts`, which gives the order. */
import { chooseKernel, type KernelName } from '../src/kernel/index.ts';
import { fixedModel, markByShare, natsBus, startSharedForecaster } from '../src/stream/index.ts';
import { type Memory, memoryNow } from './memory.ts';
import { untrainedModel } from './stream-market.ts';

export interface ForecasterOrder {
  readonly url: string;
  readonly group: string;
  readonly units: number;
  readonly kernel: KernelName;
  readonly threads: number;
}

/** Milliseconds of the machine's monotonic clock, the same in every process. */
export const machineMs = (): number => Number(process.hrtime.bigint()) / 1e6;

export type ForecasterNews =
  | { readonly type: 'ready' }
  | {
      readonly type: 'stored';
      readonly forecasts: number;
      /** When the batch's last bar was here, it was taken, forecast and stored; {@link machineMs}. */
      readonly times: readonly [number, number, number, number];
      readonly waitingBatches: number;
    }
  | ({ readonly type: 'memory' } & Memory);

async function run({ url, group, units, kernel: name, threads }: ForecasterOrder): Promise<void> {
  const tell = (news: ForecasterNews) => process.send!(news);
  markByShare();
  const kernel = await chooseKernel({ kernel: name, threads });
  const model = await untrainedModel(kernel, units);
  const bus = await natsBus({ url });
  const stop = new AbortController();
  process.on('message', (message) => {
    if (message === 'memory') void memoryNow().then((memory) => tell({ type: 'memory', ...memory }));
    else stop.abort();
  });
  process.on('disconnect', () => stop.abort());
  const zero = machineMs() - performance.now();
  const forecaster = await startSharedForecaster({
    bus,
    models: fixedModel(model),
    group,
    signal: stop.signal,
    tell: ({ forecasts, times: { arrivedAtMs, takenAtMs, forecastAtMs, storedAtMs } }) => {
      if (storedAtMs === undefined) return;
      tell({
        type: 'stored',
        forecasts: forecasts.length,
        times: [zero + arrivedAtMs, zero + takenAtMs, zero + forecastAtMs, zero + storedAtMs],
        waitingBatches: forecaster.counts.waitingBatches,
      });
    },
  });
  tell({ type: 'ready' });
  try {
    await forecaster.done;
  } finally {
    await bus.close();
    model.close();
    kernel.close();
  }
  if (process.connected) process.disconnect();
}

if (process.send !== undefined) process.once('message', (order: ForecasterOrder) => void run(order));
