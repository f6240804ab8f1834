/** `barcast bench data` and `bench pieces`: bars in, windows out, in memory and beyond it. */
import { Option } from 'commander';
import { benchBackfill } from '../../bench/backfill.ts';
import { benchData } from '../../bench/data.ts';
import { benchPieces } from '../../bench/pieces.ts';
import type { Timing } from '../../bench/timing.ts';
import { action, command, positiveNumber, wholeNumber } from './context.ts';

export const dataCommand = command('data', 'files, store, windows and trades: rows a second')
  .argument('[files...]', 'bar files or folders to bring in (default: generated ones)')
  .addOption(
    new Option('--symbols <n>', 'symbols of the generated market').argParser(wholeNumber(3, 10_000)).default(500),
  )
  .addOption(new Option('--sessions <n>', 'its days').argParser(wholeNumber(1, 400)).default(20))
  .addOption(new Option('--seconds <x>', 'time to take for each figure').argParser(positiveNumber).default(3));

action<{ symbols: number; sessions: number; seconds: number }>(dataCommand, async (context, options, files) => {
  const ours = await benchData({ ...options, files, progress: context.progress });
  const millions = (value: number) => `${(value / 1e6).toFixed(2)} million`;
  const spread = ({ median, p10, p90, runs }: Timing) =>
    `median ${median.toFixed(0)} ms (p10 ${p10.toFixed(0)}, p90 ${p90.toFixed(0)}, ${runs} runs)`;
  const { ingest, read, windows, ready, trades, ndjson } = ours;
  const text = [
    `data of ${ours.symbols} symbols x ${ours.sessions} sessions; ${ours.machine}, Node ${ours.node}, ${ours.date}`,
    `files to store: ${millions(ingest.rowsPerSecond)} rows/s, ${ingest.rows.toLocaleString('en-US')} rows, ${spread(ingest.timing)}`,
    `store to memory: ${millions(read.rowsPerSecond)} rows/s, ${read.rows.toLocaleString('en-US')} rows, ${spread(read.timing)}`,
    ...windows.map(
      (of) =>
        `rows to windows: ${millions(of.windowsPerSecond)} windows/s of ${of.recipe}, ${of.features} features, in used memory ${millions(of.inUsedMemoryPerSecond)}, ${spread(of.timing)}`,
    ),
    `store to what is trained on: ${ready.windows.toLocaleString('en-US')} windows, by a scaler fitted before, ${spread(ready.timing)}; with the fit in it ${spread(ready.withFitTiming)}; the fit alone ${spread(ready.fitTiming)}`,
    `trades to bars: ${millions(trades.tradesPerSecond)} trades/s, with corrections ${millions(trades.withCorrectionsPerSecond)}, ${spread(trades.timing)}`,
    `NDJSON to bars: ${millions(ndjson.tradesPerSecond)} trades/s, ${spread(ndjson.timing)}`,
  ].join('\n');
  return { json: ours, text };
});

export const piecesCommand = command('pieces', 'an epoch over more bars than memory holds, all but the training itself')
  .addOption(
    new Option('--symbols <n>', 'symbols of the generated market').argParser(wholeNumber(3, 10_000)).default(500),
  )
  .addOption(new Option('--sessions <n>', 'its days; 1258 are five years').argParser(wholeNumber(5, 5000)).default(60));

action<{ symbols: number; sessions: number }>(piecesCommand, async (context, options) => {
  const ours = await benchPieces({ ...options, progress: context.progress });
  const count = (value: number) => value.toLocaleString('en-US');
  const text = [
    `${count(ours.rows)} rows of ${ours.symbols} symbols x ${ours.sessions} sessions, ${(ours.bytes / 1e9).toFixed(2)} GB, made in ${ours.generateSeconds.toFixed(0)} s; ${ours.machine}, Node ${ours.node}, ${ours.date}`,
    `prepared in ${ours.prepareSeconds.toFixed(0)} s: ${count(ours.windows)} windows in ${ours.pieces} pieces`,
    `an epoch of ${count(ours.trainingWindows)} windows in ${ours.epochSeconds.toFixed(0)} s, at most ${count(ours.peakMegabytes)} MB`,
  ].join('\n');
  return { json: ours, text };
});

export const backfillCommand = command('backfill', 'thirty days from a simulated exchange: what of its limit is used')
  .addOption(new Option('--symbols <n>', 'of the exchange').argParser(wholeNumber(1, 504)).default(500))
  .addOption(new Option('--limit <n>', 'requests a second that it permits').argParser(positiveNumber).default(100))
  .addOption(
    new Option('--latency <ms>', 'what it takes for each answer').argParser(wholeNumber(0, 60_000)).default(600),
  );

action<{ symbols: number; limit: number; latency: number }>(backfillCommand, async (context, options) => {
  const { symbols, limit, latency } = options;
  const ours = await benchBackfill({
    symbols,
    limitPerSecond: limit,
    latencyMs: latency,
    progress: context.progress,
  });
  const count = (value: number) => value.toLocaleString('en-US');
  const percent = (value: number) => `${(100 * value).toFixed(1)}%`;
  const text = [
    `${ours.symbols} symbols, ${count(ours.bars)} bars, every one of them the exchange's; ${ours.machine}, Node ${ours.node}, ${ours.date}`,
    `${count(ours.requests)} requests in ${ours.seconds.toFixed(2)} s: ${ours.requestsPerSecond.toFixed(1)} a second; ${count(ours.refused)} refused`,
    `${percent(ours.shareOfPermitted)} of what ${limit} a second and ${latency} ms permit (${ours.permittedSeconds.toFixed(2)} s); with the second's worth saved up at the start ${percent(ours.shareWithSaved)}`,
    `the process answered within ${ours.loopDelayP99Ms.toFixed(0)} ms (p99), at most ${ours.loopDelayMostMs.toFixed(0)} ms`,
  ].join('\n');
  return { json: ours, text };
});
