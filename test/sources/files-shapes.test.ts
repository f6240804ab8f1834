import assert from 'node:assert/strict';
import { test } from 'node:test';
import { workshop } from './files-support.ts';

/** One bar of every shape below. */
const BAR = '2020-01-02T14:30Z 1 4 0.5 2 100';

test('columns in any order, number and case, with every way to write the time', async (t) => {
  const shop = workshop(t);
  const files = {
    'A.csv': 'Datetime,Open,High,Low,Close,Volume\n2020-01-02 09:30:00-05:00,1,4,0.5,2,100\n',
    'B.csv': 'Datetime,Open,High,Low,Close,Adj Close,Volume\n2020-01-02 14:30:00+00:00,1,4,0.5,2,1.9,100\n',
    'C.csv': 'volume,close,TIMESTAMP,low,x,high,OPEN\n100,2,1577975400,0.5,note,4,1\n',
    'D.csv': 'time,open,high,low,close,volume\n1577975400000,1,4,0.5,2,100\n',
    'E.csv': 'Date,Open,High,Low,Close,Volume,Dividends,Stock Splits\n2020-01-02 09:30:00,1,4,0.5,2,100,0,0\n',
    'F.csv': ',Open,High,Low,Close,Volume\r\n2020-01-02T14:30:00Z,1,4,0.5,2,100\r\n',
    'G.csv': '"Datetime";"Open";"High";"Low";"Close";"Volume"\n"2020-01-02 14:30:00Z";"1";"4";"0.5";"2";"100"\n',
    'H.csv': '\uFEFFDatetime\tOpen\tHigh\tLow\tClose\tVolume\n2020-01-02 09:30-0500\t1\t4\t0.5\t2\t1e2\n',
    'BRK.B.csv.gz': 'Datetime,Open,High,Low,Close,Volume\n2020-01-02 09:30:00-05:00,1,4,0.5,2,100.0',
    'j.CSV': 'Datetime,Open,High,Low,Close,Volume\n2020-01-02 09:30:00-05:00,1,4,0.5,2,100\n',
  };
  for (const [name, content] of Object.entries(files)) shop.write(`in/${name}`, content);
  const answer = await shop.ingest(`${shop.folder}/in`);
  assert.deepEqual([answer.symbols, answer.rowsRead, answer.rowsStored], [10, 10, 10]);
  const symbols = ['A', 'B', 'BRK-B', 'C', 'D', 'E', 'F', 'G', 'H', 'J'];
  assert.deepEqual(
    await shop.bars(),
    symbols.map((symbol) => `${symbol} ${BAR}`),
  );
});

test('a symbol column, in files with one or many symbols', async (t) => {
  const shop = workshop(t);
  const file = shop.write(
    'many.csv',
    'Symbol,Datetime,Open,High,Low,Close,Volume\nbrk.b,2020-01-02 09:30:00-05:00,1,4,0.5,2,100\nAAPL,2020-01-02 09:30:00-05:00,1,4,0.5,2,100\n',
  );
  await shop.ingest(file);
  assert.deepEqual(await shop.bars(), [`AAPL ${BAR}`, `BRK-B ${BAR}`]);
});

test('two header rows of yfinance, for one symbol and for several side by side', async (t) => {
  const shop = workshop(t);
  const one =
    'Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDatetime,,,,,\n2020-01-02 14:30:00+00:00,2,4,0.5,1,100\n';
  const byTicker =
    'Ticker,MSFT,MSFT,MSFT,MSFT,MSFT,IBM,IBM,IBM,IBM,IBM\nPrice,Open,High,Low,Close,Volume,Open,High,Low,Close,Volume\nDatetime,,,,,,,,,,\n' +
    '2020-01-02 14:30:00+00:00,1,4,0.5,2,100,1,4,0.5,2,100\n2020-01-02 14:31:00+00:00,,,,,,3,3,3,3,0\n';
  const answer = await shop.ingest(shop.write('any name.csv', one), shop.write('prices.csv', byTicker));
  assert.deepEqual([answer.symbols, answer.rowsRead, answer.nullBars], [3, 4, 0]);
  assert.deepEqual(await shop.bars(), [`AAPL ${BAR}`, `IBM ${BAR}`, 'IBM 2020-01-02T14:31Z 3 3 3 3 0', `MSFT ${BAR}`]);
});

test('Parquet with every type of time that pandas writes', async (t) => {
  const shop = workshop(t);
  const rest =
    '1::DOUBLE as "Open", 4::DOUBLE as "High", 0.5::DOUBLE as "Low", 2::DOUBLE as "Close", 100::BIGINT as "Volume"';
  const files = [
    await shop.writeParquet('A.parquet', `select timestamptz '2020-01-02 14:30:00+00' as "Datetime", ${rest}`),
    await shop.writeParquet('B.parquet', `select ${rest}, timestamp_ns '2020-01-02 09:30:00' as "Date"`),
    await shop.writeParquet('C.parquet', `select ${rest}, 1577975400::BIGINT as "timestamp"`),
    await shop.writeParquet('D.parquet', `select ${rest}, '2020-01-02 09:30:00-05:00' as "__index_level_0__"`),
    await shop.writeParquet(
      'many.parquet',
      `select ${rest}, timestamp '2020-01-02 09:30:00' as "Datetime", 'e' as "Ticker"`,
    ),
    await shop.writeParquet(
      'pairs.parquet',
      `select timestamptz '2020-01-02 14:30:00+00' as "('Datetime', '')", 1.0 as "('Open', 'F')", 4.0 as "('High', 'F')",
         0.5 as "('Low', 'F')", 2.0 as "('Close', 'F')", 100 as "('Volume', 'F')"`,
    ),
  ];
  await shop.ingest(...files);
  assert.deepEqual(
    await shop.bars(),
    ['A', 'B', 'C', 'D', 'E', 'F'].map((symbol) => `${symbol} ${BAR}`),
  );
});

test('empty cells and the words for nothing are null', async (t) => {
  const shop = workshop(t);
  const cells = ['', 'nan', 'NaN', 'null', 'None', '"nan"'];
  const rows = cells.map((cell, minute) => `2020-01-02 09:3${minute}:00-05:00,1,1,1,${cell},${cell}`);
  const answer = await shop.ingest(shop.write('A.csv', `Datetime,Open,High,Low,Close,Volume\n${rows.join('\n')}\n`));
  assert.deepEqual([answer.nullBars, answer.zeroVolumeBars, answer.rowsStored], [6, 6, 6]);
  assert.deepEqual(
    await shop.bars(),
    cells.map((_, minute) => `A 2020-01-02T14:3${minute}Z 1 1 1 NaN NaN`),
  );
});

test('flaws in files, against a count by hand; the row later in the file wins', async (t) => {
  const shop = workshop(t);
  const file = shop.write(
    'A.csv.gz',
    [
      'Datetime,Open,High,Low,Close,Volume,Dividends,Stock Splits',
      '2020-01-02 09:30:00-05:00,1,1,1,1,10,0,0',
      '2020-01-02 09:31:00-05:00,2,2,2,2,20,0,0',
      '2020-01-02 09:30:00-05:00,1,1,1,1.5,10,0,0',
      '2020-01-02 09:32:17-05:00,3,3,3,3,30,0,0',
      '2020-01-02 09:31:00-05:00,2,2,2,2,20,0,0',
      '2020-01-02 08:00:00-05:00,4,4,4,4,0,0,0',
      '2020-01-03 09:30:00-05:00,,,,,,0.25,0',
      '2024-01-02 09:30:00-05:00,5,5,5,5,50,0,2',
      '',
    ].join('\n'),
  );
  const { seconds: _, ...answer } = await shop.ingest(file);
  assert.deepEqual(answer, {
    source: 'files',
    symbols: 1,
    rowsRead: 8,
    rowsStored: 4,
    alreadyStored: 0,
    revisions: 0,
    duplicates: 2,
    conflicts: 1,
    nullBars: 1,
    zeroVolumeBars: 2,
    partialBars: 1,
    misalignedBars: 1,
    closingPrints: 0,
    outOfSessionBars: 1,
    invalidPriceBars: 0,
  });
  assert.deepEqual(await shop.bars(), [
    'A 2020-01-02T13:00Z 4 4 4 4 0',
    'A 2020-01-02T14:30Z 1 1 1 1.5 10',
    'A 2020-01-02T14:31Z 2 2 2 2 20',
    'A 2020-01-03T14:30Z NaN NaN NaN NaN NaN',
  ]);
  assert.deepEqual(await shop.ledger(), [
    'conflict A 2020-01-02T14:30Z 1 10',
    'duplicate A 2020-01-02T14:31Z 2 20',
    'misalignedBar A 2020-01-02T14:32:17.000Z 3 30',
    'partialBar A 2024-01-02T14:30Z 5 50',
  ]);
  const again = await shop.ingest(file);
  assert.deepEqual([again.rowsStored, again.alreadyStored, again.duplicates], [0, 4, 2]);
  assert.equal((await shop.ledger()).length, 4);
});

test('files that overlap are one input: the file named later wins, and the same command again stores nothing', async (t) => {
  const shop = workshop(t);
  const header = 'Datetime,Open,High,Low,Close,Volume';
  const first = shop.write(
    'week1/A.csv',
    `${header}\n2020-01-02 09:30:00-05:00,1,1,1,1,1\n2020-01-02 09:31:00-05:00,1,1,1,1,1\n`,
  );
  // Another header, so another group: the order of the files must count, not that of the groups.
  const second = shop.write('week2/A.csv', `${header},Adj Close\n2020-01-02 09:31:00-05:00,2,2,2,2,2,2\n`);
  const third = shop.write(
    'week3/A.csv',
    `${header}\n2020-01-02 09:31:00-05:00,3,3,3,3,3\n2020-01-02 09:32:00-05:00,3,3,3,3,3\n`,
  );
  const expected = ['A 2020-01-02T14:30Z 1 1 1 1 1', 'A 2020-01-02T14:31Z 2 2 2 2 2', 'A 2020-01-02T14:32Z 3 3 3 3 3'];
  const answer = await shop.ingest(first, third, second, first);
  assert.deepEqual([answer.rowsStored, answer.duplicates, answer.conflicts], [3, 2, 2]);
  assert.deepEqual(await shop.bars(), expected);
  const again = await shop.ingest(first, third, second);
  assert.deepEqual([again.rowsStored, again.alreadyStored, again.revisions], [0, 3, 0]);
  assert.deepEqual(await shop.bars(), expected);
});

test('a file long enough to be read in parallel keeps the order of its rows', async (t) => {
  const shop = workshop(t);
  // DuckDB cuts a file into pieces of 32 MB; the note makes rows long.
  const note = 'x'.repeat(400);
  const repeated = 50;
  const rows = 100_000;
  const row = (minute: number, volume: number) => `${1_577_975_400 + minute * 60},9,9,9,9,${volume},${note}`;
  const lines = ['Datetime,Open,High,Low,Close,Volume,Note'];
  for (let minute = 0; minute < rows; minute++) lines.push(row(minute, 1));
  for (let minute = 0; minute < repeated; minute++) lines.push(row(minute, 2));
  const answer = await shop.ingest(shop.write('A.csv', lines.join('\n')));
  assert.deepEqual([answer.rowsStored, answer.conflicts], [rows, repeated]);
  const volumes = (await shop.bars()).map((line) => line.split(' ').at(-1));
  assert.deepEqual(volumes.slice(0, repeated), new Array(repeated).fill('2'));
  assert.ok(volumes.slice(repeated).every((volume) => volume === '1'));
});
