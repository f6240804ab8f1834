/** The commands that bring data in and look after it: incremental ingests, --watch, the doctor and its repair. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { EpochMs } from '../../src/base/index.ts';
import { type Exchange, parseFaults, startExchange } from '../../src/sources/index.ts';
import { answer, run as barcast, refused, start, temporaryFolder } from './support.ts';

const SYMBOLS = ['SPY', 'AAPL', 'KO'];
const friday = (time: string) => Date.parse(`2025-03-14T${time}Z`) as EpochMs;

interface Ingested {
  readonly rowsStored: number;
  readonly daysAsked: number;
  readonly daysHeld: number;
  readonly stillMissing: readonly { readonly reason: string; readonly symbols: readonly string[] }[];
}

describe('a store that is kept up to date', () => {
  const folder = temporaryFolder();
  let exchange: Exchange;
  before(async () => {
    exchange = await startExchange({ port: 0, seed: 2, symbols: SYMBOLS, now: friday('19:30:00') });
  });
  after(async () => {
    await exchange.close();
    folder.remove();
  });
  const words = (...more: string[]) => [
    'ingest',
    '--yahoo-url',
    exchange.url,
    '--symbols',
    'SPY,AAPL,KO,NOSUCH',
    ...more,
  ];

  it('the first ingest brings the days that the source keeps, a second one what is new', async () => {
    const first = await answer<Ingested>(words(), folder.path);
    assert.ok(first.daysAsked === 4 * 21 || first.daysAsked === 4 * 22, `${first.daysAsked}`);
    assert.deepEqual(
      first.stillMissing.map(({ reason, symbols }) => [reason, symbols]),
      [['not known to yahoo', ['NOSUCH']]],
    );
    const second = await answer<Ingested>(words(), folder.path);
    // The day that still runs, and the symbol that nobody knows.
    assert.equal(second.daysAsked, 3 + first.daysAsked / 4);
  });

  it('names unknown symbols, and in its last line what is missing and why', async () => {
    const { stdout } = await barcast(words(), folder.path);
    const lines = stdout.trim().split('\n');
    assert.match(lines.at(-2)!, /^not known to the source: NOSUCH$/);
    assert.match(lines.at(-1)!, /^still missing, .*: 2[12] days of NOSUCH \(not known to yahoo\)$/);
    const whole = await barcast(['ingest', '--yahoo-url', exchange.url, '--symbols', 'SPY'], folder.path);
    assert.equal(whole.stdout.trim().split('\n').at(-1), 'nothing is missing');
  });

  it('--watch ingests after every session until Ctrl-C', async () => {
    const fast = await startExchange({
      port: 0,
      seed: 2,
      symbols: SYMBOLS,
      now: friday('19:55:00'),
      speed: 12_000,
      skipClosed: true,
    });
    const run = start(
      [
        'ingest',
        '--watch',
        '--yahoo-url',
        fast.url,
        '--symbols',
        'SPY',
        '--from',
        '2025-03-14',
        '--data',
        'watched',
        '--json',
      ],
      folder.path,
    );
    await run.printed(/(?:\{.*\}\n){3}/, 'stdout');
    run.child.kill('SIGINT');
    const { status, stdout, stderr } = await run.ended;
    await fast.close();
    assert.equal(status, 0, stderr);
    const answers = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Ingested);
    assert.ok(answers[1]!.daysAsked >= 1 && answers[2]!.daysHeld > answers[1]!.daysHeld);
    assert.match(stderr, /next: the session of 2025-03-1\d/);
  });

  it('--watch outlives a source that is gone for a while', async () => {
    const gone = await startExchange({ port: 0, seed: 2, symbols: SYMBOLS, now: friday('19:55:00') });
    await gone.close();
    const run = start(
      ['ingest', '--watch', '--yahoo-url', gone.url, '--symbols', 'SPY', '--data', 'gone'],
      folder.path,
    );
    await run.printed(/BARCAST_E_NETWORK: .*; trying again in 5 minutes/, 'stderr');
    run.child.kill('SIGINT');
    assert.equal((await run.ended).status, 0);
  });

  it('refuses words that do not go together', async () => {
    await refused(words('--watch', '--to', '2025-03-14'), folder.path, 'BARCAST_E_USAGE', /--to does not go/);
    await refused(['doctor', '--yahoo-url', exchange.url], folder.path, 'BARCAST_E_USAGE', /--repair/);
  });
});

describe('the doctor', () => {
  const folder = temporaryFolder();
  let holed: Exchange;
  let whole: Exchange;
  before(async () => {
    const options = { port: 0, seed: 2, symbols: SYMBOLS, now: friday('21:30:00') };
    holed = await startExchange({ ...options, faults: parseFaults('gap:0.05:1000') });
    whole = await startExchange(options);
    const words = ['ingest', '--symbols', SYMBOLS.join(','), '--from', '2025-03-03'];
    await answer([...words, '--yahoo-url', holed.url], folder.path);
    await answer([...words, '--yahoo-url', whole.url, '--data', 'whole'], folder.path);
  });
  after(async () => {
    await holed.close();
    await whole.close();
    folder.remove();
  });

  it('draws a calendar of coverage, of all symbols and of each', async () => {
    const { stdout } = await barcast(['doctor', '--data', 'whole'], folder.path);
    assert.match(stdout, /week of {6}Mo {3}Tu {3}We {3}Th {3}Fr\n {2}2025-03-03 {2}100 {2}100 {2}100 {2}100 {2}100\n/);
    const one = await barcast(['doctor', '--symbols', 'KO'], folder.path);
    assert.match(one.stdout, /\nKO: 9\d\.\d% of session minutes, \d+ gaps\n {2}week of/);
    const { coverage, days } = await answer<{
      coverage: { symbol: string; days: { day: string; bars: number }[] }[];
      days: { day: string; symbols: number; share: number }[];
    }>(['doctor', '--all', '--data', 'whole'], folder.path);
    assert.deepEqual([days.length, days[0]!.day, days[0]!.symbols], [10, '2025-03-03', 3]);
    assert.equal(coverage.find(({ symbol }) => symbol === 'SPY')!.days[0]!.bars, 390);
  });

  it('--repair asks for gaps alone, and fills what the source has by then', async () => {
    interface Repaired {
      readonly holes: number;
      readonly minutesMissing: number;
      readonly holesLeft: number;
      readonly minutesStillMissing: number;
      readonly ingest?: { readonly rowsRead: number; readonly rowsStored: number };
    }
    const vain = await answer<Repaired>(['doctor', '--repair', '--yahoo-url', holed.url], folder.path);
    assert.ok(vain.holes > 10 && vain.holesLeft === vain.holes);
    assert.equal(vain.ingest!.rowsStored, 0);
    const asked = whole.requests.granted;
    const repaired = await answer<Repaired>(['doctor', '--repair', '--yahoo-url', whole.url], folder.path);
    assert.deepEqual([repaired.holes, repaired.minutesMissing], [vain.holes, vain.minutesMissing]);
    assert.ok(repaired.minutesStillMissing <= repaired.minutesMissing / 50);
    assert.equal(repaired.ingest!.rowsRead, repaired.ingest!.rowsStored, 'nothing but what was missing is taken');
    assert.ok(whole.requests.granted - asked <= 3 * SYMBOLS.length);
    const again = await barcast(['doctor', '--repair', '--yahoo-url', whole.url], folder.path);
    assert.match(again.stdout, /gaps since|no gaps since/);
  });
});
