/** The command line: parses the words, runs one command, and turns whatever goes wrong into one line and a status. */
import { Command, CommanderError } from 'commander';
import { BarcastError, toBarcastError } from '../base/index.ts';
import { registerCommands } from './commands.ts';
import { barcastVersion } from './version.ts';

// A variable set to nothing is a variable not set.
for (const name of Object.keys(process.env))
  if (name.startsWith('BARCAST_') && process.env[name] === '') delete process.env[name];

const program = new Command('barcast')
  .description('Forecast every stock you follow, every minute.')
  .version(barcastVersion)
  .showSuggestionAfterError(true);
await registerCommands(program, process.argv[2]);

/** Commander speaks through exceptions, so that its errors get a code and a status like every other. */
function quiet(command: Command): void {
  command.exitOverride().configureOutput({ writeErr: () => {} });
  for (const child of command.commands) quiet(child);
}
quiet(program);

function usageError(error: CommanderError): BarcastError {
  const what = error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
  return new BarcastError('BARCAST_E_USAGE', what, "'barcast --help' and 'barcast COMMAND --help' list what there is", {
    cause: error,
  });
}

function fail(error: unknown): never {
  const failure = error instanceof CommanderError ? usageError(error) : toBarcastError(error);
  process.stderr.write(`${failure.line}\n`);
  if (process.argv.includes('--verbose'))
    process.stderr.write(
      `${failure.stack}\n${failure.cause instanceof Error ? `caused by ${failure.cause.stack}\n` : ''}`,
    );
  process.exit(failure.exitStatus);
}

process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);
// A reader that goes away (`barcast … | head`) ends the output, not in an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => (error.code === 'EPIPE' ? process.exit(0) : fail(error)));

if (process.argv.length <= 2) {
  program.outputHelp();
  process.exit(0);
}
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError && error.exitCode === 0) process.exit(0);
  fail(error);
}
