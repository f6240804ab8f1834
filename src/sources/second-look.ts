/**
 * The second look: which minutes of an answer may be missing by mistake, and are asked for once more before the answer
 * counts as whole.
 *
 * In sessions that had ended these are: a bar without a price, one whose volume is not known, and a run of k absent
 * minutes with (1 - p)^k < 1e-4, p being the share of the answer's minutes that have a bar. That is a looser rule than
 * the one for gaps (`bars/gaps.ts`), since a false alarm costs a part of one request: all that is doubtful in one answer
 * is asked for in one request. What that brings is taken for the doubtful minutes alone. It is asked a third time only
 * when the second look brought something and something is missing still: a source that always lacks a minute is asked
 * for it twice, and never again, since the sessions are noted as answered after the last look.
 */

import { type DayString, type EpochMinute, epochMinute, msToMinute } from '../base/index.ts';
import type { HistoryRows, Span } from './source.ts';
import { sessionsIn } from './wanted.ts';

const SURPRISING = 1e-4;
const MOST_LOOKS = 2;

/** What one answer made doubtful. */
interface Doubt {
  readonly days: readonly DayString[];
  readonly minutes: Set<number>;
  looks: number;
  settled: boolean;
}

export class SecondLooks {
  readonly #doubts = new Map<string, Doubt[]>();
  /** What of an answer to a second look is to be taken, and whose it is. */
  readonly #answers = new WeakMap<HistoryRows, { readonly minutes: ReadonlySet<number>; readonly doubt: Doubt }>();
  /** Requests of second looks, and the bars that they brought. */
  asked = 0;
  filled = 0;

  /** What of an answer to ask for once more; see {@link HistoryRequest.secondLook}. */
  readonly judge = (rows: HistoryRows): readonly Span[] =>
    rows.again ? this.#judgeLook(rows) : this.#judgeFirst(rows);

  /** Whether something of a symbol's session is still to be looked at again. */
  isOpen(symbol: string, day: DayString): boolean {
    return this.#doubts.get(symbol)?.some((doubt) => !doubt.settled && doubt.days.includes(day)) ?? false;
  }

  /** The rows of a second look that are to be taken. */
  taken(rows: HistoryRows): HistoryRows {
    const minutes = this.#answers.get(rows)?.minutes;
    const wanted = [...rows.timeMs.keys()].filter(
      (row) => minutes?.has(rows.timeMs[row]! / 60_000) && isWhole(rows, row),
    );
    const pick = (values: Float64Array) => Float64Array.from(wanted, (row) => values[row]!);
    const { timeMs, open, high, low, close, volume } = rows;
    return {
      ...rows,
      timeMs: pick(timeMs),
      open: pick(open),
      high: pick(high),
      low: pick(low),
      close: pick(close),
      volume: pick(volume),
    };
  }

  /** Notes that an answer to a second look was taken. Returns the sessions that no doubt is left about by that. */
  settle(rows: HistoryRows): DayString[] {
    const doubt = this.#answers.get(rows)?.doubt;
    if (doubt === undefined || !doubt.settled) return [];
    return doubt.days.filter((day) => !this.isOpen(rows.symbol, day));
  }

  #judgeFirst(rows: HistoryRows): Span[] {
    const minutes = doubtfulMinutes(rows);
    if (minutes.length === 0) return [];
    const span = spanOf(minutes);
    const days = sessionsIn(span).map(({ day }) => day);
    const doubts = this.#doubts.get(rows.symbol) ?? [];
    doubts.push({ days, minutes: new Set(minutes), looks: 1, settled: false });
    this.#doubts.set(rows.symbol, doubts);
    this.asked++;
    return [span];
  }

  #judgeLook(rows: HistoryRows): Span[] {
    const { from, to } = rows.covers!;
    const doubt = this.#doubts
      .get(rows.symbol)
      ?.find(({ settled, minutes }) => !settled && [...minutes].some((minute) => minute >= from && minute < to));
    if (doubt === undefined) return [];
    const minutes = new Set(doubt.minutes);
    this.#answers.set(rows, { minutes, doubt });
    const before = minutes.size;
    for (let row = 0; row < rows.timeMs.length; row++)
      if (isWhole(rows, row)) doubt.minutes.delete(rows.timeMs[row]! / 60_000);
    const filled = before - doubt.minutes.size;
    this.filled += filled;
    if (filled > 0 && doubt.minutes.size > 0 && doubt.looks < MOST_LOOKS) {
      doubt.looks++;
      this.asked++;
      return [spanOf([...doubt.minutes])];
    }
    doubt.settled = true;
    return [];
  }
}

const isWhole = ({ close, volume }: HistoryRows, row: number): boolean =>
  !Number.isNaN(close[row]) && !Number.isNaN(volume[row]);

const spanOf = (minutes: readonly number[]): Span => {
  let [first, last] = [minutes[0]!, minutes[0]!];
  for (const minute of minutes) {
    first = Math.min(first, minute);
    last = Math.max(last, minute);
  }
  return { from: epochMinute(first), to: epochMinute(last + 1) };
};

/** The minutes of ended sessions that may be missing by mistake. */
export function doubtfulMinutes(rows: HistoryRows): number[] {
  const { covers, timeMs, close, firstVolumeLost } = rows;
  if (covers === undefined) return [];
  const known = new Map<number, boolean>();
  for (let row = 0; row < timeMs.length; row++) {
    // Of two rows for a minute the later one counts, as in the store.
    const lost = row === 0 && firstVolumeLost === true;
    if (!Number.isNaN(close[row])) known.set(timeMs[row]! / 60_000, lost || isWhole(rows, row));
    else if (!known.has(timeMs[row]! / 60_000)) known.set(timeMs[row]! / 60_000, false);
  }
  const minutes: EpochMinute[] = [];
  for (const { open, close: end } of sessionsIn(covers)) {
    if (end > msToMinute(rows.askedAt)) continue;
    for (let m = Math.max(open, covers.from); m < Math.min(end, covers.to); m++) minutes.push(epochMinute(m));
  }
  const traded = minutes.filter((minute) => known.has(minute)).length;
  if (traded === 0) return [];
  const rare = Math.log(SURPRISING) / Math.log(1 - traded / minutes.length);
  const doubtful: number[] = [];
  let run: number[] = [];
  const endRun = () => {
    if (run.length > 0 && run.length >= rare) doubtful.push(...run);
    run = [];
  };
  for (const minute of minutes) {
    const whole = known.get(minute);
    if (whole === undefined) run.push(minute);
    else {
      endRun();
      if (!whole) doubtful.push(minute);
    }
  }
  endRun();
  return doubtful;
}
