/** `barcast bench`: this machine's figures. Each checks the answer before it times it. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { benchData } from '../../bench/data.ts';
import { benchInfer } from '../../bench/infer.ts';
import { askPeers, peerFigures } from '../../bench/peer.ts';
import { benchPieces } from '../../bench/pieces.ts';
import type { Timing } from '../../bench/timing.ts';
import { benchTrain } from '../../bench/train.ts';
import { type Kernel, measureFmaPeak } from '../kernel/index.ts';
import { type ComputeOptions, withCompute, withKernel } from './compute.ts';
import { action, command, positiveNumber, type Register, wholeNumber } from './context.ts';

interface BenchCommand extends ComputeOptions {
  readonly units: number;
  readonly seconds: number;
  readonly peer: string[];
}

const withBench = (target: Command): Command =>
  withCompute(target)
    .addOption(new Option('--units <n>', 'hidden units of the LSTM').argParser(wholeNumber(1, 256)).default(50))
    .addOption(
      new Option('--peer <command>', 'another tool to run beside it, before and after (repeatable)')
        .argParser((command: string, before: string[]) => [...before, command])
        .default([] as string[], 'none'),
    )
    .addOption(new Option('--seconds <x>', 'time to take for each figure').argParser(positiveNumber).default(3));

function sizes(text: string): number[] {
  const list = text.split(',').map(Number);
  if (!list.every((size) => Number.isInteger(size) && size > 0))
    throw new InvalidArgumentError('it takes whole numbers above 0, as in 32,256.');
  return list;
}

const peakOf = async (kernel: Kernel) => (kernel.name === 'native' ? await measureFmaPeak(kernel.threads) : null);
const share = (value: number | null) =>
  value === null ? '' : ` (${(100 * value).toFixed(0)}% of the measured FMA peak)`;

const train = withBench(command('train', 'training steps: sequences a second')).addOption(
  new Option('--batch <list>', 'batch sizes').argParser(sizes).default([32, 128, 256, 512, 1024]),
);

action<BenchCommand & { batch: number[] }>(train, (context, options) =>
  withKernel(options, context, async (kernel) => {
    const before = await askPeers(options.peer);
    const ours = await benchTrain(kernel, { ...options, batches: options.batch, peakGflops: await peakOf(kernel) });
    const after = await askPeers(options.peer);
    const peers = peerFigures(before, after, (answer) => answer.sequencesPerSecond, Math.max);
    const compared = peers.map((peer) => ({ ...peer, ratio: ours.sequencesPerSecond / peer.best }));
    const rate = (value: number) => `${value.toLocaleString('en-US').padStart(8)} sequences/s`;
    const lines = ours.batches.map(({ batch, sequencesPerSecond, gflops, step }) => {
      const spread = `step ${step.median.toFixed(2)} ms (p10 ${step.p10.toFixed(2)}, p90 ${step.p90.toFixed(2)}, ${step.runs} runs)`;
      return `batch ${String(batch).padStart(5)}: ${rate(sequencesPerSecond)}, ${gflops.toFixed(1)} GFLOP/s, ${spread}`;
    });
    const text = [
      `training LSTM ${ours.units} on 60 x 2, ${ours.description}; ${ours.machine}, Node ${ours.node}, ${ours.date}`,
      ...lines,
      `best: batch ${ours.batch}, ${ours.gflops.toFixed(1)} GFLOP/s${share(ours.shareOfPeak)}`,
      ...compared.map(
        ({ name, runs, ratio }) =>
          `${name}: ${runs.map(rate).join(' and ')}; ours is ${ratio.toFixed(2)} times its best`,
      ),
    ].join('\n');
    return { json: { ...ours, peers: compared }, text };
  }),
);

const infer = withBench(command('infer', 'one inference of a market: milliseconds')).addOption(
  new Option('--symbols <n>', 'windows at once').argParser(wholeNumber(1, 10_000_000)).default(500),
);

action<BenchCommand & { symbols: number }>(infer, (context, options) =>
  withKernel(options, context, async (kernel) => {
    const before = await askPeers(options.peer);
    const ours = await benchInfer(kernel, { ...options, peakGflops: await peakOf(kernel) });
    const after = await askPeers(options.peer);
    const peers = peerFigures(before, after, (answer) => answer.infer500Ms, Math.min);
    const compared = peers.map((peer) => ({ ...peer, ratio: peer.best / ours.p50Ms }));
    const { timing, windowsPerSecond, gflops, shareOfPeak } = ours;
    const text = [
      `inference of ${ours.symbols.toLocaleString('en-US')} windows, LSTM ${ours.units} on 60 x 2, ${ours.description}; ${ours.machine}, Node ${ours.node}, ${ours.date}`,
      `p50 ${ours.p50Ms.toFixed(2)} ms, p99 ${ours.p99Ms.toFixed(2)} ms (${timing.runs} runs), ${windowsPerSecond.toLocaleString('en-US')} windows/s, ${gflops.toFixed(1)} GFLOP/s${share(shareOfPeak)}`,
      ...compared.map(
        ({ name, runs, ratio }) =>
          `${name}, 500 windows: ${runs.map((run) => `${run.toFixed(2)} ms`).join(' and ')}; ours is ${ratio.toFixed(2)} times as fast as its best`,
      ),
    ].join('\n');
    return { json: { ...ours, peers: compared }, text };
  }),
);

const data = command('data', 'files, store, windows and trades: rows a second')
  .argument('[files...]', 'bar files or folders to bring in (default: generated ones)')
  .addOption(
    new Option('--symbols <n>', 'symbols of the generated market').argParser(wholeNumber(3, 10_000)).default(500),
  )
  .addOption(new Option('--sessions <n>', 'its days').argParser(wholeNumber(1, 400)).default(20))
  .addOption(new Option('--seconds <x>', 'time to take for each figure').argParser(positiveNumber).default(3));

action<{ symbols: number; sessions: number; seconds: number }>(data, async (context, options, files) => {
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
    `store to what is trained on: ${ready.windows.toLocaleString('en-US')} windows, ${spread(ready.timing)}; fitting the recipe before it ${ready.fitSeconds.toFixed(2)} s`,
    `trades to bars: ${millions(trades.tradesPerSecond)} trades/s, with corrections ${millions(trades.withCorrectionsPerSecond)}, ${spread(trades.timing)}`,
    `NDJSON to bars: ${millions(ndjson.tradesPerSecond)} trades/s, ${spread(ndjson.timing)}`,
  ].join('\n');
  return { json: ours, text };
});

const pieces = command('pieces', 'an epoch over more bars than memory holds, all but the training itself')
  .addOption(
    new Option('--symbols <n>', 'symbols of the generated market').argParser(wholeNumber(3, 10_000)).default(500),
  )
  .addOption(new Option('--sessions <n>', 'its days; 1258 are five years').argParser(wholeNumber(5, 5000)).default(60));

action<{ symbols: number; sessions: number }>(pieces, async (context, options) => {
  const ours = await benchPieces({ ...options, progress: context.progress });
  const count = (value: number) => value.toLocaleString('en-US');
  const text = [
    `${count(ours.rows)} rows of ${ours.symbols} symbols x ${ours.sessions} sessions, ${(ours.bytes / 1e9).toFixed(2)} GB, made in ${ours.generateSeconds.toFixed(0)} s; ${ours.machine}, Node ${ours.node}, ${ours.date}`,
    `prepared in ${ours.prepareSeconds.toFixed(0)} s: ${count(ours.windows)} windows in ${ours.pieces} pieces`,
    `an epoch of ${count(ours.trainingWindows)} windows in ${ours.epochSeconds.toFixed(0)} s, at most ${count(ours.peakMegabytes)} MB`,
  ].join('\n');
  return { json: ours, text };
});

export const registerBench: Register = (program) => {
  const bench = new Command('bench').description("this machine's figures");
  for (const child of [data, pieces, train, infer]) bench.addCommand(child);
  program.addCommand(bench);
};
