/**
 * Faults ordered from the simulated exchange, each kind at 5% and all together, and kills at random moments: the stored
 * bars are those of an exchange without faults, none lost and none twice.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { epochMs, silentProgress } from '../../src/base/index.ts';
import {
  FAULT_KINDS,
  type Faults,
  ingestHistory,
  parseFaults,
  repairGaps,
  startExchange,
  yahooSource,
} from '../../src/sources/index.ts';
import { openReader } from '../../src/store/index.ts';
import { temporaryFolder } from '../store/support.ts';
import { minuteOf } from './yahoo-fixtures.ts';

const SYMBOLS = ['SPY', 'AAPL', 'ABNB', 'BRK-B', 'GD', 'KO', 'MSFT', 'O', 'PTC', 'TECH', 'WRB', 'XOM'];
const FROM = minuteOf('2025-10-20T13:30Z');
const TO = minuteOf('2025-11-14T21:00Z');
/** Friday, an hour after the close. */
const NOW = epochMs(Date.parse('2025-11-14T22:00:00Z'));
const CHILD = new URL('children/ingest-from.ts', import.meta.url).pathname;

const exchangeWith = async (t: TestContext, faults: Faults = {}) => {
  const exchange = await startExchange({ port: 0, seed: 1, now: NOW, symbols: SYMBOLS, faults });
  t.after(() => exchange.close());
  return exchange;
};

const bring = (data: string, url: string) =>
  ingestHistory({
    source: yahooSource({ url, timeoutMs: 300, patience: { firstWaitMs: 5, longestWaitMs: 50, leastPerSecond: 50 } }),
    symbols: SYMBOLS,
    from: FROM,
    to: TO,
    data,
    progress: silentProgress,
    commitEveryMs: 200,
  });

/** Every stored bar as a line, and the number of events. */
async function contents(data: string): Promise<{ bars: string[]; events: number }> {
  const reader = await openReader(data);
  try {
    const { symbols, offsets, minute, open, high, low, close, volume } = await reader.read();
    const bars = symbols.flatMap((symbol, s) =>
      Array.from(minute.subarray(offsets[s], offsets[s + 1]), (m, i) => {
        const row = offsets[s]! + i;
        return `${symbol} ${m} ${open[row]} ${high[row]} ${low[row]} ${close[row]} ${volume[row]}`;
      }),
    );
    return { bars, events: (await reader.summary()).events };
  } finally {
    reader.close();
  }
}

const KINDS = Object.keys(FAULT_KINDS);
const ordered = (kind: string) => `${kind}:0.05${kind === '429' ? ':0' : kind === 'slow' ? ':50' : ''}`;
const ALL = KINDS.map(ordered).join(',');

describe('an exchange with faults', () => {
  let clean: Awaited<ReturnType<typeof contents>>;
  before(async () => {
    const data = mkdtempSync(join(tmpdir(), 'barcast-test-'));
    const exchange = await startExchange({ port: 0, seed: 1, now: NOW, symbols: SYMBOLS });
    const answer = await bring(data, exchange.url);
    await exchange.close();
    assert.deepEqual([answer.stillMissing, answer.failed, answer.daysAsked], [[], [], SYMBOLS.length * 20]);
    clean = await contents(data);
    rmSync(data, { recursive: true });
    assert.ok(clean.bars.length > SYMBOLS.length * 20 * 390 * 0.98);
    assert.ok(clean.events > 0, 'there are dividends or splits');
  });

  for (const faults of [...KINDS.map(ordered), ALL]) {
    it(`${faults} stores the same`, async (t) => {
      const data = temporaryFolder(t);
      const { url } = await exchangeWith(t, parseFaults(faults));
      const answer = await bring(data, url);
      assert.deepEqual([answer.stillMissing, answer.failed], [[], []]);
      assert.deepEqual(await contents(data), clean);
      if (/null|gap/.test(faults)) assert.ok(answer.filledAgain > 100, 'what was missing came with a second look');
    });
  }

  const always = ALL.replace(/(null|gap):0.05/g, '$1:0.05:1000');
  for (const faults of ['null:0.05:1000', 'gap:0.05:1000', always]) {
    it(`${faults}, always the same minutes, leaves holes and changes nothing else; repair fills them when the source has what was missing`, async (t) => {
      const data = temporaryFolder(t);
      const { url } = await exchangeWith(t, parseFaults(faults));
      const first = await bring(data, url);
      assert.equal(first.filledAgain, 0);
      // One answer of at most seven days each, and one second look at most.
      assert.ok(first.askedAgain <= SYMBOLS.length * 5, `${first.askedAgain} requests for more`);
      assert.equal((await bring(data, url)).daysHeld, SYMBOLS.length * 20, 'and is not asked for ever');
      const stored = (await contents(data)).bars;
      const known = new Set(clean.bars);
      const hit = stored.filter((line) => !known.has(line));
      // A hole at the start of an answer moves its first row, whose volume nobody knows.
      assert.ok(hit.every((line) => line.endsWith(' NaN')));
      assert.ok(stored.length - hit.length > 0.85 * clean.bars.length);
      assert.ok(stored.length - hit.length < 0.98 * clean.bars.length, 'something is missing');
      const good = await exchangeWith(t);
      const repaired = await repairGaps({
        source: yahooSource({ url: good.url }),
        data,
        from: FROM,
        progress: silentProgress,
      });
      assert.ok(repaired.holes > 0 && repaired.holesLeft <= repaired.holes / 20, `${repaired.holesLeft} holes left`);
      const after = (await contents(data)).bars;
      assert.deepEqual(
        after.filter((line) => !known.has(line) && !line.endsWith(' NaN')),
        [],
      );
      assert.ok(after.filter((line) => known.has(line)).length > 0.995 * clean.bars.length);
      assert.equal(new Set(after.map((line) => line.split(' ', 2).join(' '))).size, after.length, 'nothing twice');
    });
  }

  it('kill -9 at 20 random moments, with all faults: the same command goes on to the same bars', async (t) => {
    const faulty = async () => (await exchangeWith(t, parseFaults(ALL.replace('slow:0.05:50', 'slow:1:150')))).url;
    // What it lacks at first it has the second time: every store begins with an exchange of its own.
    let url = await faulty();
    /** Runs a child to its end, or kills it after a while. Returns whether it was killed. */
    const run = async (data: string, afterMs?: number): Promise<boolean> => {
      const args = [CHILD, data, url, SYMBOLS.join(','), String(FROM), String(TO)];
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
      let stderr = '';
      child.stderr.on('data', (text) => (stderr += text));
      const end = once(child, 'close') as Promise<[number | null, string | null]>;
      if (afterMs !== undefined) {
        await Promise.race([end, sleep(afterMs)]);
        child.kill('SIGKILL');
      }
      const [code, signal] = await end;
      assert.ok(code === 0 || signal === 'SIGKILL', stderr);
      return signal === 'SIGKILL';
    };
    await run(temporaryFolder(t));
    const started = performance.now();
    await run(temporaryFolder(t));
    const wholeMs = performance.now() - started;
    url = await faulty();
    const finish = async (data: string): Promise<number> => {
      const answer = await bring(data, url);
      assert.deepEqual([answer.stillMissing, answer.failed], [[], []]);
      assert.deepEqual(await contents(data), clean);
      return answer.daysHeld;
    };
    let data = temporaryFolder(t);
    const held: number[] = [];
    for (let kills = 0, runs = 0; kills < 20; runs++) {
      assert.ok(runs < 60, `${kills} kills in ${runs} runs`);
      if (await run(data, wholeMs * (0.25 + 0.5 * Math.random()))) kills++;
      else {
        held.push(await finish(data));
        data = temporaryFolder(t);
        url = await faulty();
      }
    }
    held.push(await finish(data));
    assert.ok(held.some((days) => days > 0));
    t.diagnostic(`symbol days held when it was gone on with: ${held.join(', ')} of ${SYMBOLS.length * 20}`);
  });
});
