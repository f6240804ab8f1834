/** kill -9 of a `serve` that stores its bars: what was stored stays, once, and the same command goes on. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sessionAt } from '../../src/bars/index.ts';
import { type EpochMinute, type EpochMs, epochMinute } from '../../src/base/index.ts';
import { startExchange } from '../../src/sources/index.ts';
import { openReader } from '../../src/store/index.ts';
import { answer, start, temporaryFolder } from './support.ts';

const SYMBOLS = ['SPY', 'AAPL', 'KO', 'XOM'];
const SPEED = 120;
const FROM = epochMinute(Date.parse('2025-03-14T14:00:00Z') / 60_000);

test('kill -9 of a serve that stores: no stored bar is lost, none stands twice, and doctor is content', async (t) => {
  const folder = temporaryFolder();
  t.after(() => folder.remove());
  const data = join(folder.path, 'data');
  const exchangeAt = (time: string, speed: number) =>
    startExchange({ port: 0, seed: 2, symbols: SYMBOLS, now: Date.parse(time) as EpochMs, speed });
  const past = await exchangeAt('2025-03-13T20:30:00Z', 1);
  const select = ['--symbols', SYMBOLS.join(',')];
  await answer(['ingest', '--yahoo-url', past.url, ...select, '--from', '2025-03-11'], folder.path);
  await past.close();
  await answer(['train', '--epochs', '1', '--batch', '64', '--seed', '3', '--name', 'm'], folder.path);
  const exchange = await exchangeAt('2025-03-14T14:00:00Z', SPEED);
  t.after(() => exchange.close());

  /** `SYMBOL minute open high low close` of the session's stored bars, in the store's order. */
  const stored = async (): Promise<string[]> => {
    const reader = await openReader(data);
    try {
      const { symbols, offsets, minute, open, high, low, close } = await reader.read({ from: FROM });
      return symbols.flatMap((symbol, s) =>
        Array.from({ length: offsets[s + 1]! - offsets[s]! }, (_, i) => {
          const row = offsets[s]! + i;
          return [symbol, minute[row], open[row], high[row], low[row], close[row]].join(' ');
        }),
      );
    } finally {
      reader.close();
    }
  };
  const words = ['serve', '--model', 'm', '--source', 'simulated', '--yahoo-url', exchange.url, ...select];
  let last: string[] = [];
  for (const signal of ['SIGKILL', 'SIGKILL', 'SIGKILL', 'SIGTERM'] as const) {
    const server = start([...words, '--speed', String(SPEED), '--store', '--port', '0', '--json'], folder.path);
    t.after(() => server.child.kill('SIGKILL'));
    await server.printed(/\n/);
    let before = last;
    while (before.length <= last.length) {
      await sleep(20);
      before = await stored();
    }
    // Any moment between two commits, or in the middle of one.
    await sleep(1200 * Math.random());
    before = await stored();
    server.child.kill(signal);
    const { status } = await server.ended;
    assert.equal(status, signal === 'SIGTERM' ? 0 : null);
    last = await stored();
    const kept = new Set(last);
    assert.deepEqual(
      before.filter((line) => !kept.has(line)),
      [],
      'a stored bar is gone or another one',
    );
    const keys = last.map((line) => line.split(' ', 2).join(' '));
    assert.equal(new Set(keys).size, keys.length, 'a bar stands twice');
    const { flaws } = await answer<{ flaws: Record<string, number> }>(['doctor'], folder.path);
    assert.deepEqual([flaws.revisions, flaws.duplicates, flaws.conflicts], [0, 0, 0]);
  }
  for (const line of last) {
    const [symbol, minute, ...prices] = line.split(' ');
    const session = sessionAt(Number(minute) as EpochMinute)!;
    const path = exchange.market.day(symbol!, session);
    const at = Number(minute) - session.open;
    assert.deepEqual(prices.map(Number), [path.open[at], path.high[at], path.low[at], path.close[at]]);
  }
});
