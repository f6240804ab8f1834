/**
 * Whether a model still does what it did: five monitors over its scored forecasts.
 *
 * | monitor | watches | test | alarm |
 * | --- | --- | --- | --- |
 * | `skill` | scaled skill against persistence | self-starting CUSUM, downwards | sum above 5 |
 * | `coverage` | share of closes inside the interval, beside its level | CUSUM around the level, both ways | sum above 5 |
 * | `inputs` | last one-minute return over the volatility to the horizon | population stability index | above 0.25 |
 * | `range` | last minute's range as a share of itself and that volatility, beside the same time of day before | CUSUM, both ways | sum above 5 |
 * | `volume` | last minute's volume as a share of itself and the symbol's running mean, beside the same | the same | sum above 5 |
 *
 * Forecasts are gathered by whole quarters of an hour until a sample holds 300 of them: overlapping horizons and the
 * market's common moves make single minutes anything but independent. A quarter is closed ten minutes after its last
 * horizon in market time, so that its forecasts are scored and every server closes it at the same bar; what is scored later counts
 * for the scores, not for the monitors. An alarm ends when its sum has fallen to half the bound (the index: when it is
 * back below it); while it lasts, its samples do not become the usual.
 */
import { sessionAt } from '../bars/index.ts';
import { epochMinute, isoOfMinute } from '../base/index.ts';
import { addSample, CUSUM_BOUND, CUSUM_LEARNS, type Cusum, emptyCusum, isCusum, populationStability } from './cusum.ts';
import {
  addForecast,
  addGathered,
  BINS,
  emptyGathered,
  type Gathered,
  isGathered,
  isHistogram,
  type LastMinute,
  SHARES,
  sharesOf,
  sumOf,
} from './drift-sample.ts';
import { exactValue } from './exact-sum.ts';
import { type Outcome, skillOf } from './tally.ts';

export type MonitorName = 'skill' | 'coverage' | 'inputs' | 'range' | 'volume';

export interface Monitor {
  readonly name: MonitorName;
  readonly test: 'CUSUM' | 'PSI';
  readonly state: 'learning' | 'in bounds' | 'alarm';
  /** The newest sample: a skill, a share, an index. null before the first. */
  readonly value: number | null;
  /** What is usual: the mean of the samples before, or the interval's level. null while it is learnt. */
  readonly usual: number | null;
  readonly statistic: number;
  readonly bound: number;
  /** End of the sample that raised the alarm, ISO 8601 UTC. */
  readonly since: string | null;
}

export interface DriftReport {
  readonly alarm: boolean;
  /** Samples taken so far. */
  readonly samples: number;
  readonly monitors: readonly Monitor[];
}

export const BLOCK_MINUTES = 15;
export const LEAST_SAMPLE = 300;
/** Minutes that a quarter waits for its forecasts, after its last horizon. */
export const CLOSED_AFTER_MINUTES = 10;
const STABILITY_BOUND = 0.25;
/** Values that the reference of the index holds before it judges. */
const STABILITY_LEARNS = 2000;
/** Differences in skill and coverage below about a fiftieth are of no consequence. */
const LEAST_DEVIATION = 0.02;
interface MonitorState {
  value: number | null;
  /** EpochMinute of the end of the sample that raised the alarm. */
  since: number | null;
}

interface DriftState {
  /** Quarters that are still open, by their number since the epoch. */
  open: Record<string, Gathered>;
  /** Quarters up to this one are closed. */
  closed: number;
  sample: Gathered;
  samples: number;
  skill: Cusum & MonitorState;
  coverage: Cusum & MonitorState;
  inputs: MonitorState & { reference: number[]; index: number };
  range: ShareState;
  volume: ShareState;
}

/** The CUSUM is of differences from the same time of day before: volume and range have a daily course. */
interface ShareState extends Cusum, MonitorState {
  /** Of the time of day of the newest sample. */
  usual: number | null;
  /** By quarters since the open. */
  quarters: Record<string, { count: number; mean: number }>;
}

/** Sessions whose quarter at the same time of day is known before one is judged. */
const SESSIONS_LEARNT = 2;
/** What a quarter differs from the same one of other days by, on an ordinary day. */
const LEAST_SHARE_DEVIATION = { range: 0.03, volume: 0.05 } as const;

const emptyState = (): DriftState => ({
  open: {},
  closed: 0,
  sample: emptyGathered(),
  samples: 0,
  skill: { ...emptyCusum(), value: null, since: null },
  coverage: { ...emptyCusum(), value: null, since: null },
  inputs: { value: null, since: null, reference: new Array(BINS).fill(0), index: 0 },
  range: { ...emptyCusum(), value: null, since: null, usual: null, quarters: {} },
  volume: { ...emptyCusum(), value: null, since: null, usual: null, quarters: {} },
});

export class DriftMonitor {
  readonly #level: number;
  readonly #horizonMinutes: number;
  #state = emptyState();

  /** @param model its interval's level and its horizon */
  constructor(model: { readonly level: number; readonly horizonMinutes: number }) {
    this.#level = model.level;
    this.#horizonMinutes = model.horizonMinutes;
  }

  /**
   * @param asOf EpochMinute of the forecast
   * @param last the minute before it
   */
  add(asOf: number, outcome: Outcome, last: LastMinute): void {
    const block = Math.floor((asOf - 1) / BLOCK_MINUTES);
    if (block <= this.#state.closed || !(outcome.volatility > 0)) return;
    addForecast((this.#state.open[block] ??= emptyGathered()), outcome, last);
  }

  /** Closes the quarters that are over at a minute that bars and forecasts have both reached. @returns whether an alarm began or ended */
  advance(minute: number): boolean {
    const state = this.#state;
    const wait = this.#horizonMinutes + CLOSED_AFTER_MINUTES;
    const due = Object.keys(state.open)
      .map(Number)
      .filter((block) => (block + 1) * BLOCK_MINUTES + wait <= minute)
      .sort((a, b) => a - b);
    let changed = false;
    for (const block of due) {
      const gathered = state.open[block];
      delete state.open[block];
      state.closed = block;
      addGathered(state.sample, gathered);
      if (state.sample.forecasts < LEAST_SAMPLE) continue;
      changed = this.#judge(state.sample, (block + 1) * BLOCK_MINUTES) || changed;
      state.sample = emptyGathered();
    }
    return changed;
  }

  report(): DriftReport {
    const { skill, coverage, inputs, samples } = this.#state;
    const learnt = (cusum: Cusum) => cusum.count >= CUSUM_LEARNS;
    const monitor = (
      name: MonitorName,
      test: Monitor['test'],
      { value, since }: MonitorState,
      rest: { usual: number | null; statistic: number; bound: number; learnt: boolean },
    ): Monitor => ({
      name,
      test,
      state: since !== null ? 'alarm' : rest.learnt ? 'in bounds' : 'learning',
      value,
      usual: rest.usual,
      statistic: rest.statistic,
      bound: rest.bound,
      since: since === null ? null : isoOfMinute(epochMinute(since)),
    });
    const monitors = [
      monitor('skill', 'CUSUM', skill, {
        usual: learnt(skill) ? skill.mean : null,
        statistic: skill.below,
        bound: CUSUM_BOUND,
        learnt: learnt(skill),
      }),
      monitor('coverage', 'CUSUM', coverage, {
        usual: this.#level,
        statistic: Math.max(coverage.above, coverage.below),
        bound: CUSUM_BOUND,
        learnt: learnt(coverage),
      }),
      monitor('inputs', 'PSI', inputs, {
        usual: null,
        statistic: inputs.index,
        bound: STABILITY_BOUND,
        learnt: sumOf(inputs.reference) >= STABILITY_LEARNS,
      }),
      ...SHARES.map((name) => {
        const state = this.#state[name];
        const statistic = Math.max(state.above, state.below);
        const { usual } = state;
        return monitor(name, 'CUSUM', state, { usual, statistic, bound: CUSUM_BOUND, learnt: learnt(state) });
      }),
    ];
    return { alarm: monitors.some(({ state }) => state === 'alarm'), samples, monitors };
  }

  /** JSON; not shared with what goes on. */
  snapshot(): object {
    return structuredClone(this.#state);
  }

  /** @returns false, and changes nothing, for something that is no snapshot */
  restore(snapshot: unknown): boolean {
    const given = snapshot as DriftState | null | undefined;
    if (typeof given !== 'object' || given === null) return false;
    // One that was written before range and volume were watched begins to learn them.
    const state = { ...sharesOf(emptyState()), ...structuredClone(given) };
    const { skill, coverage, inputs, range, volume, open, closed, samples } = state;
    if (![skill, coverage].every(isCusum) || ![range, volume].every(isShareState)) return false;
    if (![closed, samples].every(Number.isFinite)) return false;
    if (!isHistogram(inputs?.reference) || typeof open !== 'object' || open === null) return false;
    state.sample = { ...sharesOf(emptyGathered()), ...state.sample };
    for (const [block, gathered] of Object.entries(open)) open[block] = { ...sharesOf(emptyGathered()), ...gathered };
    if (![state.sample, ...Object.values(open)].every(isGathered)) return false;
    this.#state = state;
    return true;
  }

  /** @param end EpochMinute of the sample's end */
  #judge(sample: Gathered, end: number): boolean {
    const { skill, coverage, inputs, range, volume } = this.#state;
    const alarms = () => [skill, coverage, inputs, range, volume].map(({ since }) => since !== null).join();
    const before = alarms();
    this.#state.samples++;

    const value = skillOf(sample.error, sample.persistence);
    if (value !== null) {
      skill.value = value;
      // One wild quarter of an hour is not a change: the sample is bounded.
      addSample(skill, Math.max(-1, value), skill.since === null, { leastDeviation: LEAST_DEVIATION });
      turn(skill, skill.below > CUSUM_BOUND, skill.below <= CUSUM_BOUND / 2, end);
    }

    coverage.value = sample.covered / sample.forecasts;
    addSample(coverage, coverage.value, coverage.since === null, {
      target: this.#level,
      leastDeviation: LEAST_DEVIATION,
    });
    const most = Math.max(coverage.above, coverage.below);
    turn(coverage, most > CUSUM_BOUND, most <= CUSUM_BOUND / 2, end);

    const values = sumOf(sample.inputs);
    if (values >= LEAST_SAMPLE / 2) {
      if (sumOf(inputs.reference) >= STABILITY_LEARNS) {
        inputs.value = inputs.index = populationStability(sample.inputs, inputs.reference);
        turn(inputs, inputs.index > STABILITY_BOUND, inputs.index <= STABILITY_BOUND, end);
      }
      if (inputs.since === null) for (let i = 0; i < BINS; i++) inputs.reference[i] += sample.inputs[i];
    }

    for (const name of SHARES) {
      const { count, sum } = sample[name];
      if (count >= LEAST_SAMPLE / 2)
        judgeShare(this.#state[name], exactValue(sum) / count, end, LEAST_SHARE_DEVIATION[name]);
    }
    return alarms() !== before;
  }
}

function judgeShare(state: ShareState, value: number, end: number, leastDeviation: number): void {
  const open = sessionAt(epochMinute(end - 1))?.open ?? end;
  const quarter = (state.quarters[Math.ceil((end - open) / BLOCK_MINUTES)] ??= { count: 0, mean: 0 });
  state.value = value;
  state.usual = quarter.count >= SESSIONS_LEARNT ? quarter.mean : null;
  if (state.usual !== null) {
    addSample(state, value - state.usual, state.since === null, { target: 0, leastDeviation });
    const most = Math.max(state.above, state.below);
    turn(state, most > CUSUM_BOUND, most <= CUSUM_BOUND / 2, end);
  }
  if (state.since !== null) return;
  quarter.count++;
  quarter.mean += (value - quarter.mean) / quarter.count;
}

function turn(state: MonitorState, on: boolean, off: boolean, end: number): void {
  if (state.since === null && on) state.since = end;
  else if (state.since !== null && off) state.since = null;
}

const isShareState = (value: unknown): value is ShareState => {
  const quarters = isCusum(value) ? Object.values((value as ShareState).quarters ?? { missing: {} }) : undefined;
  return quarters?.every((it) => Number.isFinite(it?.count) && Number.isFinite(it?.mean)) ?? false;
};
