import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { openDatabase } from '../../src/store/database.ts';
import { directChunksOf } from '../../src/store/direct-vectors.ts';
import { type TakenChunk, takenChunks } from '../../src/store/vectors.ts';

/** The first column of each chunk, and all of the second one in two pieces. */
async function collect(chunks: AsyncGenerator<TakenChunk>): Promise<{ firsts: number[]; values: number[] }> {
  const firsts: number[] = [];
  const values: number[] = [];
  for await (const chunk of chunks) {
    firsts.push(chunk.first(0));
    const into = new Float64Array(chunk.rows);
    const middle = Math.floor(chunk.rows / 3);
    chunk.copy(1, 0, into.subarray(0, middle));
    chunk.copy(1, middle, into.subarray(middle));
    values.push(...into);
  }
  return { firsts, values };
}

const SQL = `select i::INTEGER as mark, case when i % 7 = 0 or i between 2030 and 2070 then null else i * 1.5 end::DOUBLE
  from range(5000) as numbers(i)`;
const direct = directChunksOf(SQL);
const skip = direct === undefined ? `DuckDB's library cannot be called on ${process.platform}` : false;

test('numbers taken straight out of DuckDB are those of its package, nulls as NaN', { skip }, async () => {
  const instance = await openDatabase(tmpdir());
  const connection = await instance.connect();
  const expected = await collect(takenChunks(connection, SQL));
  assert.deepEqual(await collect(direct!), expected);
  assert.deepEqual([expected.values[0], expected.values[1], expected.values[2050]], [Number.NaN, 1.5, Number.NaN]);
  assert.deepEqual([expected.values.length, expected.firsts[1]], [5000, 2048]);
  connection.closeSync();
  instance.closeSync();
});

test('a query that fails at once, and one that fails on the way, say why', { skip }, async () => {
  await assert.rejects(collect(directChunksOf('select nothing')!), /nothing/);
  const halfway = "select i::INTEGER, (case when i < 3000 then '1' else 'word' end)::DOUBLE from range(5000) as n(i)";
  await assert.rejects(collect(directChunksOf(halfway)!), /word/);
});

test('whoever stops early leaves nothing behind that the next query minds', { skip }, async () => {
  for await (const chunk of directChunksOf(SQL)!) {
    assert.equal(chunk.first(0), 0);
    break;
  }
  assert.equal((await collect(directChunksOf(SQL)!)).values.length, 5000);
});
