/** Random markets with every kind of trouble, and a slow, obvious implementation of windows to compare with. */

import { type Bar, type MarketBars, type Session, sessionAt, sessionOf } from '../../src/bars/index.ts';
import type { DayString, EpochMinute } from '../../src/base/index.ts';
import { Random } from '../../src/base/index.ts';
import { kernelWindows, type Recipe, rangeOfWindows, type WindowSet } from '../../src/features/index.ts';

/** An ordinary day, the one before a clock change's Monday, the Monday after it, and a half-day. */
export const DAYS = ['2019-11-01', '2019-11-04', '2019-12-24', '2019-12-26'] as DayString[];
export const SESSIONS = DAYS.map((day) => sessionOf(day)!);

/**
 * Bars of some symbols over {@link SESSIONS}, sorted by symbol and minute: thin and thick symbols, gaps, null prices
 * and volumes, impossible prices, flat stretches, bars before and after the session.
 */
export function randomMarket(seed: number, symbols = 5, sessions: readonly Session[] = SESSIONS): Bar[] {
  const random = new Random(seed, 7);
  const bars: Bar[] = [];
  for (let s = 0; s < symbols; s++) {
    const symbol = `SYM${s}`;
    let price = [0.6, 3, 40, 300, 2000][s % 5] * (1 + random.uniform());
    const absent = [0, 0.02, 0.3, 0.6, 0.1][random.below(5)];
    const step = [0.002, 0.0002, 0, 0.02][random.below(4)];
    const trouble = [0, 0.004, 0.001][random.below(3)];
    for (const session of sessions) {
      let resumeAt = session.open - 5;
      for (let minute = session.open - 5; minute < session.close + 5; minute++) {
        if (random.uniform() < 0.003) resumeAt = minute + random.below(40);
        if (minute < resumeAt || random.uniform() < absent) continue;
        const open = price * (1 + step * random.normal());
        const close = open * (1 + step * random.normal());
        const high = Math.max(open, close) * (1 + step * random.uniform());
        const low = Math.min(open, close) * (1 - step * random.uniform());
        const bar = { symbol, minute: minute as EpochMinute, open, high, low, close, volume: random.below(1e6) };
        price = close;
        bars.push(random.uniform() < trouble ? { ...bar, ...damage(bar, random) } : bar);
      }
    }
  }
  return bars;
}

function damage(bar: Bar, random: Random): Partial<Bar> {
  const kinds: Partial<Bar>[] = [
    { close: Number.NaN },
    { open: Number.NaN, high: Number.NaN, low: Number.NaN, close: Number.NaN, volume: Number.NaN },
    { volume: Number.NaN },
    { volume: 0 },
    { low: bar.high, high: bar.low * 0.9 },
    { close: 0 },
    { open: -1 },
    { high: Number.POSITIVE_INFINITY },
    { volume: -5 },
    { close: bar.close * 9, high: bar.high * 9 },
  ];
  return kinds[random.below(kinds.length)];
}

/** Bars in columns; they may come in any order. */
export function columnsOf(bars: readonly Bar[]): MarketBars {
  const sorted = bars.toSorted((a, b) => (a.symbol === b.symbol ? a.minute - b.minute : a.symbol < b.symbol ? -1 : 1));
  const symbols = [...new Set(sorted.map((bar) => bar.symbol))];
  const counts = symbols.map((symbol) => sorted.filter((bar) => bar.symbol === symbol).length);
  const offsets = Int32Array.of(0, ...counts);
  for (let s = 1; s < offsets.length; s++) offsets[s] += offsets[s - 1];
  const column = (field: 'open' | 'high' | 'low' | 'close' | 'volume') =>
    Float64Array.from(sorted, (bar) => bar[field]);
  return {
    symbols,
    offsets,
    minute: Int32Array.from(sorted, (bar) => bar.minute),
    open: column('open'),
    high: column('high'),
    low: column('low'),
    close: column('close'),
    volume: column('volume'),
  };
}

/** The bars before `asOf` as they are; those at or after it changed, removed, and new ones added. */
export function perturb(bars: readonly Bar[], asOf: number, random: Random): Bar[] {
  const kept = bars.filter((bar) => bar.minute < asOf);
  const other: Bar[] = [];
  const taken = new Set<string>();
  for (const bar of bars) {
    if (bar.minute < asOf) continue;
    taken.add(`${bar.symbol}@${bar.minute}`);
    const fate = random.below(4);
    if (fate === 0) continue;
    const factor = fate === 1 ? 1 : 0.5 + random.uniform();
    const { open, high, low, close } = bar;
    other.push({
      ...bar,
      open: open * factor,
      high: high * factor,
      low: low * factor,
      close: close * factor,
      volume: random.below(1e7),
    });
  }
  for (const symbol of new Set(bars.map((bar) => bar.symbol))) {
    for (let i = 0; i < 60; i++) {
      const minute = asOf + (i < 20 ? i : random.below(2000));
      if (taken.has(`${symbol}@${minute}`)) continue;
      taken.add(`${symbol}@${minute}`);
      const close = 1e3 * random.uniform();
      other.push({
        symbol,
        minute: minute as EpochMinute,
        open: close,
        high: close * 2,
        low: close / 2,
        close,
        volume: 1e12,
      });
    }
  }
  return [...kept, ...other];
}

/** One minute as the oracle sees it; `bar` is undefined when nothing was traded. */
export interface OracleMinute {
  readonly minute: number;
  readonly bar: Bar | undefined;
  readonly price: number;
  readonly logReturn: number;
  readonly minutesSinceOpen: number;
}

export interface OracleWindow {
  readonly symbol: string;
  readonly asOf: number;
  readonly minutes: readonly OracleMinute[];
  readonly targetClose: number;
}

const sane = (bar: Bar): boolean =>
  [bar.open, bar.high, bar.low, bar.close].every((p) => Number.isFinite(p) && p > 0) &&
  bar.low <= bar.high &&
  (Number.isNaN(bar.volume) || (bar.volume >= 0 && Number.isFinite(bar.volume)));

/** Every window of the bars, one object a minute: walks each session minute by minute. */
export function oracleWindows(bars: readonly Bar[], recipe: Recipe): OracleWindow[] {
  const found: OracleWindow[] = [];
  for (const symbol of [...new Set(bars.map((bar) => bar.symbol))].sort()) {
    const own = new Map(bars.filter((bar) => bar.symbol === symbol).map((bar) => [bar.minute as number, bar]));
    const sessions = new Set([...own.keys()].map((m) => sessionAt(m as EpochMinute)).filter((s) => s !== undefined));
    for (const session of [...sessions].sort((a, b) => a.open - b.open)) {
      for (const run of oracleRuns(own, session, recipe.quiet.longestRun)) {
        run.forEach((last, i) => {
          const minutes = run.slice(i - recipe.windowLength + 1, i + 1);
          if (i < recipe.windowLength - 1 || last.bar === undefined) return;
          if (minutes.filter((m) => m.bar === undefined).length > recipe.quiet.most) return;
          const targetClose = run[i + recipe.horizonMinutes]?.price ?? Number.NaN;
          found.push({ symbol, asOf: last.minute + 1, minutes, targetClose });
        });
      }
    }
  }
  return found;
}

function oracleRuns(own: Map<number, Bar>, session: Session, longestRun: number): OracleMinute[][] {
  const runs: OracleMinute[][] = [];
  let run: OracleMinute[] = [];
  let quiet: OracleMinute[] = [];
  const end = () => {
    if (run.length > 0) runs.push(run);
    run = [];
    quiet = [];
  };
  for (let minute: number = session.open; minute < session.close; minute++) {
    const bar = own.get(minute);
    const minutesSinceOpen = minute - session.open;
    if (bar !== undefined && !sane(bar)) end();
    else if (bar !== undefined) {
      const before = run.at(-1)?.price ?? bar.open;
      run.push(...quiet, { minute, bar, price: bar.close, logReturn: Math.log(bar.close / before), minutesSinceOpen });
      quiet = [];
    } else if (run.length > 0) {
      quiet.push({ minute, bar, price: run.at(-1)!.price, logReturn: 0, minutesSinceOpen });
      if (quiet.length > longestRun) end();
    }
  }
  end();
  return runs;
}

/** Everything of window w that a forecast depends on, as text that differs when a bit does. */
export function bitsOf(windows: WindowSet, w: number, windowLength: number): string {
  const { columns } = windows.scaling;
  const rows = windows.matrix.slice(windows.starts[w] * columns, (windows.starts[w] + windowLength) * columns);
  const { shift, gain } = kernelWindows(rangeOfWindows(windows, w, w + 1));
  const scales = [shift.slice(), gain.slice()];
  const others = Float64Array.of(windows.lastClose[w], windows.volatility[w]);
  return [rows, ...scales, others].map((part) => Buffer.from(part.buffer).toString('base64')).join(' ');
}

/** `[B, T * F]` what a kernel sees of each window. */
export function inputsOf(windows: WindowSet, { windowLength: T, features }: Recipe): Float64Array[] {
  const { matrix, starts, shift, gain, scaleStride, columns = features.length } = kernelWindows(windows);
  return Array.from(starts, (start, i) =>
    Float64Array.from({ length: T * features.length }, (_, k) => {
      const f = k % features.length;
      const t = (k - f) / features.length;
      const value = f < columns ? matrix[(start + t) * columns + f] : 1;
      return (value - shift[i * scaleStride + f]) * gain[i * scaleStride + f];
    }),
  );
}

/** `symbol@asOf` of every window, in order. */
export const keysOf = (windows: WindowSet): string[] =>
  Array.from(windows.asOf, (asOf, w) => `${windows.symbols[windows.symbol[w]]}@${asOf}`);
