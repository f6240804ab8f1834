/** `barcast bench`: this machine's figures. Each checks the answer before it times it. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { benchInfer } from '../../bench/infer.ts';
import { benchTrain } from '../../bench/train.ts';
import { type Kernel, measureFmaPeak } from '../kernel/index.ts';
import { type ComputeOptions, withCompute, withKernel } from './compute.ts';
import { action, command, positiveNumber, type Register, wholeNumber } from './context.ts';

interface BenchCommand extends ComputeOptions {
  readonly units: number;
  readonly seconds: number;
}

const withBench = (target: Command): Command =>
  withCompute(target)
    .addOption(new Option('--units <n>', 'hidden units of the LSTM').argParser(wholeNumber(1, 256)).default(50))
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
    const json = await benchTrain(kernel, { ...options, batches: options.batch, peakGflops: await peakOf(kernel) });
    const lines = json.batches.map(
      ({ batch, sequencesPerSecond, gflops, step }) =>
        `batch ${String(batch).padStart(5)}: ${sequencesPerSecond.toLocaleString('en-US').padStart(8)} sequences/s, ${gflops.toFixed(1)} GFLOP/s, step ${step.median.toFixed(2)} ms (p10 ${step.p10.toFixed(2)}, p90 ${step.p90.toFixed(2)}, ${step.runs} runs)`,
    );
    const head = `training LSTM ${json.units} on 60 x 2, ${json.description}; ${json.machine}, Node ${json.node}, ${json.date}`;
    return {
      json,
      text: [
        head,
        ...lines,
        `best: batch ${json.batch}, ${json.gflops.toFixed(1)} GFLOP/s${share(json.shareOfPeak)}`,
      ].join('\n'),
    };
  }),
);

const infer = withBench(command('infer', 'one inference of a market: milliseconds')).addOption(
  new Option('--symbols <n>', 'windows at once').argParser(wholeNumber(1, 10_000_000)).default(500),
);

action<BenchCommand & { symbols: number }>(infer, (context, options) =>
  withKernel(options, context, async (kernel) => {
    const json = await benchInfer(kernel, { ...options, peakGflops: await peakOf(kernel) });
    const text = [
      `inference of ${json.symbols.toLocaleString('en-US')} windows, LSTM ${json.units} on 60 x 2, ${json.description}; ${json.machine}, Node ${json.node}, ${json.date}`,
      `p50 ${json.p50Ms.toFixed(2)} ms, p99 ${json.p99Ms.toFixed(2)} ms (${json.timing.runs} runs), ${json.windowsPerSecond.toLocaleString('en-US')} windows/s, ${json.gflops.toFixed(1)} GFLOP/s${share(json.shareOfPeak)}`,
    ].join('\n');
    return { json, text };
  }),
);

export const registerBench: Register = (program) => {
  const bench = new Command('bench').description("this machine's figures");
  for (const child of [train, infer]) bench.addCommand(child);
  program.addCommand(bench);
};
