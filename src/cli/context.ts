/** What every command shares: its common options, where its words go, and how it is stopped. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { BarcastError, type Progress, streamProgress } from '../base/index.ts';

export interface CommonOptions {
  readonly data: string;
  readonly models: string;
  readonly json: boolean;
  readonly verbose: boolean;
}

export interface Context extends CommonOptions {
  readonly progress: Progress;
  /**
   * Hands over the care for Ctrl-C and SIGTERM: the first one aborts the signal that this answers, and the command
   * ends by itself. Without it, and at a second one, the process ends at once; what it had committed is kept.
   */
  takeSignal(): AbortSignal;
  /** Prints to standard output, unless --json was asked for: then only the answer goes there. */
  print(line: string): void;
}

/** What a command found: for scripts, and for people. */
export interface Answer {
  readonly json: object;
  readonly text: string;
}

/** A command's work. Without an answer nothing is printed at its end (a server that was stopped). */
export type Action<O> = (context: Context, options: O, args: string[]) => Promise<Answer | undefined>;

/** Registers one command on the program. */
export type Register = (program: Command) => void;

/** A command with the common options; {@link action} gives it its work. */
export function command(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .addOption(new Option('--data <dir>', 'folder of the stored bars').env('BARCAST_DATA').default('./data'))
    .addOption(new Option('--models <dir>', 'folder of the models').env('BARCAST_MODELS').default('./models'))
    .option('--json', 'answer with exactly one JSON object on standard output', false)
    .option('--verbose', 'show the stack of an error', false)
    .allowExcessArguments(false);
}

/** Gives a command its work; the positional arguments come flattened. */
export function action<O extends object>(target: Command, work: Action<O>): Command {
  return target.action(async (...received: unknown[]) => {
    const options = target.opts<CommonOptions & O>();
    const args = received
      .slice(0, -2)
      .flat()
      .filter((value): value is string => typeof value === 'string');
    const stop = new AbortController();
    let taken = false;
    const takeSignal = () => {
      taken = true;
      return stop.signal;
    };
    const onSignal = () => {
      if (!taken || stop.signal.aborted) throw stopped();
      stop.abort();
    };
    process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
    const print = (line: string) => {
      if (!options.json) process.stdout.write(`${line}\n`);
    };
    const progress = streamProgress();
    try {
      const answer = await work({ ...options, progress, takeSignal, print }, options, args);
      progress.finish();
      if (answer) process.stdout.write(options.json ? `${JSON.stringify(answer.json)}\n` : `${answer.text}\n`);
    } finally {
      progress.finish();
      process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    }
  });
}

const stopped = () => new BarcastError('BARCAST_E_INTERRUPTED', 'stopped by a signal', 'run the same command again');

/** An option's parser for a whole number within bounds. */
export function wholeNumber(low: number, high = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^-?\d+$/.test(text) || value < low || value > high)
      throw new InvalidArgumentError(`it takes a whole number from ${low} to ${high}.`);
    return value;
  };
}

/** An option's parser for a positive number. */
export function positiveNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value > 0) || !Number.isFinite(value))
    throw new InvalidArgumentError('it takes a number above 0.');
  return value;
}

/** An option's parser for a number that is not negative. */
export function notNegative(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0) || !Number.isFinite(value))
    throw new InvalidArgumentError('it takes a number that is not negative.');
  return value;
}
