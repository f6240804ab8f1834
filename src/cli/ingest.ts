/** `barcast ingest`: brings bars into the store from files, Yahoo or the simulated exchange. */
import { Option } from 'commander';
import { SP500 } from '../bars/index.ts';
import { BarcastError, msToMinute } from '../base/index.ts';
import {
  earliestMinute,
  type HistoryAnswer,
  type IngestAnswer,
  ingestFiles,
  ingestHistory,
  ingestTrades,
  simulatedSource,
  type TradeIngestAnswer,
  type YahooSource,
  yahooSource,
} from '../sources/index.ts';
import { action, type Context, command, type Register, wholeNumber } from './context.ts';
import { type RangeOptions, rangeOf, type SymbolOptions, symbolsOf, withRange, withSymbols } from './selection.ts';

interface IngestCommand extends RangeOptions, SymbolOptions {
  readonly source?: 'yahoo' | 'files' | 'simulated' | 'trades';
  readonly lateness?: number;
  readonly yahooUrl?: string;
}

const ingest = withSymbols(withRange(command('ingest', 'bring bars into the store')))
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
  .addOption(new Option('--yahoo-url <url>', "another server that speaks Yahoo's chart API"));

async function fromSource(source: YahooSource, context: Context, options: IngestCommand): Promise<HistoryAnswer> {
  const signal = context.takeSignal();
  await source.sync(signal);
  const now = msToMinute(source.clock.now());
  const { from, to } = rangeOf(options);
  const { data, progress } = context;
  return ingestHistory({
    source,
    symbols: symbolsOf(options) ?? SP500,
    from: from ?? earliestMinute(source.clock.now()),
    to: to !== undefined && to < now ? to : now,
    data,
    progress,
    signal,
  });
}

async function run(
  context: Context,
  options: IngestCommand,
  files: string[],
): Promise<IngestAnswer | HistoryAnswer | TradeIngestAnswer> {
  const { source = files.length > 0 ? 'files' : 'yahoo', yahooUrl: url } = options;
  if (source === 'trades') {
    const latenessMs = options.lateness === undefined ? undefined : options.lateness * 1000;
    return ingestTrades({
      files,
      latenessMs,
      data: context.data,
      progress: context.progress,
      signal: context.takeSignal(),
    });
  }
  if (source === 'files') {
    for (const name of ['symbols', 'from', 'to', 'yahooUrl'] as const) {
      if (options[name] !== undefined)
        throw new BarcastError(
          'BARCAST_E_USAGE',
          `--${name === 'yahooUrl' ? 'yahoo-url' : name} does not go with files`,
          'files are taken whole; name only those you want',
        );
    }
    return ingestFiles({ files, data: context.data, progress: context.progress });
  }
  if (files.length > 0)
    throw new BarcastError('BARCAST_E_USAGE', `the source ${source} takes no files`, 'leave the files or --source out');
  if (source === 'yahoo') return fromSource(yahooSource({ url }), context, options);
  const simulated = await simulatedSource({ url });
  try {
    return await fromSource(simulated, context, options);
  } finally {
    await simulated.close();
  }
}

const count = (value: number) => value.toLocaleString('en-US');

function summary(answer: IngestAnswer | HistoryAnswer | TradeIngestAnswer): string {
  const flaws = [
    [answer.duplicates, 'duplicates'],
    [answer.conflicts, 'of them conflicts'],
    [answer.revisions, 'revisions'],
    [answer.nullBars, 'null bars'],
    [answer.zeroVolumeBars, 'bars without volume'],
    [answer.partialBars, 'partial bars refused'],
    [answer.misalignedBars, 'off-minute bars refused'],
    [answer.closingPrints, 'closing prints'],
    [answer.outOfSessionBars, 'bars outside the session'],
    [answer.invalidPriceBars, 'bars with impossible prices'],
  ] as const;
  const lines = [
    `${count(answer.symbols)} symbols, ${count(answer.rowsRead)} rows read, ${count(answer.rowsStored)} stored, ${count(answer.alreadyStored)} already there, ${answer.seconds.toFixed(1)} s`,
  ];
  const found = flaws.filter(([n]) => n > 0).map(([n, what]) => `${count(n)} ${what}`);
  if (found.length > 0) lines.push(`flaws: ${found.join(', ')}`);
  if ('trades' in answer) {
    const { trades, late, invalid, unknownConditions, cancelled, corrected, unmatched } = answer.trades;
    lines.push(
      `${count(trades)} trades: ${count(late)} too late, ${count(invalid)} impossible, ${count(unknownConditions)} of unknown conditions, ${count(cancelled)} cancelled, ${count(corrected)} corrected, ${count(unmatched)} corrections of trades that are not there`,
    );
  }
  if ('unknown' in answer) {
    const { unknown, notes, failed } = answer;
    lines.push(...notes);
    if (unknown.length > 0) lines.push(`not known to the source: ${unknown.join(', ')}`);
    for (const { symbol, reason } of failed) lines.push(`still missing: ${symbol} (${reason})`);
  }
  return lines.join('\n');
}

action<IngestCommand>(ingest, async (context, options, files) => {
  const answer = await run(context, options, files);
  return { json: answer, text: summary(answer) };
});

export const registerIngest: Register = (program) => program.addCommand(ingest);
