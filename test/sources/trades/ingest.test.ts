import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { DuckDBInstance } from '@duckdb/node-api';
import { silentProgress } from '../../../src/base/index.ts';
import { ingestTrades, SymbolTable, TradeBuilder, tradesOf } from '../../../src/sources/index.ts';
import { openReader } from '../../../src/store/index.ts';
import { temporaryFolder } from '../../store/support.ts';
import { linesOf, oracleBars, randomTrades, START, type Trade } from './support.ts';

const trades = randomTrades(3, 3000, 3000, true);

const iso = (ms: number) => new Date(ms).toISOString();
const plainJson = ({ conditions, timeMs, ...rest }: Trade) =>
  JSON.stringify({ ...rest, time: iso(timeMs).replace('Z', '123Z'), conditions });
const alpacaJson = ({ symbol: S, timeMs, price: p, size: s, conditions, id: i, action }: Trade) => {
  const c = [...conditions].filter((code) => code !== ' ');
  if (action === 'cancel') return JSON.stringify({ T: 'x', S, i, x: 'V', p, s, a: 'C', t: iso(timeMs), z: 'A' });
  if (action === 'correct')
    return JSON.stringify({
      T: 'c',
      S,
      x: 'V',
      oi: i,
      op: 1,
      os: 1,
      oc: ['@'],
      ci: i,
      cp: p,
      cs: s,
      cc: c,
      t: iso(timeMs),
      z: 'A',
    });
  return JSON.stringify({ T: 't', S, i, x: 'V', p, s, c, t: iso(timeMs), z: 'A' });
};
const csvLine = ({ symbol, timeMs, price, size, conditions, id, action }: Trade) =>
  [id, `"${conditions}"`, timeMs * 1e6, size, symbol.replace('-', '.'), price, 'A', action].join(',');
const CSV_HEADER = 'id,conditions,sip_timestamp,size,ticker,price,tape,action';

async function barsOf(name: string, input?: Readable): Promise<string[]> {
  const symbols = new SymbolTable();
  const builder = new TradeBuilder({ corrections: true });
  for await (const batch of tradesOf(name, symbols, input)) builder.push(batch);
  builder.finish();
  return linesOf(builder.drain(), symbols);
}

test('the same trades in every form give the same bars', async (t) => {
  const folder = temporaryFolder(t);
  const write = (name: string, data: string | Buffer) => {
    writeFileSync(join(folder, name), data);
    return join(folder, name);
  };
  const expected = oracleBars(trades);
  const alpaca = trades.map(alpacaJson).join('\n');
  const csv = [CSV_HEADER, ...trades.map(csvLine)].join('\r\n');
  assert.deepEqual(await barsOf(write('plain.ndjson', trades.map(plainJson).join('\n'))), expected);
  assert.deepEqual(await barsOf(write('alpaca.jsonl', alpaca)), expected);
  assert.deepEqual(await barsOf(write('frames.ndjson', `[${trades.map(alpacaJson).join(',')}]\n\n`)), expected);
  assert.deepEqual(
    await barsOf(
      write(
        'spaced.ndjson',
        trades
          .map((trade) => plainJson(trade).replace(/([:,])/g, '$1 '))
          .join('\n')
          .replaceAll(/(\d\d): (\d\d): /g, '$1:$2:'),
      ),
    ),
    expected,
  );
  assert.deepEqual(await barsOf(write('trades.ndjson.gz', gzipSync(alpaca))), expected);
  const file = write('trades.csv', csv);
  assert.deepEqual(await barsOf(file), expected);
  // Standard input in pieces of any length, cut within lines.
  for (const text of [alpaca, csv]) {
    const bytes = Buffer.from(text);
    const pieces = Array.from({ length: Math.ceil(bytes.length / 1013) }, (_, i) =>
      bytes.subarray(i * 1013, (i + 1) * 1013),
    );
    assert.deepEqual(await barsOf('-', Readable.from(pieces)), expected);
  }
  const connection = await (await DuckDBInstance.create(':memory:')).connect();
  const parquet = join(folder, 'trades.parquet');
  await connection.run(
    `copy (select * replace (make_timestamptz(sip_timestamp // 1000) as sip_timestamp) from read_csv('${file}', all_varchar = false, types = {'conditions': 'VARCHAR'})) to '${parquet}'`,
  );
  connection.closeSync();
  assert.deepEqual(await barsOf(parquet), expected);
});

test('a store takes the bars; the same trades again change nothing', async (t) => {
  const data = temporaryFolder(t);
  const file = join(data, 'trades.ndjson');
  writeFileSync(file, trades.map(alpacaJson).join('\n'));
  const expected = oracleBars(trades).map((line) => line.split(' ').slice(0, 7).join(' '));
  for (const again of [false, true]) {
    const answer = await ingestTrades({ files: [file], data, progress: silentProgress });
    assert.deepEqual([answer.source, answer.rowsRead, answer.symbols], ['trades', expected.length, 4]);
    assert.deepEqual([answer.rowsStored, answer.alreadyStored], again ? [0, expected.length] : [expected.length, 0]);
    assert.equal(answer.trades.trades, trades.length);
  }
  const reader = await openReader(data);
  t.after(() => reader.close());
  const { symbols, offsets, minute, open, high, low, close, volume } = await reader.read();
  const stored = symbols.flatMap((symbol, s) =>
    Array.from({ length: offsets[s + 1] - offsets[s] }, (_, i) => {
      const row = offsets[s] + i;
      return [symbol, minute[row], open[row], high[row], low[row], close[row], volume[row]].join(' ');
    }),
  );
  assert.deepEqual(stored.sort(), expected);
  const of = await reader.trades();
  const known = of.symbols.flatMap((symbol, s) =>
    Array.from({ length: of.offsets[s + 1] - of.offsets[s] }, (_, i) => {
      const row = of.offsets[s] + i;
      return [symbol, of.minute[row], of.tradeCount[row], of.vwap[row].toFixed(6)].join(' ');
    }),
  );
  const kept = (line: string) => line.split(' ').filter((_, column) => column < 2 || column > 6);
  assert.deepEqual(
    known.sort(),
    oracleBars(trades)
      .map((line) => kept(line).join(' '))
      .sort(),
  );
});

test('bad input is told in one line that names the place, and nothing is stored', async (t) => {
  const data = temporaryFolder(t);
  const refuse = async (name: string, text: string | Buffer, says: RegExp) => {
    writeFileSync(join(data, name), text);
    await assert.rejects(
      ingestTrades({ files: [join(data, name)], data: join(data, 'store'), progress: silentProgress }),
      (error: Error & { code?: string; line?: string }) => {
        assert.equal(error.code, 'BARCAST_E_FILE_FORMAT');
        assert.match(error.line!, says);
        return true;
      },
    );
    await assert.rejects(openReader(join(data, 'store')), { code: 'BARCAST_E_STORE_EMPTY' });
  };
  const good = plainJson(trades[0]);
  await refuse('a.ndjson', `${good}\n{"symbol":"A"`, /a\.ndjson, line 2: not JSON/);
  await refuse('b.ndjson', `${good}\n${good}\n{"symbol":"A","price":1,"size":1}\n`, /line 3: null is not a time/);
  await refuse('c.ndjson', '{"time":1,"price":1,"size":1}', /line 1: a trade without a symbol/);
  await refuse('d.ndjson', '{"symbol":"???","time":1,"price":1,"size":1}', /line 1: .* is not a symbol/);
  await refuse('e.ndjson', `{"symbol":"A","time":"2020-13-01T10:00:00Z","price":1,"size":1}`, /is not a time/);
  await refuse('f.csv', 'symbol,time,price\nA,1,2\n', /line 1: no column for size/);
  await refuse('g.csv', 'symbol,time,price,size\nA,1577975400,x,2\n', /line 2: "x" is not a number/);
  await refuse('h.csv', 'symbol,time,price,size\nA,1577975400,1\n', /line 2: 3 columns instead of 4/);
  await refuse('i.csv.gz', gzipSync('symbol,time,price,size\n').subarray(0, 20), /not a gzip file, or a truncated one/);
  await refuse('j.txt', 'x', /is no \.csv/);
  await refuse('k.parquet', 'x', /not a Parquet file/);
  await assert.rejects(ingestTrades({ files: [join(data, 'none.csv')], data, progress: silentProgress }), {
    code: 'BARCAST_E_FILE_MISSING',
  });
});

test('times: offsets, New York without one, seconds to nanoseconds', async () => {
  const times = [
    '"2020-01-02T14:30:00Z"',
    '"2020-01-02T09:30:00.250-05:00"',
    '"2020-01-02 09:30:00"',
    START / 1000,
    START,
    START * 1000,
    `${START}000000`,
    `"${START}"`,
  ];
  const input = times.map((time) => `{"symbol":"A","time":${time},"price":1,"size":1}`).join('\n');
  assert.deepEqual(await barsOf('-', Readable.from([Buffer.from(input)])), [
    `A ${START / 60_000} 1 1 1 1 8 8 1.000000`,
  ]);
});
