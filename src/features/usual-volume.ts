/**
 * What volume is usual: by minute of the session for all symbols together, and a level for each symbol. What a minute's
 * volume has beyond it is a surprise; without this the open's rush and the close's would count as one.
 *
 *     ln(1 + volume) = profile(minute of the session) + level(symbol) + surprise
 *
 * Fitted on the training part alone. Levels move from day to day: `persistence` is the share of a window's mean surprise
 * that is its day's own, and is taken off before the window is looked at.
 */
import { type MarketBars, sessionAt } from '../bars/index.ts';
import type { EpochMinute } from '../base/index.ts';
import type { FittedScaler } from './recipe.ts';
import { isUsable, logVolumeOf, SESSION_MINUTES, sharesOf } from './rows.ts';

/** A symbol without a level has this one, so far from all others that its windows are known by it. */
const NO_LEVEL = -64;
/** A window's mean surprise beyond this says that the level is no longer right, or that there is none. */
const MOST_SURPRISE = 3;
/** Rounds of alternating means of profile and levels; on gapless bars one is exact. */
const ROUNDS = 3;
/** Minutes to either side that the profile's means are taken over, and what a symbol's level needs. */
const SMOOTHED = 2;
const LEAST_BARS = 60;
/** Hours of a session, the last one half, and the bars that an hour's mean needs. */
const HOUR_MINUTES = 60;
const HOURS = Math.ceil(SESSION_MINUTES / HOUR_MINUTES);
const LEAST_OF_HOUR = HOUR_MINUTES / 4;

/** Levels and profile are multiples of 2^-16, as log volumes are, so that sums over rows are exact. */
const rounded = (x: number): number => Math.round(x * 65536) / 65536;

export interface UsualVolume {
  /** ln(1 + volume) that is usual for a symbol in a minute of the session. */
  of(symbol: string): (minuteOfSession: number) => number;
}

const decoded = new WeakMap<FittedScaler, UsualVolume>();

/** The usual volume that a scaler holds; undefined when it was fitted without one. */
export function usualVolumeOf(scaler: FittedScaler): UsualVolume | undefined {
  const known = decoded.get(scaler);
  if (known) return known;
  const { volumeProfile, volumeLevels, symbols } = scaler;
  if (!Array.isArray(volumeProfile) || !Array.isArray(volumeLevels)) return undefined;
  const profile = volumeProfile as readonly number[];
  const levels = new Map((symbols as readonly string[]).map((symbol, i) => [symbol, volumeLevels[i] as number]));
  const usual: UsualVolume = {
    of(symbol) {
      const level = levels.get(symbol) ?? NO_LEVEL;
      return (minute) => profile[Math.min(minute, profile.length - 1)] + level;
    },
  };
  decoded.set(scaler, usual);
  return usual;
}

/** The share of a window's mean surprise that is its day's own; 1 where no usual volume was fitted. */
export const volumePersistenceOf = ({ volumePersistence }: FittedScaler): number =>
  typeof volumePersistence === 'number' ? volumePersistence : 1;

/** The root mean square of a minute's surprise; 1 where no usual volume was fitted. */
export const volumeDeviationOf = ({ volumeDeviation }: FittedScaler): number =>
  typeof volumeDeviation === 'number' ? volumeDeviation : 1;

/** What is to be taken off the surprises of a window whose mean is `mean`. */
export const surpriseShift = (mean: number, persistence: number): number =>
  Math.abs(mean) < MOST_SURPRISE ? persistence * mean : mean;

/** Fits it on the bars with `minute < before`, with a level for each of `symbols`, which are some of the bars'. */
export function fitUsualVolume(bars: MarketBars, before: number, symbols: readonly string[]): FittedScaler {
  const indices = new Map(bars.symbols.map((symbol, s) => [symbol, s]));
  const own = symbols.map((symbol) => indices.get(symbol)!);
  const traded = new TradedVolumes(bars, before);
  const totals = own.map((symbol) => totalsOf(traded, symbol));
  const levels = new Float64Array(symbols.length);
  let profile: Float64Array = new Float64Array(SESSION_MINUTES);
  for (let round = 0; round < ROUNDS; round++) {
    const sums = new Float64Array(SESSION_MINUTES);
    const counts = new Float64Array(SESSION_MINUTES);
    totals.forEach((total, s) => {
      let sum = 0;
      for (let m = 0; m < SESSION_MINUTES; m++) sum += total.sums[m] - total.counts[m] * profile[m];
      levels[s] = total.count < LEAST_BARS ? NO_LEVEL : sum / total.count;
      if (total.count < LEAST_BARS) return;
      for (let m = 0; m < SESSION_MINUTES; m++) {
        sums[m] += total.sums[m] - total.counts[m] * levels[s];
        counts[m] += total.counts[m];
      }
    });
    profile = smoothed(sums, counts);
  }
  return {
    volumeProfile: Array.from(profile, rounded),
    volumeLevels: Array.from(levels, rounded),
    volumePersistence: persistenceOf(traded, own, profile, levels),
    volumeDeviation: deviationOf(traded, own, profile, levels),
  };
}

/** Minutes with volume before one, symbol by symbol in order of time. */
class TradedVolumes {
  /** `[symbols + 1]` where those of each symbol begin. */
  readonly offsets: Int32Array;
  /** The open of the session that each lies in, and the minute of it. */
  readonly opens: Int32Array;
  readonly places: Uint16Array;
  /** ln(1 + volume) */
  readonly volumes: Float32Array;

  constructor({ minute, open, high, low, close, volume, offsets, symbols }: MarketBars, before: number) {
    this.offsets = new Int32Array(symbols.length + 1);
    this.opens = new Int32Array(minute.length);
    this.places = new Uint16Array(minute.length);
    this.volumes = new Float32Array(minute.length);
    let count = 0;
    for (let s = 0; s < symbols.length; s++) {
      let sessionOpen = 0;
      let sessionClose = 0;
      for (let bar = offsets[s]; bar < offsets[s + 1] && minute[bar] < before; bar++) {
        const now = minute[bar];
        if (now < sessionOpen || now >= sessionClose) {
          const session = sessionAt(now as EpochMinute);
          if (session === undefined) continue;
          sessionOpen = session.open;
          sessionClose = session.close;
        }
        if (!(volume[bar] > 0) || !isUsable(open[bar], high[bar], low[bar], close[bar], volume[bar])) continue;
        this.opens[count] = sessionOpen;
        this.places[count] = now - sessionOpen;
        this.volumes[count++] = logVolumeOf(sharesOf(volume[bar]));
      }
      this.offsets[s + 1] = count;
    }
  }
}

/** A symbol's volumes by minute of the session: how many, and their sums, which are exact. */
function totalsOf({ offsets, places, volumes }: TradedVolumes, symbol: number) {
  const counts = new Float64Array(SESSION_MINUTES);
  const sums = new Float64Array(SESSION_MINUTES);
  for (let i = offsets[symbol]; i < offsets[symbol + 1]; i++) {
    counts[places[i]]++;
    sums[places[i]] += volumes[i];
  }
  return { count: offsets[symbol + 1] - offsets[symbol], counts, sums };
}

/** Means over a few minutes to either side; a minute without any bar around has the one before it. */
function smoothed(sums: Float64Array, counts: Float64Array): Float64Array {
  const out = new Float64Array(sums.length);
  for (let m = 0; m < out.length; m++) {
    // Around the ends as many minutes on one side as on the other: the profile is steep there.
    const reach = Math.min(SMOOTHED, m, out.length - 1 - m);
    let sum = 0;
    let count = 0;
    for (let i = m - reach; i <= m + reach; i++) {
      sum += sums[i];
      count += counts[i];
    }
    out[m] = count > 0 ? sum / count : m > 0 ? out[m - 1] : 0;
  }
  return out;
}

/** Root mean square of the surprises. */
function deviationOf(
  { offsets, places, volumes }: TradedVolumes,
  own: readonly number[],
  profile: Float64Array,
  levels: Float64Array,
): number {
  let squares = 0;
  let count = 0;
  own.forEach((symbol, s) => {
    if (levels[s] === NO_LEVEL) return;
    for (let i = offsets[symbol]; i < offsets[symbol + 1]; i++) {
      const surprise = volumes[i] - profile[places[i]] - levels[s];
      squares += surprise * surprise;
    }
    count += offsets[symbol + 1] - offsets[symbol];
  });
  return count > 0 ? Math.sqrt(squares / count) : 1;
}

/**
 * The share of a window's mean surprise that belongs to its day: the variance of the days' means over that of the means
 * of an hour within days (a one-way analysis of variance).
 * @param own the symbols that have the levels
 */
function persistenceOf(
  { offsets, opens, places, volumes }: TradedVolumes,
  own: readonly number[],
  profile: Float64Array,
  levels: Float64Array,
): number {
  let within = 0;
  let withinCount = 0;
  let between = 0;
  let days = 0;
  const sums = new Float64Array(HOURS);
  const counts = new Float64Array(HOURS);
  const useDay = () => {
    let hours = 0;
    let sum = 0;
    let squares = 0;
    for (let h = 0; h < HOURS; h++) {
      if (counts[h] < LEAST_OF_HOUR) continue;
      const mean = sums[h] / counts[h];
      hours++;
      sum += mean;
      squares += mean * mean;
    }
    sums.fill(0);
    counts.fill(0);
    if (hours < 2) return;
    const mean = sum / hours;
    const square = Math.max(0, squares - hours * mean * mean);
    within += square;
    withinCount += hours - 1;
    between += mean * mean - square / (hours - 1) / hours;
    days++;
  };
  own.forEach((symbol, s) => {
    if (levels[s] === NO_LEVEL) return;
    for (let i = offsets[symbol]; i < offsets[symbol + 1]; i++) {
      if (i > offsets[symbol] && opens[i] !== opens[i - 1]) useDay();
      const hour = Math.floor(places[i] / HOUR_MINUTES);
      sums[hour] += volumes[i] - profile[places[i]] - levels[s];
      counts[hour]++;
    }
    useDay();
  });
  if (days === 0) return 1;
  const ofDays = Math.max(0, between / days);
  const ofHours = within / withinCount;
  return ofDays + ofHours > 0 ? ofDays / (ofDays + ofHours) : 1;
}
