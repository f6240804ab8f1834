/** What the tests of files share: writing them in a temporary folder, and ingesting them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { DuckDBInstance } from '@duckdb/node-api';
import { epochMs, silentProgress } from '../../src/base/index.ts';
import { type IngestAnswer, ingestFiles } from '../../src/sources/ingest.ts';
import { openReader } from '../../src/store/index.ts';

export interface Workshop {
  readonly folder: string;
  readonly data: string;
  /** Writes a file (gzipped when its name says so) and returns its path. */
  write(name: string, content: string | Uint8Array): string;
  /** Writes what a query selects as Parquet and returns its path. */
  writeParquet(name: string, sql: string): Promise<string>;
  ingest(...files: string[]): Promise<IngestAnswer>;
  /** `SYMBOL 2020-01-02T14:30Z open high low close volume` of every bar stored. */
  bars(): Promise<string[]>;
  /** `kind SYMBOL time close volume` of every ledger entry. */
  ledger(): Promise<string[]>;
}

const minuteText = (ms: number) => new Date(ms).toISOString().replace(/:00\.000Z$/, 'Z');

export function workshop(t: TestContext): Workshop {
  const folder = mkdtempSync(join(tmpdir(), 'barcast-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const data = join(folder, 'store');
  const path = (name: string) => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    return join(folder, name);
  };
  return {
    folder,
    data,
    write(name, content) {
      const gzip = name.endsWith('.gz') && typeof content === 'string';
      writeFileSync(path(name), gzip ? gzipSync(content) : content);
      return join(folder, name);
    },
    async writeParquet(name, sql) {
      const instance = await DuckDBInstance.create(':memory:');
      const connection = await instance.connect();
      await connection.run(`set TimeZone = 'Asia/Tokyo'; copy (${sql}) to '${path(name)}' (format parquet)`);
      connection.closeSync();
      instance.closeSync();
      return join(folder, name);
    },
    ingest: (...files) =>
      ingestFiles({ files, data, progress: silentProgress, askedAt: epochMs(Date.parse('2024-01-01')) }),
    async bars() {
      const reader = await openReader(data);
      const bars = await reader.read();
      reader.close();
      return bars.symbols.flatMap((symbol, s) =>
        Array.from(bars.minute.subarray(bars.offsets[s], bars.offsets[s + 1]), (minute, i) => {
          const row = bars.offsets[s]! + i;
          const values = [bars.open, bars.high, bars.low, bars.close, bars.volume].map((column) => column[row]);
          return `${symbol} ${minuteText(minute * 60_000)} ${values.join(' ')}`;
        }),
      );
    },
    async ledger() {
      const reader = await openReader(data);
      const entries = await reader.ledger();
      reader.close();
      return entries.map((e) => `${e.kind} ${e.symbol} ${minuteText(e.timeMs)} ${e.close} ${e.volume}`);
    },
  };
}
