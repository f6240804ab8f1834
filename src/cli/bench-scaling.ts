/** `barcast bench scaling`: training over threads and ranks, and what it would do on many nodes. */
import { InvalidArgumentError, Option } from 'commander';
import { benchScaling, scalingPlot, type Way } from '../../bench/scaling.ts';
import { writeFileAtomic } from '../base/index.ts';
import { type ComputeOptions, withCompute, withKernel } from './compute.ts';
import { action, command, positiveNumber, wholeNumber } from './context.ts';

interface ScalingCommand extends ComputeOptions {
  readonly ranks: number[];
  readonly ways: Way[];
  readonly units: number;
  readonly batch: number;
  readonly batchPerRank: number;
  readonly seconds: number;
  readonly rounds: number;
  readonly hosts?: string;
  readonly svg?: string;
}

function counts(text: string): number[] {
  const list = text.split(',').map(Number);
  if (!list.every((count) => Number.isInteger(count) && count > 0 && count <= 256))
    throw new InvalidArgumentError('it takes whole numbers from 1 to 256, as in 1,2,4.');
  return [...new Set([1, ...list])].sort((a, b) => a - b);
}

function ways(text: string): Way[] {
  const list = text.split(',');
  if (!list.every((way) => ['kernel', 'threads', 'mpi'].includes(way)))
    throw new InvalidArgumentError('it takes some of kernel,threads,mpi.');
  return list as Way[];
}

export const scalingCommand = withCompute(command('scaling', 'training over threads and ranks: speedups'))
  .addOption(new Option('--ranks <list>', 'numbers of ranks').argParser(counts).default([1, 2]))
  .addOption(
    new Option('--ways <list>', 'threads of the kernel, threads that are ranks, processes under Open MPI')
      .argParser(ways)
      .default(['kernel', 'threads', 'mpi']),
  )
  .addOption(new Option('--units <n>', 'hidden units of the LSTM').argParser(wholeNumber(1, 256)).default(50))
  .addOption(new Option('--batch <n>', 'sequences a step, strong scaling').argParser(wholeNumber(1, 1e6)).default(1024))
  .addOption(
    new Option('--batch-per-rank <n>', 'sequences a step and rank, weak scaling')
      .argParser(wholeNumber(1, 1e6))
      .default(256),
  )
  .addOption(new Option('--seconds <x>', 'time to take for each figure').argParser(positiveNumber).default(2))
  .addOption(
    new Option('--rounds <n>', 'rounds to take it in, all ways by turns').argParser(wholeNumber(1, 99)).default(3),
  )
  .addOption(new Option('--hosts <a:1,b:1>', 'hosts for the processes'))
  .addOption(new Option('--svg <file>', 'draw the prediction'));

action<ScalingCommand>(scalingCommand, (_context, options) =>
  withKernel({ ...options, workers: 1 }, _context, async (kernel) => {
    const answer = await benchScaling(kernel, { ...options, threadsPerRank: options.workers ?? 1 });
    if (options.svg !== undefined) writeFileAtomic(options.svg, scalingPlot(answer, options.batchPerRank));
    const rows = answer.ranks.map(
      ({ way, ranks, scaling, batch, sequencesPerSecond, speedup, stepMs, collectiveMs, collectiveShare }) =>
        `${scaling.padEnd(6)} ${way.padEnd(7)} ${String(ranks).padStart(3)} ranks, batch ${String(batch).padStart(5)}: ${Math.round(sequencesPerSecond).toLocaleString('en-US').padStart(8)} sequences/s, ${speedup.toFixed(2)}x, step ${stepMs.toFixed(2)} ms, ${collectiveMs.toFixed(3)} ms (${(100 * collectiveShare).toFixed(1)}%) in the collective`,
    );
    const bounds = answer.bound.map(
      ({ processes, batch, speedup }) =>
        `bound of this machine: ${processes} processes that share a batch of ${batch} out and never wait for each other, ${speedup.toFixed(2)}x`,
    );
    const fits = Object.entries(answer.fitted).map(
      ([way, { alpha, beta, error }]) =>
        `all-reduce, ${way}: ${(1e6 * alpha).toFixed(1)} us a message, ${(8e-9 / beta).toFixed(1)} Gbit/s (mean error of the fit ${(100 * error).toFixed(0)}%)`,
    );
    const predictions = answer.predictions.map(
      ({ network, nodes, collectiveMs, stepMs, speedup, efficiency }) =>
        `predicted, ${network}: ${String(nodes).padStart(3)} nodes, all-reduce ${collectiveMs.toFixed(2)} ms of a step of ${stepMs.toFixed(2)} ms, ${speedup.toFixed(1)}x (${(100 * efficiency).toFixed(0)}%)`,
    );
    const head = `scaling of LSTM ${answer.units} on 60 x 2, ${kernel.arithmetic}; ${answer.machine}, Node ${answer.node}, ${answer.date}`;
    return { json: answer, text: [head, ...rows, ...bounds, ...fits, ...predictions].join('\n') };
  }),
);
