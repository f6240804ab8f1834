/** `barcast doctor`: is the store whole, what does it cover, and what is wrong with its bars. */
import { describeAdapter, reportAdapter } from '../kernel/index.ts';
import { type Diagnosis, examineStore } from '../store/index.ts';
import { action, command, type Register } from './context.ts';

interface DoctorCommand {
  readonly all: boolean;
}

const doctor = command('doctor', "the store's ledger: coverage, gaps and flaws by symbol and day").option(
  '--all',
  'list every gap and flaw, not the first thousand',
  false,
);

const count = (value: number) => value.toLocaleString('en-US');
const LINES = 10;

function describe({
  symbols,
  bars,
  firstBar,
  lastBar,
  tradingDays,
  gaps,
  flaws,
  gapList,
  flawList,
  coverage,
}: Diagnosis): string {
  const thin = coverage.filter(({ share }) => share < 0.5).length;
  const lines = [
    `${count(symbols)} symbols, ${count(bars)} bars on ${tradingDays} trading days, ${firstBar} to ${lastBar}`,
    `${count(thin)} symbols trade in fewer than half of their minutes; ${count(gaps)} gaps`,
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
  return [...lines, '', '--json lists them by symbol and day'].join('\n');
}

action<DoctorCommand>(doctor, async ({ data }, { all }) => {
  const diagnosis = await examineStore(data, { all });
  const gpu = await reportAdapter(process.env.BARCAST_ADAPTER);
  return { json: { ...diagnosis, gpu }, text: [describe(diagnosis), '', ...describeAdapter(gpu)].join('\n') };
});

export const registerDoctor: Register = (program) => program.addCommand(doctor);
