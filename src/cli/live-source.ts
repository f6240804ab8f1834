/** Where live bars come from, for `serve` and `feed`: the options, and the source they open. */
import { type Command, Option } from 'commander';
import { BarcastError } from '../base/index.ts';
import {
  alpacaSource,
  LIVE_COMMIT_EVERY_MS,
  type LiveSource,
  simulatedSource,
  storedLive,
  yahooSource,
  yahooStreamSource,
} from '../sources/index.ts';
import { type BarReader, openReader } from '../store/index.ts';
import { type NatsBus, natsBus, replaySource } from '../stream/index.ts';
import { positiveNumber, wholeNumber } from './context.ts';
import {
  closedRangeOf,
  type RangeOptions,
  type SymbolOptions,
  symbolsOf,
  withRange,
  withSymbols,
} from './selection.ts';
import { checkSymbols } from './store-bars.ts';

export const SOURCE_NAMES = ['yahoo', 'yahoo-stream', 'alpaca', 'alpaca-trades', 'replay', 'simulated'] as const;
export type SourceName = (typeof SOURCE_NAMES)[number];

export interface SourceOptions extends RangeOptions, SymbolOptions {
  readonly speed?: number;
  readonly yahooUrl?: string;
  readonly store?: boolean;
}

export interface BusOptions {
  readonly bus: string;
  readonly replicas: number;
}

/** @param names what `--source` may be; the first one is taken unless told */
export const withSource = (target: Command, names: readonly string[]): Command =>
  withSymbols(withRange(target))
    .addOption(new Option('--source <source>', 'where the bars come from').choices(names).default(names[0]))
    .addOption(
      new Option('--speed <x>', 'market minutes a real minute, of a replay or the simulated exchange').argParser(
        positiveNumber,
      ),
    )
    .addOption(new Option('--yahoo-url <url>', 'another server that speaks the chart API'))
    .option('--store', "keep the bars in the store (default for every source but 'replay' and 'simulated')")
    .option('--no-store', 'do not keep them');

export const withBus = (target: Command, option: Option): Command =>
  target
    .addOption(option.env('BARCAST_BUS'))
    .addOption(
      new Option('--replicas <n>', 'servers that keep each stream, when this command makes the streams')
        .argParser(wholeNumber(1, 5))
        .default(1),
    );

export interface OpenSource {
  readonly source: LiveSource;
  readonly symbols: readonly string[];
  /** Whether the store's bars of the present session come before it. */
  readonly warm: boolean;
  close(): Promise<void>;
}

const nothing = async () => {};

/**
 * The source that the options name. Its bars are kept in the store, unless they come from there or are made up.
 * @param trained symbols that a model knows; taken where none were asked for
 * @param notice told of connections lost and made again, one line each
 */
export async function openSource(
  name: SourceName,
  options: SourceOptions,
  trained: readonly string[],
  reader: BarReader | undefined,
  data: string,
  notice: (line: string) => void,
): Promise<OpenSource> {
  if (options.store && name === 'replay')
    throw new BarcastError('BARCAST_E_USAGE', '--store does not go with a replay', 'its bars are in the store already');
  const opened = await openBareSource(name, options, trained, reader, data, notice);
  if (!(options.store ?? (name !== 'replay' && name !== 'simulated'))) return opened;
  // A market that runs faster has its minutes sooner.
  const commitEveryMs = Math.max(1000, LIVE_COMMIT_EVERY_MS / Math.max(1, options.speed ?? 1));
  const source = storedLive(opened.source, { data, notice, commitEveryMs });
  return {
    ...opened,
    source,
    close: async () => {
      await source.close();
      await opened.close();
    },
  };
}

async function openBareSource(
  name: SourceName,
  options: SourceOptions,
  trained: readonly string[],
  reader: BarReader | undefined,
  data: string,
  notice: (line: string) => void,
): Promise<OpenSource> {
  const asked = symbolsOf(options);
  const { speed = name === 'replay' ? 60 : 1, yahooUrl: url } = options;
  const symbols = asked ?? trained;
  switch (name) {
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
      return { source, symbols, warm: true, close: () => source.close() };
    }
    case 'yahoo': {
      const source = yahooSource({ url });
      await source.sync();
      return { source, symbols, warm: true, close: nothing };
    }
    case 'yahoo-stream':
      return { source: yahooStreamSource({ url, notice }), symbols, warm: true, close: nothing };
    case 'alpaca':
    case 'alpaca-trades': {
      const source = alpacaSource({ take: name === 'alpaca' ? 'bars' : 'trades', notice });
      return { source, symbols, warm: true, close: nothing };
    }
  }
}

export async function readerIfAny(data: string): Promise<BarReader | undefined> {
  try {
    return await openReader(data);
  } catch (error) {
    if (error instanceof BarcastError && error.code === 'BARCAST_E_STORE_EMPTY') return undefined;
    throw error;
  }
}

/** The NATS bus that the options name. @throws BARCAST_E_USAGE, BARCAST_E_NETWORK, BARCAST_E_BUS */
export const openBus = ({ bus, replicas }: BusOptions, notice: (line: string) => void): Promise<NatsBus> =>
  natsBus({ url: bus, replicas, notice, name: `barcast ${process.pid}` });
