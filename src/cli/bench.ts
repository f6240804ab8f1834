/** `barcast bench`: this machine's figures. Each checks the answer before it times it. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { describeRates } from '../../bench/device-rates.ts';
import { benchInfer } from '../../bench/infer.ts';
import { askPeers, peerFigures } from '../../bench/peer.ts';
import { benchTrain } from '../../bench/train.ts';
import { type Kernel, measureFmaPeak } from '../kernel/index.ts';
import { backfillCommand, dataCommand, piecesCommand } from './bench-data.ts';
import { scalingCommand } from './bench-scaling.ts';
import { clientsCommand, streamCommand } from './bench-stream.ts';
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
      ...describeRates(ours.work),
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
    const peers = peerFigures(before, after, ({ inferMs }) => inferMs[options.symbols] ?? null, Math.min);
    const compared = peers.map((peer) => ({ ...peer, ratio: peer.best / ours.p50Ms }));
    const { timing, windowsPerSecond, gflops, shareOfPeak } = ours;
    const text = [
      `inference of ${ours.symbols.toLocaleString('en-US')} windows, LSTM ${ours.units} on 60 x 2, ${ours.description}; ${ours.machine}, Node ${ours.node}, ${ours.date}`,
      `p50 ${ours.p50Ms.toFixed(2)} ms, p99 ${ours.p99Ms.toFixed(2)} ms (${timing.runs} runs), ${windowsPerSecond.toLocaleString('en-US')} windows/s, ${gflops.toFixed(1)} GFLOP/s${share(shareOfPeak)}`,
      ...describeRates(ours.work),
      ...compared.map(
        ({ name, runs, ratio }) =>
          `${name}: ${runs.map((run) => `${run.toFixed(2)} ms`).join(' and ')}; ours is ${ratio.toFixed(2)} times as fast as its best`,
      ),
    ].join('\n');
    return { json: { ...ours, peers: compared }, text };
  }),
);

export const registerBench: Register = (program) => {
  const bench = new Command('bench').description("this machine's figures");
  const children = [
    dataCommand,
    backfillCommand,
    piecesCommand,
    train,
    infer,
    streamCommand,
    clientsCommand,
    scalingCommand,
  ];
  for (const child of children) bench.addCommand(child);
  program.addCommand(bench);
};
