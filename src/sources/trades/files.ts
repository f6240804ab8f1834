/**
 * Trades from files and streams: CSV, NDJSON (both also gzipped) and Parquet, told by the name, and standard input,
 * whose first byte tells. The columns of a trade are found by their names (`fields.ts`).
 */
import { createReadStream, statSync } from 'node:fs';
import { basename } from 'node:path';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { BarcastError } from '../../base/index.ts';
import { parquetColumns, parquetRows } from '../../store/index.ts';
import { type SymbolTable, TradeBatch } from './batch.ts';
import { REGULAR } from './conditions.ts';
import { CsvReader } from './csv.ts';
import { actionOf, badTrades, conditionsOfText, FIELD_NAMES, type TradeField } from './fields.ts';
import { NdjsonReader } from './ndjson.ts';
import { idOf, timeOfText } from './scan.ts';

const TEXT_FILE = /^(.+?)\.(csv|ndjson|jsonl)(\.gz)?$/i;

/**
 * The trades of an input in their order. A batch may be used until the next one is asked for.
 * @param name a file, or `-` for `standardInput`
 * @throws BARCAST_E_FILE_MISSING, BARCAST_E_FILE_FORMAT naming the file and the line
 */
export async function* tradesOf(
  name: string,
  symbols: SymbolTable,
  standardInput: Readable = process.stdin,
): AsyncGenerator<TradeBatch> {
  if (name === '-') return yield* tradesOfText(standardInput, 'standard input', undefined, symbols);
  if (statSync(name, { throwIfNoEntry: false })?.isFile() !== true)
    throw new BarcastError('BARCAST_E_FILE_MISSING', `${name} is not a file`, 'check the path');
  if (/\.parquet$/i.test(name)) return yield* tradesOfParquet(name, symbols);
  const match = TEXT_FILE.exec(basename(name));
  if (match === null) throw badTrades(name, 'is no .csv, .ndjson, .jsonl (also .gz) or .parquet file by its name');
  const format = match[2].toLowerCase() === 'csv' ? 'csv' : 'ndjson';
  const bytes = createReadStream(name, { highWaterMark: 1 << 18 });
  if (match[3] === undefined) return yield* tradesOfText(bytes, name, format, symbols, match[1]);
  const inflated = createGunzip();
  bytes.on('error', (error) => inflated.destroy(error)).pipe(inflated);
  try {
    yield* tradesOfText(inflated, name, format, symbols, match[1]);
  } catch (error) {
    if (!String((error as NodeJS.ErrnoException).code ?? '').startsWith('Z_')) throw error;
    throw badTrades(name, 'is not a gzip file, or a truncated one', error);
  } finally {
    bytes.destroy();
  }
}

async function* tradesOfText(
  bytes: AsyncIterable<Buffer>,
  where: string,
  format: 'csv' | 'ndjson' | undefined,
  symbols: SymbolTable,
  symbolOfFile?: string,
): AsyncGenerator<TradeBatch> {
  const batch = new TradeBatch();
  let reader: CsvReader | NdjsonReader | undefined;
  const readerFor = (first: Buffer) => {
    const isJson = format === undefined ? first[0] === 0x7b || first[0] === 0x5b : format === 'ndjson';
    if (isJson) return new NdjsonReader(symbols, where);
    return new CsvReader(symbols, where, symbolOfFile);
  };
  for await (const chunk of bytes) {
    batch.clear();
    reader ??= readerFor(chunk);
    reader.push(chunk, batch);
    yield batch;
  }
  batch.clear();
  reader?.finish(batch);
  yield batch;
}

async function* tradesOfParquet(path: string, symbols: SymbolTable): AsyncGenerator<TradeBatch> {
  const names = (await parquetColumns([path])).get(path)!;
  const columns: Partial<Record<TradeField, string>> = {};
  for (const name of names) {
    const field = Object.hasOwn(FIELD_NAMES, name) ? FIELD_NAMES[name] : undefined;
    if (field !== undefined) columns[field] ??= name;
  }
  const missing = (['symbol', 'time', 'price', 'size'] as const).filter((field) => columns[field] === undefined);
  if (missing.length > 0) throw badTrades(path, `no column for ${missing.join(', ')}`);
  const fields = Object.keys(columns) as TradeField[];
  const place = (field: TradeField) => fields.indexOf(field);
  const batch = new TradeBatch(2048);
  let before = 0;
  for await (const { count, values } of parquetRows(path, Object.values(columns))) {
    batch.clear();
    const value = (field: TradeField, row: number) => values[place(field)]?.[row] ?? null;
    for (let row = 0; row < count; row++) {
      try {
        addRow(batch, symbols, (field) => value(field, row));
      } catch (error) {
        throw badTrades(`${path}, row ${before + row + 1}`, (error as Error).message, error);
      }
    }
    before += count;
    yield batch;
  }
}

function addRow(batch: TradeBatch, symbols: SymbolTable, value: (field: TradeField) => string | number | null): void {
  const time = value('time');
  const timeMs = time === null ? Number.NaN : timeOfText(String(time));
  if (Number.isNaN(timeMs)) throw new Error(`${JSON.stringify(time)} is not a time`);
  const action = actionOf(value('action'));
  if (Number.isNaN(action)) throw new Error(`the action ${JSON.stringify(value('action'))} is not known`);
  const number = (field: TradeField) => Number(value(field) ?? Number.NaN);
  const tape = value('tape');
  const conditions = value('conditions');
  const rule = conditions === null ? REGULAR : conditionsOfText(String(conditions), tape === 'C' || tape === 3);
  const id = value('id');
  batch.add(
    symbols.numberOf(String(value('symbol') ?? '')),
    timeMs,
    number('price'),
    number('size'),
    rule | action,
    id === null ? Number.NaN : idOf(String(id)),
  );
}
