/** What the tests of the store share: temporary folders, raw rows written by hand, children that own a store. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { MarketBars } from '../../src/bars/index.ts';
import { epochMinute, epochMs } from '../../src/base/index.ts';
import { type IngestCounts, openReader, openStore, type RawBars } from '../../src/store/index.ts';

export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'barcast-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Thursday 2020-01-02, 09:30 in New York. */
export const OPEN = epochMinute(Date.parse('2020-01-02T14:30:00Z') / 60_000);

/** Long after every bar of the tests. */
export const LATER = epochMs(Date.parse('2024-01-01T00:00:00Z'));

/** [minute after OPEN (a fraction is off the minute), open, high, low, close, volume] */
export type Row = readonly [number, number, number, number, number, number];

/** A row whose four prices are one. */
export const flat = (minute: number, price: number, volume = 100): Row => [minute, price, price, price, price, volume];

export function raw(symbol: string, rows: readonly Row[], askedAt = LATER): RawBars {
  const column = (index: number) => Float64Array.from(rows, (row) => row[index]!);
  return {
    symbol,
    timeMs: column(0).map((minute) => Math.round((OPEN + minute) * 60_000)),
    open: column(1),
    high: column(2),
    low: column(3),
    close: column(4),
    volume: column(5),
    askedAt,
  };
}

/** One commit of rows into a store. */
export async function ingest(directory: string, ...deliveries: readonly RawBars[]): Promise<IngestCounts> {
  const store = await openStore(directory);
  try {
    const transaction = await store.begin();
    for (const delivery of deliveries) await transaction.addBars(delivery);
    return await transaction.commit();
  } finally {
    store.close();
  }
}

/** `SYMBOL minute-after-OPEN open high low close volume` of every bar. */
export function barLines(bars: MarketBars): string[] {
  const lines: string[] = [];
  for (const [s, symbol] of bars.symbols.entries()) {
    for (let i = bars.offsets[s]!; i < bars.offsets[s + 1]!; i++) {
      lines.push(
        [symbol, bars.minute[i]! - OPEN, bars.open[i], bars.high[i], bars.low[i], bars.close[i], bars.volume[i]].join(
          ' ',
        ),
      );
    }
  }
  return lines;
}

/** Everything a store holds, to compare two of them. */
export async function contents(directory: string): Promise<{ bars: string[]; ledger: string[] }> {
  const reader = await openReader(directory);
  try {
    const ledger = (await reader.ledger()).map((entry) =>
      [
        entry.kind,
        entry.symbol,
        entry.timeMs / 60_000 - OPEN,
        entry.open,
        entry.high,
        entry.low,
        entry.close,
        entry.volume,
        entry.occurrence,
      ].join(' '),
    );
    return { bars: barLines(await reader.read()), ledger };
  } finally {
    reader.close();
  }
}

/** The files in `segments/`, and those that the manifest names: equal when nothing is left over. */
export function segmentFiles(directory: string): { present: string[]; named: string[] } {
  const manifest = JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8')) as Record<
    string,
    { file: string }[]
  >;
  const named = ['bars', 'ledger', 'events', 'answered', 'trades'].flatMap((table) =>
    manifest[table]!.map(({ file }) => file),
  );
  return { present: readdirSync(join(directory, 'segments')).sort(), named: named.sort() };
}

/** Runs a TypeScript child of this folder to its end. */
export async function runChild(
  script: URL,
  args: readonly string[],
  wrapper: readonly string[] = [],
): Promise<{ code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string }> {
  const [command, ...rest] = [...wrapper, process.execPath, script.pathname, ...args];
  const child = spawn(command!, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => (stdout += data));
  child.stderr.on('data', (data) => (stderr += data));
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { code, signal, stdout, stderr };
}
