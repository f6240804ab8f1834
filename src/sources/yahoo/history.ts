/**
 * Past bars of many symbols: one request for every range of every symbol, started as the gate lets them pass and with as
 * many in flight as that takes, handed over as they arrive. What a source cannot give is reported, not thrown, unless
 * nothing can be had at all.
 */
import { BarcastError, type EpochMinute, epochMinute, isoOfMinute, msToMinute } from '../../base/index.ts';
import type { HistoryReport, HistoryRequest, HistoryRows, RawBars } from '../source.ts';
import { sessionsIn } from '../wanted.ts';
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
  /** Requests in flight at most. */
  readonly concurrency: number;
  /** Brings the clock up to date where somebody tells the time. */
  readonly sync: (signal?: AbortSignal) => Promise<void>;
  /** By symbol: the first minute that was not asked for or had not ended. Written here, for live to go on from. */
  readonly historyEnd: Map<string, EpochMinute>;
}

/** Rows that wait to be taken, at most: about 36 MB. While they do, nothing more is asked. */
const WAITING_ROWS = 750_000;

/** @throws BARCAST_E_NETWORK, BARCAST_E_RATE_LIMITED, BARCAST_E_SOURCE_FORMAT, BARCAST_E_DATE, BARCAST_E_INTERRUPTED */
export async function* history(
  means: HistoryMeans,
  request: HistoryRequest,
): AsyncGenerator<HistoryRows, HistoryReport> {
  const { clock, where } = means;
  await means.sync(request.signal).catch(() => {
    throw interrupted();
  });
  const earliest = earliestMinute(clock.now());
  if (request.to <= earliest) {
    throw new BarcastError(
      'BARCAST_E_DATE',
      `${where} keeps one-minute bars for 30 days only`,
      `ask for bars after ${isoOfMinute(earliest)}`,
    );
  }
  const pull = new Pull(means, request);
  try {
    yield* pull.rows();
  } finally {
    await pull.stop();
  }
  if (request.signal?.aborted) throw interrupted();
  const notes = [
    ...(request.from < earliest
      ? [`${where} keeps one-minute bars for 30 days; there are none before ${isoOfMinute(earliest)}`]
      : []),
    ...(clock.warning === undefined ? [] : [clock.warning]),
  ];
  return { ...pull.report(), notes, keptFrom: earliest };
}

const interrupted = (): BarcastError =>
  new BarcastError(
    'BARCAST_E_INTERRUPTED',
    'stopped while bars were brought in',
    'run the same command again to go on',
  );

class Pull {
  readonly #means: HistoryMeans;
  readonly #request: HistoryRequest;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #unknown = new Set<string>();
  readonly #failed = new Map<string, ChartFailure>();
  readonly #inFlight = new Set<Promise<void>>();
  readonly #ready: HistoryRows[] = [];
  /** What is asked for once more, after everything else. */
  readonly #again: [symbol: string, range: Range][] = [];
  #waitingRows = 0;
  #succeeded = 0;
  #fatal: unknown;
  #asking: Promise<void>;
  #allAsked = false;
  #wake: (() => void)[] = [];

  constructor(means: HistoryMeans, request: HistoryRequest) {
    this.#means = means;
    this.#request = request;
    this.#signal = request.signal ? AbortSignal.any([request.signal, this.#stop.signal]) : this.#stop.signal;
    this.#asking = this.#ask()
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#allAsked = true;
        this.#tellChange();
      });
  }

  /** What arrives, as it arrives; ends early on a failure that is everybody's. */
  async *rows(): AsyncGenerator<HistoryRows> {
    for (;;) {
      const next = this.#ready.shift();
      if (next !== undefined) {
        this.#waitingRows -= next.timeMs.length;
        this.#tellChange();
        yield next;
      } else if (this.#allAsked && this.#inFlight.size === 0) {
        return;
      } else await this.#change();
    }
  }

  /** Gives up what is in flight and waits for the end of it. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#tellChange();
    await this.#asking;
    await Promise.all(this.#inFlight);
  }

  /** @throws BarcastError when all failed */
  report(): HistoryReport {
    const { where } = this.#means;
    if (this.#fatal !== undefined)
      throw this.#fatal instanceof ChartFailure ? this.#fatal.toBarcastError(where) : this.#fatal;
    const [first] = this.#failed.values();
    if (this.#succeeded === 0 && first !== undefined) throw first.toBarcastError(where);
    return {
      unknown: [...this.#unknown].sort(),
      failed: [...this.#failed]
        .map(([symbol, { message }]) => ({ symbol, reason: message }))
        .sort((a, b) => (a.symbol < b.symbol ? -1 : 1)),
    };
  }

  async #ask(): Promise<void> {
    for (const [symbol, range] of this.#requests()) await this.#start(symbol, range);
    // An answer may be doubtful as long as one is under way.
    while (this.#again.length > 0 || this.#inFlight.size > 0) {
      const next = this.#again.shift();
      if (next !== undefined) await this.#start(...next, true);
      else await this.#change();
    }
  }

  /** Waits for a request's turn and starts it. */
  async #start(symbol: string, range: Range, again = false): Promise<void> {
    const { gate, concurrency } = this.#means;
    while (this.#inFlight.size >= concurrency || this.#waitingRows >= WAITING_ROWS) await this.#change();
    const permit = await gate.pass(this.#signal);
    const one = this.#bring(symbol, range, permit, again)
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#inFlight.delete(one);
        this.#tellChange();
      });
    this.#inFlight.add(one);
  }

  /** Every range of every symbol. They are reckoned when their turn comes: what is kept moves on while we ask. */
  *#requests(): Generator<[string, Range]> {
    const { symbols, from, to, spans } = this.#request;
    for (const symbol of symbols) {
      for (const span of spans?.get(symbol) ?? [{ from, to }]) {
        for (const range of rangesOf(span.from, span.to, this.#means.clock.now())) {
          if (!this.#unknown.has(symbol)) yield [symbol, range];
        }
      }
    }
  }

  async #bring(symbol: string, range: Range, permit: number, again: boolean): Promise<void> {
    const { client, gate, clock, historyEnd } = this.#means;
    const { askFrom, from, to } = range;
    try {
      const request = () => client.rows(symbol, askFrom * 60, to * 60, this.#signal);
      const rows = await gate.persist(request, this.#signal, permit);
      const end = Math.min(to, msToMinute(rows.askedAt));
      historyEnd.set(symbol, epochMinute(Math.max(end, historyEnd.get(symbol) ?? 0)));
      this.#succeeded++;
      this.#waitingRows += rows.timeMs.length;
      const answer: HistoryRows = {
        ...kept(rows, range),
        covers: { from, to },
        ...(again ? { again } : {}),
        ...(sessionsIn({ from: askFrom, to: from }).length === 0 ? { firstVolumeLost: true } : {}),
      };
      for (const span of this.#request.secondLook?.(answer) ?? [])
        for (const part of rangesOf(span.from, span.to, clock.now())) this.#again.push([symbol, part]);
      this.#ready.push(answer);
    } catch (error) {
      if (!(error instanceof ChartFailure)) throw error;
      if (error.kind === 'unknown') this.#unknown.add(symbol);
      // No connection and a rate limit are everybody's.
      else if (gate.isHopeless || error.kind === 'network' || error.kind === 'rate-limited' || !gate.answered)
        throw error;
      else if (!this.#failed.has(symbol)) this.#failed.set(symbol, error);
    }
  }

  #fail(error: unknown): void {
    if (!this.#stop.signal.aborted) this.#fatal ??= error;
    this.#stop.abort();
  }

  #tellChange(): void {
    for (const tell of this.#wake.splice(0)) tell();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }
}

/**
 * The rows from the wanted minute on. An answer's first row has a volume of 0 that says nothing: where it is wanted
 * all the same, its volume is not known.
 */
function kept(rows: RawBars, range: Range): RawBars {
  const fromMs = range.from * 60_000;
  let first = 0;
  while (first < rows.timeMs.length && rows.timeMs[first]! < fromMs) first++;
  const cut = (values: Float64Array) => values.subarray(first);
  const volume = cut(rows.volume);
  if (first === 0 && volume.length > 0 && volume[0] === 0) volume[0] = Number.NaN;
  return {
    ...rows,
    timeMs: cut(rows.timeMs),
    open: cut(rows.open),
    high: cut(rows.high),
    low: cut(rows.low),
    close: cut(rows.close),
    volume,
  };
}
