/** `barcast bench stream` and `bench clients`: from a bar to its forecast, and from a forecast to whoever watches. */
import { Option } from 'commander';
import { benchClients } from '../../bench/clients.ts';
import type { Growth } from '../../bench/memory.ts';
import { benchStream } from '../../bench/stream.ts';
import { type ComputeOptions, withCompute, withKernel } from './compute.ts';
import { action, command, wholeNumber } from './context.ts';

export const streamCommand = withCompute(command('stream', 'bar to forecast through the bus: milliseconds'))
  .addOption(new Option('--bus <bus>', 'memory, nats (starts a nats-server for itself) or nats://…').default('memory'))
  .addOption(new Option('--symbols <n>', 'bars that come at once').argParser(wholeNumber(1, 30_000)).default(500))
  .addOption(new Option('--units <n>', 'hidden units of the LSTM').argParser(wholeNumber(1, 256)).default(50))
  .addOption(new Option('--minutes <n>', 'market minutes to time').argParser(wholeNumber(3, 1_000_000)).default(300))
  .addOption(
    new Option('--interval <ms>', 'from one market minute to the next; 0: when the last one is forecast')
      .argParser(wholeNumber(0, 60_000))
      .default(50),
  );

interface StreamOptions extends ComputeOptions {
  readonly bus: string;
  readonly symbols: number;
  readonly units: number;
  readonly minutes: number;
  readonly interval: number;
}

const signed = (percent: number) => `${percent < 0 ? '' : '+'}${percent.toFixed(1)}%`;

action<StreamOptions>(streamCommand, (context, options) =>
  withKernel(options, context, async (kernel) => {
    const ours = await benchStream(kernel, { ...options, intervalMs: options.interval });
    const milliseconds = (value: number) => `${value.toFixed(2)} ms`;
    const growth = (name: string, { begin, end, percent, linePercent }: Growth) =>
      `${name} ${begin.toFixed(0)} MB to ${end.toFixed(0)} MB: ${signed(percent)}, by the line through all samples ${signed(linePercent)}`;
    const text = [
      `bar to forecast, ${ours.symbols.toLocaleString('en-US')} symbols at once through ${ours.bus}, LSTM ${ours.units} on 60 x 19, ${ours.description}; ${ours.machine}, Node ${ours.node}, ${ours.date}`,
      `p50 ${milliseconds(ours.barToForecastP50Ms)}, p99 ${milliseconds(ours.barToForecastP99Ms)} (${ours.minutes} market minutes, one every ${ours.intervalMs} ms); p50 of the first third ${milliseconds(ours.firstThirdP50Ms)}, of the last ${milliseconds(ours.lastThirdP50Ms)}`,
      ...(ours.steps.length === 0
        ? []
        : [
            `p50 (p99) of the steps: ${ours.steps.map(({ step, p50Ms, p99Ms }) => `${step} ${p50Ms.toFixed(1)} (${p99Ms.toFixed(1)})`).join(', ')}`,
          ]),
      `${ours.forecastsPerSecond.toLocaleString('en-US')} forecasts/s`,
      `memory from the second tenth to the end, after a collection: ${growth('resident', ours.resident)}; ${growth('held', ours.held)}`,
    ].join('\n');
    return { json: ours, text };
  }),
);

interface ClientsOptions {
  readonly clients: number;
  readonly stalled: number;
  readonly symbols: number;
  readonly messages: number;
  readonly interval: number;
  readonly rounds: number;
}

export const clientsCommand = command(
  'clients',
  'WebSocket clients, some of which do not read: milliseconds to the others',
)
  .addOption(new Option('--clients <n>', 'WebSocket clients').argParser(wholeNumber(4, 20_000)).default(1000))
  .addOption(new Option('--stalled <n>', 'of them that do not read').argParser(wholeNumber(1, 1000)).default(10))
  .addOption(new Option('--symbols <n>', 'forecasts a message').argParser(wholeNumber(1, 20_000)).default(10))
  .addOption(new Option('--messages <n>', 'messages to time').argParser(wholeNumber(1, 100_000)).default(100))
  .addOption(new Option('--interval <ms>', 'between messages').argParser(wholeNumber(1, 60_000)).default(200))
  .addOption(new Option('--rounds <n>', 'measurements, taken together').argParser(wholeNumber(1, 99)).default(2));

action<ClientsOptions>(clientsCommand, async (_context, options) => {
  const ours = await benchClients({ ...options, intervalMs: options.interval });
  const list = (values: readonly number[]) => values.join(', ');
  const text = [
    `${ours.clients.toLocaleString('en-US')} WebSocket clients, ${ours.messages} messages of ${ours.bytesPerMessage.toLocaleString('en-US')} bytes, one every ${ours.intervalMs} ms; ${ours.machine}, Node ${ours.node}, ${ours.date}`,
    `all read: p50 ${ours.p50Ms} ms, p99 ${ours.p99Ms} ms (rounds: ${list(ours.p99MsOfRounds)}; of all together: ${ours.p99MsOfAll})`,
    `${ours.stalled} do not: p50 ${ours.withStalledP50Ms} ms, p99 ${ours.withStalledP99Ms} ms of the others (rounds: ${list(ours.withStalledP99MsOfRounds)}; of all together: ${ours.withStalledP99MsOfAll}); ratio ${ours.ratio.toFixed(2)}`,
  ].join('\n');
  return { json: ours, text };
});
