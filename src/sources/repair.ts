/**
 * Repair: asks a source again for the minutes that the store lacks though their session was answered, and for nothing
 * else. Holes are gaps (see `bars/gaps.ts`) and bars without a price. A minute in which nobody traded stays absent.
 */
import { findGaps } from '../bars/index.ts';
import { type EpochMinute, isoOfMinute, msToMinute, type Progress } from '../base/index.ts';
import { openReader } from '../store/index.ts';
import type { HistoryAnswer } from './history-outcome.ts';
import { ingestHistory } from './ingest-history.ts';
import type { HistoryRequest, HistoryRows, HistorySource, Span } from './source.ts';
import { sessionsIn } from './wanted.ts';

export interface RepairAnswer {
  /** Holes within the source's reach, and their session minutes, before and after. */
  readonly holes: number;
  readonly minutesMissing: number;
  readonly holesLeft: number;
  readonly minutesStillMissing: number;
  /** What the source was asked from on. */
  readonly askedFrom: string;
  /** What the asking brought; left out when there was nothing to ask for. */
  readonly ingest?: HistoryAnswer;
}

/** Holes of a symbol this close together are asked for in one request, which may span seven days. */
const TOGETHER_MINUTES = 6 * 1440;

/**
 * @param options.from the first minute that the source still has
 * @throws BARCAST_E_STORE_EMPTY, and what an ingest throws
 */
export async function repairGaps(options: {
  readonly source: HistorySource;
  readonly data: string;
  readonly from: EpochMinute;
  readonly symbols?: readonly string[];
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}): Promise<RepairAnswer> {
  const { source, data, from, symbols, progress, signal } = options;
  const to = msToMinute(source.clock.now());
  const before = await findHoles(data, { from, to }, symbols);
  const counted = countOf(before);
  const askedFrom = isoOfMinute(from);
  if (before.size === 0) {
    return { holes: 0, minutesMissing: 0, holesLeft: 0, minutesStillMissing: 0, askedFrom };
  }
  const ingest = await ingestHistory({
    source: only(source, before),
    symbols: [...before.keys()],
    from,
    to,
    again: new Map([...before].map(([symbol, holes]) => [symbol, together(holes)])),
    data,
    progress,
    ...(signal === undefined ? {} : { signal }),
  });
  const left = countOf(await findHoles(data, { from, to }, [...before.keys()]));
  return {
    holes: counted.holes,
    minutesMissing: counted.minutes,
    holesLeft: left.holes,
    minutesStillMissing: left.minutes,
    askedFrom,
    ingest,
  };
}

type Holes = ReadonlyMap<string, readonly Span[]>;

/** The holes of every symbol within a range, in order. What is a gap is told by the symbol's bars in that range. */
export async function findHoles(data: string, range: Span, symbols?: readonly string[]): Promise<Holes> {
  const reader = await openReader(data);
  try {
    const bars = await reader.read({ ...range, ...(symbols === undefined ? {} : { symbols }) });
    const holes = new Map<string, Span[]>();
    for (const [s, symbol] of bars.symbols.entries()) {
      const [start, end] = [bars.offsets[s]!, bars.offsets[s + 1]!];
      const own: Span[] = findGaps(bars.minute, start, end).map(({ from, to }) => ({ from, to }));
      for (let row = start; row < end; row++) {
        const minute = bars.minute[row] as EpochMinute;
        if (Number.isNaN(bars.close[row])) own.push({ from: minute, to: (minute + 1) as EpochMinute });
      }
      if (own.length > 0)
        holes.set(
          symbol,
          own.sort((a, b) => a.from - b.from),
        );
    }
    return holes;
  } finally {
    reader.close();
  }
}

function countOf(holes: Holes): { holes: number; minutes: number } {
  const all = [...holes.values()].flat();
  const minutesOf = (span: Span) =>
    sessionsIn(span).reduce((sum, { open, close }) => sum + Math.min(close, span.to) - Math.max(open, span.from), 0);
  return { holes: all.length, minutes: all.reduce((sum, span) => sum + minutesOf(span), 0) };
}

function together(holes: readonly Span[]): Span[] {
  const spans: { from: EpochMinute; to: EpochMinute }[] = [];
  for (const { from, to } of holes) {
    const last = spans.at(-1);
    if (last !== undefined && to - last.from <= TOGETHER_MINUTES) last.to = Math.max(last.to, to) as EpochMinute;
    else spans.push({ from, to });
  }
  return spans;
}

/** The source, of whose rows only those in the holes are handed on. */
function only(source: HistorySource, holes: Holes): HistorySource {
  return {
    ...source,
    async *history(request: HistoryRequest) {
      const rows = source.history(request);
      try {
        for (;;) {
          const next = await rows.next();
          if (next.done) return next.value;
          yield within(next.value, holes.get(next.value.symbol) ?? []);
        }
      } finally {
        await rows.return(undefined as never);
      }
    },
  };
}

function within(rows: HistoryRows, holes: readonly Span[]): HistoryRows {
  const wanted: number[] = [];
  for (let row = 0, hole = 0; row < rows.timeMs.length; row++) {
    const minute = rows.timeMs[row]! / 60_000;
    while (hole < holes.length && holes[hole]!.to <= minute) hole++;
    if (hole < holes.length && holes[hole]!.from <= minute) wanted.push(row);
  }
  const pick = (values: Float64Array) => Float64Array.from(wanted, (row) => values[row]!);
  return {
    ...rows,
    timeMs: pick(rows.timeMs),
    open: pick(rows.open),
    high: pick(rows.high),
    low: pick(rows.low),
    close: pick(rows.close),
    volume: pick(rows.volume),
  };
}
