/**
 * Past bars of many symbols: each symbol's requests one after another, several symbols at a time, handed over as they
 * arrive. What a source cannot give is reported, not thrown, unless nothing can be had at all.
 */
import { BarcastError, type EpochMinute, epochMinute, isoOfMinute, msToMinute } from '../../base/index.ts';
import type { HistoryReport, HistoryRequest, RawBars } from '../source.ts';
import type { AnswerClock } from './answer-clock.ts';
import type { ChartClient } from './chart-client.ts';
import { ChartFailure } from './failure.ts';
import type { Gate } from './patience.ts';
import { earliestMinute, type Range, rangesOf } from './ranges.ts';

export interface HistoryMeans {
  /** For error messages. */
  readonly where: string;
  readonly client: ChartClient;
  readonly gate: Gate;
  readonly clock: AnswerClock;
  readonly concurrency: number;
  /** Brings the clock up to date where somebody tells the time. */
  readonly sync: (signal?: AbortSignal) => Promise<void>;
  /** By symbol: the first minute that was not asked for or had not ended. Written here, for live to go on from. */
  readonly historyEnd: Map<string, EpochMinute>;
}

/** Answers waiting to be taken, at most, for every request in flight. */
const WAITING_A_WORKER = 4;

/** @throws BARCAST_E_NETWORK, BARCAST_E_RATE_LIMITED, BARCAST_E_SOURCE_FORMAT, BARCAST_E_DATE, BARCAST_E_INTERRUPTED */
export async function* history(means: HistoryMeans, request: HistoryRequest): AsyncGenerator<RawBars, HistoryReport> {
  const { client, gate, clock, where } = means;
  await means.sync(request.signal).catch(() => {
    throw interrupted();
  });
  const now = clock.now();
  const earliest = earliestMinute(now);
  if (request.to <= earliest) {
    throw new BarcastError(
      'BARCAST_E_DATE',
      `${where} keeps one-minute bars for 30 days only`,
      `ask for bars after ${isoOfMinute(earliest)}`,
    );
  }
  const notes =
    request.from < earliest
      ? [`${where} keeps one-minute bars for 30 days; there are none before ${isoOfMinute(earliest)}`]
      : [];
  const unknown: string[] = [];
  const failed: { symbol: string; reason: string }[] = [];
  let firstFailure: ChartFailure | undefined;
  let fatal: unknown;
  let succeeded = 0;

  const stop = new AbortController();
  const signal = request.signal ? AbortSignal.any([request.signal, stop.signal]) : stop.signal;
  const queue = request.symbols.values();
  const ready: RawBars[] = [];
  let wakeReader = () => {};
  let wakeWorkers: (() => void)[] = [];
  const room = () =>
    ready.length < WAITING_A_WORKER * means.concurrency
      ? undefined
      : new Promise<void>((resolve) => wakeWorkers.push(resolve));

  const bring = async (symbol: string, range: Range): Promise<void> => {
    const rows = await gate.persist(() => client.rows(symbol, range.askFrom * 60, range.to * 60, signal), signal);
    await room();
    means.historyEnd.set(symbol, epochMinute(Math.min(range.to, msToMinute(rows.askedAt))));
    ready.push(kept(rows, range));
    wakeReader();
  };
  const work = async () => {
    for (const symbol of queue) {
      try {
        // The ranges are reckoned anew: what is kept moves on while we ask.
        for (const range of rangesOf(request.from, request.to, clock.now())) await bring(symbol, range);
        succeeded++;
      } catch (error) {
        if (!(error instanceof ChartFailure)) throw error;
        if (error.kind === 'unknown') {
          unknown.push(symbol);
          continue;
        }
        firstFailure ??= error;
        // No connection and a rate limit are everybody's.
        if (error.kind === 'network' || error.kind === 'rate-limited' || !gate.answered) throw error;
        failed.push({ symbol, reason: error.message });
      }
    }
  };
  let working = means.concurrency;
  const workers = Array.from({ length: means.concurrency }, () =>
    work()
      .catch((error: unknown) => {
        fatal ??= error;
        stop.abort();
      })
      .finally(() => {
        working--;
        wakeReader();
      }),
  );
  try {
    for (;;) {
      const next = ready.shift();
      if (next !== undefined) {
        for (const wake of wakeWorkers.splice(0)) wake();
        yield next;
      } else if (working === 0) {
        break;
      } else {
        await new Promise<void>((resolve) => {
          wakeReader = resolve;
        });
      }
    }
  } finally {
    stop.abort();
    for (const wake of wakeWorkers.splice(0)) wake();
    wakeWorkers = [];
    await Promise.all(workers);
  }
  if (request.signal?.aborted) throw interrupted();
  if (fatal !== undefined) throw fatal instanceof ChartFailure ? fatal.toBarcastError(where) : fatal;
  if (succeeded === 0 && firstFailure !== undefined) throw firstFailure.toBarcastError(where);
  return { unknown: unknown.sort(), failed: failed.sort((a, b) => (a.symbol < b.symbol ? -1 : 1)), notes };
}

const interrupted = (): BarcastError =>
  new BarcastError(
    'BARCAST_E_INTERRUPTED',
    'stopped while bars were brought in',
    'run the same command again to go on',
  );

/**
 * The rows from the wanted minute on. An answer's first row has a volume of 0 that says nothing: where it is wanted
 * all the same, its volume is not known.
 */
function kept(rows: RawBars, range: Range): RawBars {
  const fromMs = range.from * 60_000;
  let first = 0;
  while (first < rows.timeMs.length && rows.timeMs[first] < fromMs) first++;
  const cut = (values: Float64Array) => values.subarray(first);
  const { symbol, askedAt } = rows;
  const volume = cut(rows.volume);
  if (first === 0 && volume.length > 0 && volume[0] === 0) volume[0] = Number.NaN;
  return {
    symbol,
    askedAt,
    timeMs: cut(rows.timeMs),
    open: cut(rows.open),
    high: cut(rows.high),
    low: cut(rows.low),
    close: cut(rows.close),
    volume,
  };
}
