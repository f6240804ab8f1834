/** Reading what is known of the trades in bars. */
import type { DuckDBConnection } from '@duckdb/node-api';
import { quoted, selectRows } from './database.ts';
import { type Manifest, relation } from './manifest.ts';
import type { MarketTrades, ReadQuery } from './store.ts';

export async function readTrades(
  connection: DuckDBConnection,
  directory: string,
  manifest: Manifest,
  { symbols: wanted, from, to }: ReadQuery,
): Promise<MarketTrades> {
  const conditions = ['true'];
  if (wanted !== undefined) conditions.push(`symbol in (${wanted.map(quoted).join(', ') || 'null'})`);
  if (from !== undefined) conditions.push(`minute >= ${from}`);
  if (to !== undefined) conditions.push(`minute < ${to}`);
  const rows = `${relation(directory, 'trades', manifest.trades)} where ${conditions.join(' and ')}`;
  const counts = await selectRows(
    connection,
    `select symbol, count(*)::INTEGER as rows from ${rows} group by symbol order by symbol`,
  );
  const symbols = counts.map((row) => row.symbol as string);
  const offsets = new Int32Array(symbols.length + 1);
  for (const [s, row] of counts.entries()) offsets[s + 1] = offsets[s]! + (row.rows as number);
  const count = offsets.at(-1)!;
  const columns = { minute: new Int32Array(count), tradeCount: new Float64Array(count), vwap: new Float64Array(count) };
  const result = await connection.stream(`select minute, tradeCount, vwap from ${rows} order by symbol, minute`);
  let at = 0;
  for (let chunk = await result.fetchChunk(); chunk !== null && chunk.rowCount > 0; chunk = await result.fetchChunk()) {
    for (const [index, column] of Object.values(columns).entries())
      for (const [row, value] of chunk.getColumnValues(index).entries())
        column[at + row] = (value as number) ?? Number.NaN;
    at += chunk.rowCount;
  }
  return { symbols, offsets, ...columns };
}
