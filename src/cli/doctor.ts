/** `barcast doctor`: is the store whole, what does it cover, what is wrong with its bars; on demand it asks for gaps again. */
import { Option } from 'commander';
import { sessionOf } from '../bars/index.ts';
import { BarcastError } from '../base/index.ts';
import { describeAdapter, reportAdapter } from '../kernel/index.ts';
import { earliestMinute, type RepairAnswer, repairGaps } from '../sources/index.ts';
import { type Diagnosis, examineStore, openReader, type SymbolCoverage } from '../store/index.ts';
import { action, type Context, command, type Register } from './context.ts';
import { coverageCalendar } from './coverage-calendar.ts';
import { count, summaryOf } from './ingest-summary.ts';
import { type SymbolOptions, symbolsOf, withSymbols } from './selection.ts';
import { checkSymbols } from './store-bars.ts';
import { withHistorySource } from './yahoo-source.ts';

interface DoctorCommand extends SymbolOptions {
  readonly all: boolean;
  readonly repair: boolean;
  readonly source: 'yahoo' | 'simulated';
  readonly yahooUrl?: string;
}

const doctor = withSymbols(
  command('doctor', "the store's ledger: coverage, gaps and flaws by symbol and day"),
  'these symbols alone, each with a calendar',
)
  .option('--all', 'list every gap, flaw and day, not the first thousand', false)
  .option('--repair', 'ask the source again for what is missing inside the days it has answered', false)
  .addOption(new Option('--source <source>', 'whom to ask again').choices(['yahoo', 'simulated']).default('yahoo'))
  .addOption(new Option('--yahoo-url <url>', "another server that speaks Yahoo's chart API"));

const LINES = 10;
/** Calendars of single symbols at most. */
const CALENDARS = 12;

const calendarOf = ({ symbol, share, gaps, days = [] }: SymbolCoverage): string[] => [
  '',
  `${symbol}: ${(100 * share).toFixed(1)}% of session minutes, ${count(gaps)} gaps`,
  ...coverageCalendar(
    days.map(({ day, bars }) => {
      const { open, close } = sessionOf(day)!;
      return { day, share: bars / (close - open) };
    }),
  ),
];

function describe(diagnosis: Diagnosis, chosen: boolean): string {
  const { symbols, bars, firstBar, lastBar, tradingDays, gaps, flaws, events, trades, coverage, days } = diagnosis;
  const { gapList, flawList } = diagnosis;
  const thin = coverage.filter(({ share }) => share < 0.5).length;
  const lines = [
    `${count(symbols)} symbols, ${count(bars)} bars on ${tradingDays} trading days, ${firstBar} to ${lastBar}`,
    `${count(thin)} symbols trade in fewer than half of their minutes; ${count(gaps)} gaps`,
    `${count(events.splits)} splits and ${count(events.dividends)} dividends`,
    ...(trades.bars > 0
      ? [`${count(trades.bars)} bars of ${count(trades.symbols)} symbols with their number of trades and VWAP`]
      : []),
    '',
    'coverage by day: percent of the session minutes of all symbols',
    ...coverageCalendar(days),
    ...(chosen ? coverage.slice(0, CALENDARS).flatMap(calendarOf) : []),
    '',
    'flaws',
    ...Object.entries(flaws).map(([kind, n]) => `  ${kind.padEnd(18)}${count(n).padStart(12)}`),
  ];
  const longest = [...gapList].sort((a, b) => b.missing - a.missing).slice(0, LINES);
  if (longest.length > 0)
    lines.push(
      '',
      'longest gaps',
      ...longest.map(
        ({ symbol, from, to, missing }) => `  ${symbol.padEnd(8)}${from} to ${to}  ${count(missing)} minutes`,
      ),
    );
  const worst = [...flawList].sort((a, b) => b.count - a.count).slice(0, LINES);
  if (worst.length > 0)
    lines.push(
      '',
      'days with most flaws',
      ...worst.map(({ symbol, day, kind, count: n }) => `  ${symbol.padEnd(8)}${day}  ${kind}  ${count(n)}`),
    );
  return [...lines, '', '--json lists them by symbol and day; --symbols shows a calendar of each'].join('\n');
}

function describeRepair(answer: RepairAnswer): string {
  const { holes, minutesMissing, holesLeft, minutesStillMissing, askedFrom, ingest } = answer;
  if (ingest === undefined) return `no gaps since ${askedFrom}, as far back as the source goes`;
  const left = holesLeft === 0 ? 'none is left' : `${count(holesLeft)} are left, ${count(minutesStillMissing)} minutes`;
  return `${summaryOf(ingest)}\n${count(holes)} gaps since ${askedFrom}, ${count(minutesMissing)} minutes; ${left}`;
}

/** The symbols asked for, all of them the store's. @throws BARCAST_E_SYMBOL, BARCAST_E_STORE_EMPTY */
async function storedSymbols(data: string, options: SymbolOptions): Promise<readonly string[] | undefined> {
  const asked = symbolsOf(options);
  if (asked === undefined) return undefined;
  const reader = await openReader(data);
  try {
    return checkSymbols(data, await reader.symbols(), asked);
  } finally {
    reader.close();
  }
}

async function repair(context: Context, { source, yahooUrl: url, ...options }: DoctorCommand): Promise<RepairAnswer> {
  const signal = context.takeSignal();
  const { data, progress } = context;
  const symbols = await storedSymbols(data, options);
  return withHistorySource({ source, ...(url === undefined ? {} : { url }) }, async (from) => {
    await from.sync(signal);
    return repairGaps({
      source: from,
      data,
      from: earliestMinute(from.clock.now()),
      progress,
      signal,
      ...(symbols === undefined ? {} : { symbols }),
    });
  });
}

action<DoctorCommand>(doctor, async (context, options) => {
  if (options.repair) {
    const answer = await repair(context, options);
    return { json: answer, text: describeRepair(answer) };
  }
  if (options.yahooUrl !== undefined)
    throw new BarcastError('BARCAST_E_USAGE', '--yahoo-url goes with --repair alone', 'add --repair or leave it out');
  const symbols = await storedSymbols(context.data, options);
  const diagnosis = await examineStore(context.data, {
    all: options.all,
    ...(symbols === undefined ? {} : { symbols }),
  });
  const gpu = await reportAdapter(process.env.BARCAST_ADAPTER);
  const lines = [describe(diagnosis, symbols !== undefined), '', ...describeAdapter(gpu)];
  return { json: { ...diagnosis, gpu }, text: lines.join('\n') };
});

export const registerDoctor: Register = (program) => program.addCommand(doctor);
