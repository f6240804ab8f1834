/** `barcast simulate`: the simulated exchange alone, a server that speaks Yahoo's chart API. */
import { Option } from 'commander';
import { BarcastError, epochMs, isoOf } from '../base/index.ts';
import { DEFAULT_STRENGTH, PATTERN_NAMES, type Pattern, parseFaults, startExchange } from '../sources/index.ts';
import { action, command, positiveNumber, type Register, wholeNumber } from './context.ts';

interface SimulateCommand {
  readonly port: number;
  readonly host: string;
  readonly seed: number;
  readonly faults?: string;
  readonly limit?: number;
  readonly now?: string;
  readonly speed?: number;
  readonly skipClosed?: boolean;
  readonly pattern: Pattern;
  readonly strength: number;
}

const simulate = command('simulate', "a simulated exchange that answers Yahoo's chart API")
  .addOption(
    new Option('--port <port>', 'port to listen on; 0 takes a free one')
      .argParser(wholeNumber(0, 65_535))
      .default(8081),
  )
  .addOption(new Option('--host <address>', 'address to listen on').default('127.0.0.1'))
  .addOption(new Option('--seed <n>', 'names the market').argParser(wholeNumber(0, 2 ** 48)).default(1))
  .addOption(new Option('--faults <list>', 'faults to order with their rates, as in 429:0.05,null:0.01'))
  .addOption(
    new Option('--limit <n>', 'requests a second that it answers; others get status 429').argParser(positiveNumber),
  )
  .addOption(new Option('--now <instant>', 'what its clock says at the start (ISO 8601; default: the present)'))
  .addOption(new Option('--speed <x>', 'market minutes a real minute').argParser(positiveNumber).default(1))
  .addOption(
    new Option('--pattern <pattern>', 'what there is to learn').choices([...PATTERN_NAMES, 'none']).default('echo'),
  )
  .addOption(
    new Option('--strength <x>', 'best skill that the pattern allows at five minutes, 0 to 0.6')
      .argParser(Number)
      .default(DEFAULT_STRENGTH),
  )
  .option('--skip-closed', 'jump over nights and weekends', false);

function instant(text: string) {
  const ms = Date.parse(text);
  if (Number.isNaN(ms))
    throw new BarcastError(
      'BARCAST_E_DATE',
      `'${text}' is not an instant`,
      'write it as ISO 8601, as in 2025-03-14T15:30:00Z',
    );
  return epochMs(ms);
}

action<SimulateCommand>(
  simulate,
  async (context, { port, host, seed, faults, limit, now, speed, skipClosed, pattern, strength }) => {
    const exchange = await startExchange({
      port,
      host,
      seed,
      pattern,
      strength,
      speed,
      skipClosed,
      ...(faults === undefined ? {} : { faults: parseFaults(faults) }),
      ...(limit === undefined ? {} : { limitPerSecond: limit }),
      ...(now === undefined ? {} : { now: instant(now) }),
    });
    const at = isoOf(exchange.clock.now());
    if (context.json) process.stdout.write(`${JSON.stringify({ url: exchange.url, seed, now: at })}\n`);
    else context.print(`simulated exchange on ${exchange.url}, its clock at ${at}; Ctrl-C stops it`);
    await new Promise<void>((resolve) =>
      context.takeSignal().addEventListener('abort', () => resolve(), { once: true }),
    );
    await exchange.close();
    return undefined;
  },
);

export const registerSimulate: Register = (program) => program.addCommand(simulate);
