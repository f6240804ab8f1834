import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { sessionOf } from '../../src/bars/index.ts';
import { type DayString, Random, silentProgress } from '../../src/base/index.ts';
import { leadsOf } from '../../src/evaluate/closes-leads.ts';
import {
  barsOfCloses,
  type ClosesTable,
  minutesOfRows,
  nightRatio,
  normalizeByRange,
  persistenceOfRows,
  readClosesTable,
} from '../../src/evaluate/closes-table.ts';
import { evaluateCloses, renderCloses } from '../../src/evaluate/index.ts';
import { recipeOf } from '../../src/features/index.ts';
import { chooseKernel } from '../../src/kernel/index.ts';
import { Registry } from '../../src/model/index.ts';
import { close } from './fixtures.ts';

const REAL = '../shared/data/sp500-2017/close.csv.gz';
const folder = mkdtempSync(join(tmpdir(), 'barcast-closes-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const JUNE_30 = sessionOf('2017-06-30' as DayString)!;
/** Sessions of 391, 211 and 391 rows: 3 July 2017 closed at 13:00, and the fourth is a holiday. */
const ROWS = 391 + 211 + 391;

function walk(symbols: number, rows: number, night: number, seed = 1): ClosesTable {
  const dice = new Random(seed, 8);
  const minutes = minutesOfRows(rows, JUNE_30.open);
  const closes = Array.from({ length: symbols }, (_, s) => {
    let price = 50 * (s + 1);
    return Float64Array.from(minutes, (minute, row) => {
      const step = row > 0 && minute !== minutes[row - 1] + 1 ? night : 1;
      price *= Math.exp(1e-3 * step * dice.normal());
      return price;
    });
  });
  return { symbols: closes.map((_, s) => `S${symbols - s}`), closes, rows };
}

test('rows get the minutes of sessions and their closing prints, half-days and holidays among them', () => {
  const minutes = minutesOfRows(ROWS + 1, JUNE_30.open);
  const half = sessionOf('2017-07-03' as DayString)!;
  const next = sessionOf('2017-07-05' as DayString)!;
  assert.deepEqual([minutes[0], minutes[390], minutes[391]], [JUNE_30.open, JUNE_30.close, half.open]);
  assert.deepEqual([minutes[391 + 210], minutes[391 + 211]], [half.close, next.open]);
  assert.deepEqual([minutes[ROWS - 1], minutes[ROWS]], [next.close, sessionOf('2017-07-06' as DayString)!.open]);
});

test('bars are sorted by symbol, hold the close for every price and give no volume', () => {
  const table = walk(3, ROWS, 20);
  const bars = barsOfCloses(table, JUNE_30.open);
  assert.deepEqual(bars.symbols, ['S1', 'S2', 'S3']);
  assert.deepEqual(bars.close.slice(0, ROWS), table.closes[2]);
  assert.equal(bars.open, bars.close);
  assert.ok(bars.volume.every(Number.isNaN));
});

test('rows that are no sessions from that day on are refused: the prices show no nights', () => {
  const table = walk(3, ROWS, 20);
  assert.ok(nightRatio(table, minutesOfRows(ROWS, JUNE_30.open)) > 5);
  const flat = walk(3, ROWS, 1);
  assert.throws(() => barsOfCloses(flat, JUNE_30.open), { code: 'BARCAST_E_FILE_FORMAT', message: /over a night/ });
});

test('a column that is ahead of the others is found, and put back within its session', () => {
  const dice = new Random(4, 2);
  const minutes = minutesOfRows(ROWS + 2, JUNE_30.open);
  const market = new Float64Array(ROWS + 2);
  for (let row = 1; row < market.length; row++) {
    market[row] = market[row - 1] + (minutes[row] === minutes[row - 1] + 1 ? 1e-3 : 3e-2) * dice.normal();
  }
  // A and B are of their rows, C is two rows ahead, D one behind.
  const columnOf = (lead: number) =>
    Float64Array.from({ length: ROWS }, (_, row) => Math.exp(market[Math.max(0, row + lead)] + 3e-4 * dice.normal()));
  const leads = [0, 0, 2, -1];
  const table: ClosesTable = { symbols: ['A', 'B', 'C', 'D'], closes: leads.map(columnOf), rows: ROWS };
  const half = ROWS / 2;
  assert.deepEqual(leadsOf(table, minutes, half), leads);
  const changed = { ...table, closes: table.closes.map((column) => column.map((price, r) => (r < half ? price : 1))) };
  assert.deepEqual(leadsOf(changed, minutes, half), leads, 'later rows are not looked at');
  assert.deepEqual(leadsOf(walk(4, ROWS, 20), minutes, ROWS), [0, 0, 0, 0], 'columns of their own');
  const bars = barsOfCloses(table, JUNE_30.open, leads);
  const of = (s: number) => [...bars.minute.subarray(bars.offsets[s], bars.offsets[s + 1])];
  const priceAt = (s: number, minute: number) => bars.close[bars.offsets[s] + of(s).indexOf(minute)];
  assert.equal(of(0).length, ROWS);
  assert.equal(of(2)[0], JUNE_30.open + 2, 'the first two minutes of a session are not known');
  assert.equal(of(2).length, ROWS - 3 * 2);
  assert.equal(priceAt(2, JUNE_30.open + 2), table.closes[2][0]);
  assert.equal(priceAt(3, JUNE_30.open), table.closes[3][1]);
  assert.equal(of(3).length, ROWS - 3);
});

test('errors are divided by ranges as worked out by hand', () => {
  const table: ClosesTable = {
    symbols: ['A', 'B'],
    closes: [Float64Array.of(10, 12, 11, 14), Float64Array.of(100, 90, 100, 110)],
    rows: 4,
  };
  const found = persistenceOfRows(table, 2);
  assert.ok(close(found.bySymbol.A, Math.sqrt((1 + 4) / 2) / 4));
  assert.ok(close(found.bySymbol.B, Math.sqrt((0 + 400) / 2) / 20));
  assert.ok(close(found.oneRange, Math.sqrt((2.5 + 200) / 2) / 100));
  assert.ok(close(found.mean, (found.bySymbol.A + found.bySymbol.B) / 2) && found.mean === found.median);
  assert.equal(normalizeByRange({ ...table, symbols: ['A', 'B'] }, [16, 0]).bySymbol.A, 1);
});

test('a table is read plain or compressed, and a broken one is refused with its line', () => {
  const write = (name: string, content: string | Uint8Array) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const text = 'A,B\n1,2\n3,4.5\n';
  for (const path of [write('a.csv', text), write('a.csv.gz', gzipSync(text))]) {
    const { symbols, closes, rows } = readClosesTable(path);
    assert.deepEqual([symbols, rows, [...closes[1]]], [['A', 'B'], 2, [2, 4.5]]);
  }
  const broken = {
    'cells.csv': ['A,B\n1\n', /line 2 has 1 cells/],
    'null.csv': ['A,B\n1,\n', /line 2 holds ''/],
    'text.csv': ['A\n1\nx\n', /line 3 holds 'x'/],
    'negative.csv': ['A\n-1\n', /line 2/],
    'none.csv': ['A,B\n', /no rows/],
    'twice.csv': ['A,A\n1,2\n', /names/],
    'cut.csv.gz': [gzipSync(text.repeat(100)).subarray(0, 30), /not whole/],
  } as const;
  for (const [name, [content, message]] of Object.entries(broken)) {
    assert.throws(() => readClosesTable(write(name, content)), { code: 'BARCAST_E_FILE_FORMAT', message }, name);
  }
  assert.throws(() => readClosesTable(join(folder, 'nowhere.csv')), { code: 'ENOENT' });
});

test('a recipe is trained on the first four fifths and scored on the last, at any horizon', async () => {
  const table = walk(4, 10 * 391, 20);
  const kernel = await chooseKernel({ kernel: 'auto', threads: 1 });
  try {
    const evaluate = (horizonMinutes: number) =>
      evaluateCloses({
        table,
        from: JUNE_30.open,
        recipe: recipeOf('returns'),
        horizonMinutes,
        kernel,
        registry: new Registry(join(folder, 'models')),
        seed: 1,
        overrides: { epochs: 1 },
        version: 'test',
        progress: silentProgress,
      });
    const [one, five] = [await evaluate(1), await evaluate(5)];
    assert.ok(one.trainTo < one.testFrom && one.evaluation.firstAsOf! > one.testFrom);
    assert.ok(one.evaluation.windows > five.evaluation.windows, 'a shorter horizon ends more windows within the day');
    // Errors of a random walk grow with the root of time.
    assert.ok(Math.abs(five.persistence.mean / one.persistence.mean / Math.sqrt(5) - 1) < 0.1);
    assert.ok(Math.abs(one.evaluation.coverage80! - 0.8) < 0.06, `${one.evaluation.coverage80}`);
    assert.match(renderCloses(five), /published, Lanbouri/);
  } finally {
    kernel.close();
  }
});

test('the public table: nights where the calendar has them, and persistence as published on all rows', {
  skip: existsSync(REAL) ? false : `no real data at ${REAL}`,
}, () => {
  const table = readClosesTable(REAL);
  assert.equal(table.rows, 33_012);
  const from = sessionOf('2017-04-03' as DayString)!.open;
  assert.ok(nightRatio(table, minutesOfRows(table.rows, from)) > 10);
  // Another day shifts every night: the prices do not bear it out.
  assert.throws(() => barsOfCloses(table, sessionOf('2017-06-26' as DayString)!.open), {
    code: 'BARCAST_E_FILE_FORMAT',
  });
  const leads = leadsOf(table, minutesOfRows(table.rows, from), Math.floor(0.8 * table.rows));
  assert.deepEqual(
    table.symbols.filter((_, s) => leads[s] !== 0),
    ['SP500'],
    'the index is ahead, as its publishers say',
  );
  assert.equal(leads[table.symbols.indexOf('SP500')], 1);
  assert.equal(persistenceOfRows(table, 5).median.toFixed(4), '0.0074');
  assert.equal(persistenceOfRows(table, 1).median.toFixed(4), '0.0034');
});
