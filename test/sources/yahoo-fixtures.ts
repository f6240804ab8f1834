/** What the tests of the Yahoo source share: exchanges at a fixed time, and a server that answers as it is told. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { type EpochMinute, type EpochMs, epochMs } from '../../src/base/index.ts';
import {
  type Exchange,
  type ExchangeOptions,
  type HistoryReport,
  type HistorySource,
  type RawBars,
  startExchange,
} from '../../src/sources/index.ts';

/** Friday, twenty seconds into the minute of 15:30 in New York. */
export const NOW = epochMs(Date.parse('2025-11-14T20:30:20Z'));
export const minuteOf = (iso: string): EpochMinute => (Date.parse(iso) / 60_000) as EpochMinute;

/** Retries without waiting, so that a test waits for nothing. */
export const HASTY = { firstWaitMs: 1, longestWaitMs: 4, leastPerSecond: 50 };

export async function exchangeFor(t: TestContext, options: Partial<ExchangeOptions> = {}): Promise<Exchange> {
  const exchange = await startExchange({ port: 0, seed: 1, now: NOW, ...options });
  t.after(() => exchange.close());
  return exchange;
}

/** A server whose answers the test writes itself. */
export async function serverFor(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** All that a history source gives. */
export async function collect(
  source: HistorySource,
  symbols: readonly string[],
  from: EpochMinute,
  to: EpochMinute,
): Promise<{ batches: RawBars[]; report: HistoryReport }> {
  const batches: RawBars[] = [];
  const bars = source.history({ symbols, from, to });
  for (;;) {
    const step = await bars.next();
    if (step.done) {
      const { keptFrom: _, ...report } = step.value;
      return { batches, report };
    }
    batches.push(step.value);
  }
}

/** Rows as the store accepts them: whole minutes that had ended, with a close; of two the later. By `SYMBOL minute`. */
export function acceptedOf(batches: readonly RawBars[]): Map<string, number[]> {
  const accepted = new Map<string, number[]>();
  for (const rows of batches) {
    for (let i = 0; i < rows.timeMs.length; i++) {
      const at = rows.timeMs[i];
      if (at % 60_000 !== 0 || at + 60_000 > (rows.askedAt as EpochMs) || Number.isNaN(rows.close[i])) continue;
      const values = [rows.open[i], rows.high[i], rows.low[i], rows.close[i], rows.volume[i]];
      accepted.set(`${rows.symbol} ${at / 60_000}`, values);
    }
  }
  return new Map([...accepted].sort(([a], [b]) => (a < b ? -1 : 1)));
}

export const codeIs =
  (code: string, text?: RegExp) =>
  (error: unknown): boolean => {
    const { code: found, message } = error as { code?: string; message: string };
    if (found !== code) throw new Error(`expected ${code}, got ${found}: ${message}`);
    if (text !== undefined && !text.test(message)) throw new Error(`'${message}' does not say ${text}`);
    return true;
  };
