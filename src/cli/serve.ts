/** `barcast serve`: live forecasts over HTTP and WebSocket until Ctrl-C. */
import { join } from 'node:path';
import { Option } from 'commander';
import { BarcastError } from '../base/index.ts';
import type { Model } from '../model/index.ts';
import { alpacaSource, type LiveSource, simulatedSource, yahooSource, yahooStreamSource } from '../sources/index.ts';
import { type BarReader, openReader } from '../store/index.ts';
import { replaySource } from '../stream/index.ts';
import { type ComputeOptions, withCompute, withModel } from './compute.ts';
import { action, type Context, command, positiveNumber, type Register, wholeNumber } from './context.ts';
import { serveLive } from './live-server.ts';
import {
  closedRangeOf,
  type RangeOptions,
  type SymbolOptions,
  symbolsOf,
  withRange,
  withSymbols,
} from './selection.ts';
import { checkSymbols } from './store-bars.ts';

interface ServeCommand extends ComputeOptions, RangeOptions, SymbolOptions {
  readonly model: string;
  readonly source: 'yahoo' | 'yahoo-stream' | 'alpaca' | 'alpaca-trades' | 'replay' | 'simulated' | 'bus';
  readonly bus: string;
  readonly speed?: number;
  readonly yahooUrl?: string;
  readonly host: string;
  readonly port: number;
  readonly token?: string;
}

const serve = withSymbols(withRange(withCompute(command('serve', 'live forecasts over HTTP and WebSocket'))))
  .addOption(new Option('--model <model>', 'NAME, NAME@VERSION or a folder').makeOptionMandatory())
  .addOption(
    new Option('--source <source>', 'where the bars come from')
      .choices(['yahoo', 'yahoo-stream', 'alpaca', 'alpaca-trades', 'replay', 'simulated', 'bus'])
      .default('yahoo'),
  )
  .addOption(new Option('--bus <bus>', 'memory; nats://… is for a later version').default('memory'))
  .addOption(
    new Option('--speed <x>', 'market minutes a real minute, of a replay or the simulated exchange').argParser(
      positiveNumber,
    ),
  )
  .addOption(new Option('--yahoo-url <url>', 'another server that speaks the chart API'))
  .addOption(
    new Option('--host <address>', 'address to listen on; beyond this machine it needs --token').default('127.0.0.1'),
  )
  .addOption(
    new Option('--port <port>', 'port to listen on; 0 takes a free one')
      .env('BARCAST_PORT')
      .argParser(wholeNumber(0, 65_535))
      .default(8080),
  )
  .addOption(new Option('--token <token>', 'what clients must send as Authorization: Bearer').env('BARCAST_TOKEN'));

interface OpenSource {
  readonly source: LiveSource;
  readonly symbols: readonly string[];
  readonly warm: boolean;
  close(): Promise<void>;
}

const nothing = async () => {};

async function openSource(
  options: ServeCommand,
  model: Model,
  reader: BarReader | undefined,
  data: string,
): Promise<OpenSource> {
  const asked = symbolsOf(options);
  const { speed = options.source === 'replay' ? 60 : 1, yahooUrl: url } = options;
  const trained = model.description.provenance?.symbols ?? [];
  switch (options.source) {
    case 'replay': {
      const range = closedRangeOf(options);
      if (!reader)
        throw new BarcastError(
          'BARCAST_E_STORE_EMPTY',
          `there is no store in ${data} to replay`,
          "'barcast ingest' makes one",
        );
      const stored = await reader.symbols();
      const symbols = checkSymbols(data, stored, asked) ?? stored;
      return { source: replaySource({ reader, ...range, speed }), symbols, warm: false, close: nothing };
    }
    case 'simulated': {
      const source = await simulatedSource({ url, speed });
      return { source, symbols: asked ?? trained, warm: true, close: () => source.close() };
    }
    case 'yahoo': {
      const source = yahooSource({ url });
      await source.sync();
      return { source, symbols: asked ?? trained, warm: true, close: nothing };
    }
    case 'yahoo-stream':
      return { source: yahooStreamSource({ url }), symbols: asked ?? trained, warm: true, close: nothing };
    case 'alpaca':
    case 'alpaca-trades': {
      const source = alpacaSource({ take: options.source === 'alpaca' ? 'bars' : 'trades' });
      return { source, symbols: asked ?? trained, warm: true, close: nothing };
    }
    default:
      throw new BarcastError(
        'BARCAST_E_BUS',
        'bars from a bus are not served by this version',
        'choose --source yahoo, replay or simulated',
      );
  }
}

async function readerIfAny(data: string): Promise<BarReader | undefined> {
  try {
    return await openReader(data);
  } catch (error) {
    if (error instanceof BarcastError && error.code === 'BARCAST_E_STORE_EMPTY') return undefined;
    throw error;
  }
}

async function run(context: Context, options: ServeCommand, model: Model): Promise<void> {
  const reader = await readerIfAny(context.data);
  try {
    const { source, symbols, warm, close } = await openSource(options, model, reader, context.data);
    try {
      const { host, port, token } = options;
      await serveLive({
        model,
        source,
        symbols,
        warmUp: warm && reader ? { reader } : undefined,
        scores: warm ? join(context.data, 'live') : undefined,
        host,
        port,
        token,
        signal: context.takeSignal(),
        notice: (line) => context.progress.say(line),
        onListening: (url) => {
          const line = `serving ${model.name} on ${url} (${symbols.length} symbols from ${source.name}); Ctrl-C stops it`;
          if (context.json)
            process.stdout.write(
              `${JSON.stringify({ url, model: model.name, weightsHash: model.weightsHash, symbols: symbols.length, source: source.name })}\n`,
            );
          else context.print(line);
        },
      });
    } finally {
      await close();
    }
  } finally {
    reader?.close();
  }
}

action<ServeCommand>(serve, async (context, options) => {
  if (options.bus !== 'memory')
    throw new BarcastError(
      'BARCAST_E_BUS',
      `the bus '${options.bus}' is not served by this version`,
      'leave --bus out: the bus in memory serves one process',
    );
  await withModel(options.model, options, context, (model) => run(context, options, model));
  return undefined;
});

export const registerServe: Register = (program) => program.addCommand(serve);
