/**
 * Thirty days of a market from an exchange that permits so many requests a second and takes its time for each: what of
 * that is used. The exchange is a process of its own, with all days made beforehand, and every stored bar is compared
 * with its market before a number is told.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { dayOf, type Session, SP500, sessionsBetween } from '../src/bars/index.ts';
import { BarcastError, type EpochMs, epochMinute, epochMs, msToMinute, type Progress } from '../src/base/index.ts';
import { firstWholeSession, INDEX_SYMBOL, ingestHistory, Market, yahooSource } from '../src/sources/index.ts';
import { openReader } from '../src/store/index.ts';
import { circumstances } from './timing.ts';

export interface BackfillOptions {
  readonly symbols: number;
  /** Requests a second that the exchange permits; it saves up for a second. */
  readonly limitPerSecond: number;
  /** How long it takes for an answer. */
  readonly latencyMs: number;
  readonly progress: Progress;
}

/** What the exchange's process is told. */
export interface BenchExchange {
  readonly symbols: readonly string[];
  readonly limitPerSecond: number;
  readonly latencyMs: number;
  readonly seed: number;
  readonly now: EpochMs;
}

/** A Friday, two hours after the close. */
const NOW = epochMs(Date.parse('2025-11-14T23:00:00Z'));
const SEED = 1;

/** The sessions of which something is kept. */
export const sessionsKept = (now: EpochMs): Session[] =>
  sessionsBetween(dayOf(epochMinute(msToMinute(now) - 31 * 1440)), dayOf(msToMinute(now)));

/**
 * `permittedSeconds` is the least time that the limit leaves for the requests that were answered: each takes its share of
 * a second, and the last one's answer the latency. The second's worth that the exchange has saved up at the start is no
 * part of it; with it, it is `permittedWithSavedSeconds`.
 * @throws BARCAST_E_INTERNAL when a stored bar is not the exchange's, or one is missing
 */
export async function benchBackfill({ symbols: count, limitPerSecond, latencyMs, progress }: BackfillOptions) {
  const symbols = [INDEX_SYMBOL, ...SP500].slice(0, count);
  const folder = mkdtempSync(join(tmpdir(), 'barcast-backfill-'));
  let child: ChildProcess | undefined;
  try {
    progress.say('the exchange makes its days');
    const told: BenchExchange = { symbols, limitPerSecond, latencyMs, seed: SEED, now: NOW };
    child = fork(new URL('backfill-exchange.ts', import.meta.url), [JSON.stringify(told)]);
    const url = await heard<string>(child);
    const source = yahooSource({ url });
    const delays = monitorEventLoopDelay({ resolution: 5 });
    delays.enable();
    const started = performance.now();
    const answer = await ingestHistory({
      source,
      symbols,
      from: firstWholeSession(NOW),
      to: msToMinute(NOW),
      data: join(folder, 'data'),
      progress,
    });
    const seconds = (performance.now() - started) / 1000;
    delays.disable();
    child.send('how many');
    const { granted, refused } = await heard<{ granted: number; refused: number }>(child);
    progress.say('comparing every bar');
    const bars = await checkStored(join(folder, 'data'), symbols);
    const permittedSeconds = granted / limitPerSecond + latencyMs / 1000;
    const permittedWithSavedSeconds = Math.max(0, granted - limitPerSecond) / limitPerSecond + latencyMs / 1000;
    return {
      symbols: symbols.length,
      limitPerSecond,
      latencyMs,
      bars,
      requests: granted,
      refused,
      seconds,
      requestsPerSecond: granted / seconds,
      permittedSeconds,
      shareOfPermitted: permittedSeconds / seconds,
      permittedWithSavedSeconds,
      shareWithSaved: permittedWithSavedSeconds / seconds,
      loopDelayP99Ms: delays.percentile(99) / 1e6,
      loopDelayMostMs: delays.max / 1e6,
      askedAgain: answer.askedAgain,
      stillMissing: answer.stillMissing,
      ...circumstances(),
    };
  } finally {
    child?.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A child's next message. @throws BARCAST_E_INTERNAL when it ends instead */
async function heard<T>(child: ChildProcess): Promise<T> {
  const gone = once(child, 'exit').then(() => {
    throw wrong('the exchange ended');
  });
  const [message] = (await Promise.race([once(child, 'message'), gone])) as [T];
  gone.catch(() => undefined);
  return message;
}

/**
 * Compares a store with the market, minute by minute. An answer's first row has a volume of 0 that says nothing: the very
 * first bar's is not known. Returns the number of bars.
 */
async function checkStored(data: string, symbols: readonly string[]): Promise<number> {
  const market = new Market({ seed: SEED, symbols });
  const reader = await openReader(data);
  const bars = await reader.read();
  reader.close();
  const from = firstWholeSession(NOW);
  const sessions = sessionsKept(NOW).filter(({ open }) => open >= from);
  if (bars.symbols.join() !== [...symbols].sort().join()) throw wrong('symbols are missing');
  for (const [s, symbol] of bars.symbols.entries()) {
    let row = bars.offsets[s];
    for (const session of sessions) {
      const path = market.day(symbol, session);
      for (let t = 0; t < path.close.length; t++) {
        if (path.traded[t] === 0) continue;
        const same =
          bars.minute[row] === session.open + t &&
          bars.open[row] === path.open[t] &&
          bars.high[row] === path.high[t] &&
          bars.low[row] === path.low[t] &&
          bars.close[row] === path.close[t] &&
          (bars.volume[row] === path.volume[t] || (row === bars.offsets[s] && Number.isNaN(bars.volume[row])));
        if (!same) throw wrong(`${symbol}, minute ${t} of ${session.day}: what is stored is not what the exchange has`);
        row++;
      }
    }
    if (row !== bars.offsets[s + 1]) throw wrong(`${symbol} has bars that the exchange has not`);
  }
  return bars.minute.length;
}

const wrong = (what: string): BarcastError =>
  new BarcastError('BARCAST_E_INTERNAL', what, 'no time was told; report this');
