/** `barcast feed`: publishes the bars of a source to a bus, for forecasters on any machine. */
import { Option } from 'commander';
import { BarcastError } from '../base/index.ts';
import { feedBars, markByShare } from '../stream/index.ts';
import { action, command, type Register } from './context.ts';
import {
  type BusOptions,
  openBus,
  openSource,
  readerIfAny,
  SOURCE_NAMES,
  type SourceName,
  type SourceOptions,
  withBus,
  withSource,
} from './live-source.ts';

interface FeedCommand extends SourceOptions, BusOptions {
  readonly source: SourceName;
}

const feed = withBus(
  withSource(command('feed', 'publish bars to a bus, for forecasters anywhere'), SOURCE_NAMES),
  new Option('--bus <bus>', 'nats://[user:password@]host:port, several separated by commas').makeOptionMandatory(),
);

action<FeedCommand>(feed, async (context, options) => {
  markByShare();
  const { progress } = context;
  const signal = context.takeSignal();
  const reader = await readerIfAny(context.data);
  const bus = await openBus(options, (line) => progress.say(line));
  const startedAt = performance.now();
  let [bars, batches] = [0, 0];
  try {
    const { source, symbols, close } = await openSource(options.source, options, [], reader, context.data, (line) =>
      context.progress.say(line),
    );
    try {
      if (symbols.length === 0)
        throw new BarcastError('BARCAST_E_SYMBOL', 'no symbols to feed', 'name some with --symbols, as in AAPL,MSFT');
      progress.say(`feeding ${symbols.length} symbols from ${source.name} to ${options.bus.replace(/\/\/.*@/, '//')}`);
      await feedBars({
        source,
        symbols,
        bus,
        signal,
        notice: (line) => progress.say(line),
        onBars: (count) => {
          bars += count;
          batches++;
        },
      });
    } finally {
      await close();
    }
  } finally {
    reader?.close();
    await bus.close();
  }
  const seconds = (performance.now() - startedAt) / 1000;
  const text = `${bars.toLocaleString('en-US')} bars in ${batches.toLocaleString('en-US')} batches published in ${seconds.toFixed(1)} s`;
  return { json: { source: options.source, bars, batches, seconds }, text };
});

export const registerFeed: Register = (program) => program.addCommand(feed);
