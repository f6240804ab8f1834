/** `barcast serve`: live forecasts over HTTP and WebSocket until Ctrl-C. */
import { join } from 'node:path';
import { Option } from 'commander';
import { BarcastError } from '../base/index.ts';
import type { Kernel } from '../kernel/index.ts';
import { type Model, Registry } from '../model/index.ts';
import { fixedModel, type ModelSource, type ModelsInUse, watchRegistry } from '../stream/index.ts';
import { type ComputeOptions, withCompute, withKernel } from './compute.ts';
import { action, type Context, command, type Register, wholeNumber } from './context.ts';
import { type ModelInUse, serveLive, serveOnBus } from './live-server.ts';
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
import { symbolsOf } from './selection.ts';

interface ServeCommand extends ComputeOptions, SourceOptions, BusOptions {
  readonly model: string;
  readonly source: SourceName | 'bus';
  readonly part: 'all' | 'api';
  readonly host: string;
  readonly port: number;
  readonly token?: string;
  readonly rateLimit: number;
  readonly maxClients: number;
  readonly trustProxy?: string;
}

const serve = withBus(
  withSource(withCompute(command('serve', 'live forecasts over HTTP and WebSocket')), [...SOURCE_NAMES, 'bus']),
  new Option('--bus <bus>', 'memory, or nats://[user:password@]host:port, several separated by commas').default(
    'memory',
  ),
)
  .addOption(new Option('--model <model>', 'NAME, NAME@VERSION or a folder').makeOptionMandatory())
  .addOption(
    new Option('--part <part>', 'on a NATS bus: forecast and answer, or answer only what others forecast')
      .choices(['all', 'api'])
      .default('all'),
  )
  .addOption(
    new Option('--host <address>', 'address to listen on; beyond this machine it needs --token').default('127.0.0.1'),
  )
  .addOption(
    new Option('--port <port>', 'port to listen on; 0 takes a free one')
      .env('BARCAST_PORT')
      .argParser(wholeNumber(0, 65_535))
      .default(8080),
  )
  .addOption(new Option('--token <token>', 'what clients must send as Authorization: Bearer').env('BARCAST_TOKEN'))
  .addOption(
    new Option('--rate-limit <n>', 'requests a minute from one address; 0 for any number')
      .argParser(wholeNumber(0, 1_000_000_000))
      .default(1200),
  )
  .addOption(new Option('--max-clients <n>', 'WebSocket clients').argParser(wholeNumber(1, 1_000_000)).default(2000))
  .addOption(new Option('--trust-proxy <addresses>', 'proxies whose X-Forwarded-For is believed, as 10.0.0.0/8'));

/** The models of a name, followed while the registry changes; of a version or a folder, always that one. */
interface OpenModels {
  readonly models: ModelSource;
  readonly first: ModelInUse;
  readonly shadow?: ModelInUse;
  /** Told of every change from now on. */
  onChange(listener: (models: { readonly active: ModelInUse; readonly shadow?: ModelInUse }) => void): void;
  close(): Promise<void>;
}

async function openModels(reference: string, context: Context, kernel: Kernel): Promise<OpenModels> {
  const registry = new Registry(context.models);
  if (registry.list().some(({ name, current }) => name === reference && current !== null)) {
    let listener = (_: ModelsInUse) => {};
    const models = await watchRegistry({
      registry,
      name: reference,
      kernel,
      notice: (line) => context.progress.say(line),
      onChange: (changed) => listener(changed),
    });
    const { active, shadow } = models.current();
    return {
      models,
      first: active,
      shadow,
      onChange: (tell) => {
        listener = tell;
      },
      close: () => models.close(),
    };
  }
  const model: Model = await registry.load(reference, kernel);
  return { models: fixedModel(model), first: model, onChange: () => {}, close: async () => model.close() };
}

async function run(context: Context, options: ServeCommand, opened: OpenModels): Promise<void> {
  const { host, port, token, maxClients, trustProxy } = options;
  const { models, first, shadow } = opened;
  const notice = (line: string) => context.progress.say(line);
  const reader = await readerIfAny(context.data);
  const trained = first.description.provenance?.symbols ?? [];
  const common = {
    models,
    active: first,
    shadow,
    onChange: opened.onChange,
    host,
    port,
    token,
    rateLimit: options.rateLimit || (false as const),
    maxClients,
    trustProxy,
    signal: context.takeSignal(),
    notice,
  };
  const onListening = (source: string, symbols: number) => (url: string) => {
    const followed = symbols > 0 ? `${symbols} symbols` : 'every symbol';
    const line = `serving ${first.name} on ${url} (${followed} from ${source}); Ctrl-C stops it`;
    const { name: model, weightsHash } = first;
    if (context.json) process.stdout.write(`${JSON.stringify({ url, model, weightsHash, symbols, source })}\n`);
    else context.print(line);
  };
  try {
    if (options.source === 'bus') {
      const symbols = symbolsOf(options) ?? [];
      const bus = await openBus(options, notice);
      const scores = join(context.data, 'live');
      const { part } = options;
      await serveOnBus({ ...common, bus, symbols, scores, part, onListening: onListening('the bus', symbols.length) });
      return;
    }
    const { source, symbols, warm, close } = await openSource(
      options.source,
      options,
      trained,
      reader,
      context.data,
      (line) => context.progress.say(line),
    );
    try {
      const listening = onListening(source.name, symbols.length);
      const scores = warm ? join(context.data, 'live') : undefined;
      if (options.bus === 'memory') {
        const warmUp = warm && reader ? { reader } : undefined;
        await serveLive({ ...common, source, symbols, warmUp, scores, onListening: listening });
      } else {
        const bus = await openBus(options, notice);
        await serveOnBus({ ...common, bus, source, symbols, scores, part: options.part, onListening: listening });
      }
    } finally {
      await close();
    }
  } finally {
    reader?.close();
  }
}

action<ServeCommand>(serve, async (context, options) => {
  if (options.source === 'bus' && options.bus === 'memory')
    throw new BarcastError(
      'BARCAST_E_USAGE',
      'the bus in memory has no bars of others',
      'name a server with --bus nats://host:4222, or choose another --source',
    );
  if (options.part === 'api' && options.bus === 'memory')
    throw new BarcastError(
      'BARCAST_E_USAGE',
      'nobody else forecasts on the bus in memory',
      'leave --part out, or name a server with --bus nats://host:4222',
    );
  await withKernel(options, context, async (kernel) => {
    const opened = await openModels(options.model, context, kernel);
    try {
      await run(context, options, opened);
    } finally {
      await opened.close();
    }
  });
  return undefined;
});

export const registerServe: Register = (program) => program.addCommand(serve);
