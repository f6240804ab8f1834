/** `barcast ingest`: brings bars into the store from files, Yahoo or the simulated exchange, once or after every session. */
import { Option } from 'commander';
import { SP500 } from '../bars/index.ts';
import { BarcastError, isoOfMinute, msToMinute } from '../base/index.ts';
import {
  afterEverySession,
  firstWholeSession,
  type HistoryAnswer,
  type IngestAnswer,
  ingestFiles,
  ingestHistory,
  ingestTrades,
  shareOf,
  type YahooSource,
} from '../sources/index.ts';
import { type Answer, action, type Context, command, type Register, wholeNumber } from './context.ts';
import { summaryOf } from './ingest-summary.ts';
import { type RangeOptions, rangeOf, type SymbolOptions, symbolsOf, withRange, withSymbols } from './selection.ts';
import { withHistorySource } from './yahoo-source.ts';

interface IngestCommand extends RangeOptions, SymbolOptions {
  readonly source?: 'yahoo' | 'files' | 'simulated' | 'trades';
  readonly lateness?: number;
  readonly yahooUrl?: string;
  readonly watch: boolean;
}

const ingest = withSymbols(withRange(command('ingest', 'bring bars into the store, or what it still lacks of them')))
  .argument(
    '[files...]',
    'CSV, CSV.gz and Parquet files, or folders of them; of trades also NDJSON, and - for standard input',
  )
  .addOption(
    new Option(
      '--source <source>',
      'where the bars come from (default: files when files are named, or else yahoo)',
    ).choices(['yahoo', 'files', 'simulated', 'trades']),
  )
  .addOption(
    new Option('--lateness <seconds>', 'of trades: how long after a younger one they may come (default: 60)').argParser(
      wholeNumber(0, 86_400),
    ),
  )
  .addOption(new Option('--yahoo-url <url>', "another server that speaks Yahoo's chart API"))
  .option('--watch', 'bring the store up to date after every session, until Ctrl-C', false);

async function fromSource(
  source: YahooSource,
  context: Context,
  options: IngestCommand,
  signal: AbortSignal,
): Promise<HistoryAnswer> {
  await source.sync(signal);
  const now = msToMinute(source.clock.now());
  const { from, to } = rangeOf(options);
  if (from !== undefined && from > now) {
    throw new BarcastError(
      'BARCAST_E_DATE',
      `--from ${options.from} has not come yet: it is ${isoOfMinute(now)}`,
      'give an earlier day, or set the clock of this machine if that is wrong',
    );
  }
  const { data, progress } = context;
  const share = shareOf(process.env);
  return ingestHistory({
    source,
    symbols: symbolsOf(options) ?? SP500,
    from: from ?? firstWholeSession(source.clock.now()),
    to: to !== undefined && to < now ? to : now,
    data,
    progress,
    signal,
    ...(share === undefined ? {} : { share }),
  });
}

const answerOf = (answer: IngestAnswer | HistoryAnswer): Answer => ({ json: answer, text: summaryOf(answer) });

function fromFiles(context: Context, options: IngestCommand, files: string[]): Promise<IngestAnswer> {
  for (const [name, given] of [
    ['symbols', options.symbols],
    ['from', options.from],
    ['to', options.to],
    ['yahoo-url', options.yahooUrl],
    ['watch', options.watch || undefined],
  ] as const) {
    if (given !== undefined)
      throw new BarcastError(
        'BARCAST_E_USAGE',
        `--${name} does not go with files`,
        'files are taken whole; name only those you want',
      );
  }
  const share = shareOf(process.env);
  const { data, progress } = context;
  return ingestFiles({ files, data, progress, ...(share === undefined ? {} : { share }) });
}

function fromTrades(context: Context, { lateness }: IngestCommand, files: string[]): Promise<IngestAnswer> {
  const { data, progress } = context;
  const latenessMs = lateness === undefined ? undefined : lateness * 1000;
  return ingestTrades({ files, latenessMs, data, progress, signal: context.takeSignal() });
}

/** One answer after every session, on a line each. */
async function watch(source: YahooSource, context: Context, options: IngestCommand, signal: AbortSignal) {
  const { json, progress } = context;
  await afterEverySession({
    source,
    signal,
    update: async () => {
      const answer = await fromSource(source, context, options, signal);
      if (json) process.stdout.write(`${JSON.stringify(answer)}\n`);
      else context.print(summaryOf(answer));
    },
    failed: (error) => progress.say(`${error.line}; trying again in 5 minutes`),
    next: ({ day, close }) => progress.say(`next: the session of ${day}, some minutes after ${isoOfMinute(close)}`),
  });
}

action<IngestCommand>(ingest, async (context, options, files) => {
  const { source = files.length > 0 ? 'files' : 'yahoo', yahooUrl: url } = options;
  if (source === 'trades') return answerOf(await fromTrades(context, options, files));
  if (source === 'files') return answerOf(await fromFiles(context, options, files));
  if (files.length > 0)
    throw new BarcastError('BARCAST_E_USAGE', `the source ${source} takes no files`, 'leave the files or --source out');
  const signal = context.takeSignal();
  return withHistorySource({ source, ...(url === undefined ? {} : { url }) }, async (from) => {
    if (!options.watch) return answerOf(await fromSource(from, context, options, signal));
    if (options.to !== undefined)
      throw new BarcastError('BARCAST_E_USAGE', '--to does not go with --watch', 'leave one of them out');
    await watch(from, context, options, signal);
    return undefined;
  });
});

export const registerIngest: Register = (program) => program.addCommand(ingest);
