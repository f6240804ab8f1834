/**
 * A search for a better setting: random draws, thinned out by successive halving (Jamieson & Talwalkar 2016): all
 * settings are tried on a part of the training windows, the best third of them on three times as many, and so on.
 * Every result is a line of a JSON-lines file; the same search takes up where the file ends.
 */
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { BarcastError, type Progress, Random } from '../base/index.ts';
import type { Kernel } from '../kernel/index.ts';
import { runTrial, type TrialScore, type TuneParts, type TuneSetting } from './tune-trial.ts';

/** What a trial may be set to; a setting draws one of each. */
export const TUNE_SPACE = {
  lstm: [[16], [24], [32], [48], [64], [32, 16]],
  dense: [8, 16, 32, 64],
  dropout: [0, 0.1, 0.2, 0.3],
  learningRate: [2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3],
  batch: [128, 256, 512, 1024],
  epochs: [1, 2, 3, 5],
  weightDecay: [0, 1e-3, 1e-2, 0.1],
} as const;

/** One line of the results. */
export interface TuneResult extends TrialScore {
  /** Names bars, recipe, kernel and seed: lines of another search are not taken up. */
  readonly search: string;
  readonly trial: number;
  /** Share of the training windows it was trained on. */
  readonly share: number;
  readonly setting: TuneSetting;
}

export interface TuneOptions {
  readonly parts: TuneParts;
  readonly kernel: Kernel;
  /** Settings drawn. Trial 0 is the recipe as it is. */
  readonly trials: number;
  readonly seed: number;
  /** The results file. */
  readonly file: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

const KEPT = 3;

/** Shares of the training windows: 1 last, as many as there are thirds to take of the trials, three at most. */
export function sharesOf(trials: number): number[] {
  const rungs = Math.min(3, 1 + Math.floor(Math.log(trials) / Math.log(KEPT)));
  return Array.from({ length: rungs }, (_, i) => KEPT ** (i + 1 - rungs));
}

/** The settings of a search: the recipe's own first, then draws; the same seed gives the same ones. */
export function drawSettings(own: TuneSetting, trials: number, seed: number): TuneSetting[] {
  return Array.from({ length: trials }, (_, trial) => {
    if (trial === 0) return own;
    const random = new Random(seed, 0x7475_0000 + trial);
    const pick = <T>(choices: readonly T[]): T => choices[random.below(choices.length)];
    return {
      lstm: pick<readonly number[]>(TUNE_SPACE.lstm),
      dense: pick(TUNE_SPACE.dense),
      dropout: pick(TUNE_SPACE.dropout),
      learningRate: pick(TUNE_SPACE.learningRate),
      batch: pick(TUNE_SPACE.batch),
      epochs: pick(TUNE_SPACE.epochs),
      weightDecay: pick(TUNE_SPACE.weightDecay),
    };
  });
}

/** The recipe's own setting. */
export function settingOf({ recipe }: TuneParts): TuneSetting {
  const { network, training } = recipe;
  return {
    lstm: network.lstm,
    dense: network.dense[0].units,
    dropout: network.dropout,
    learningRate: training.optimizer.learningRate,
    batch: training.batch,
    epochs: training.epochs,
    weightDecay: training.optimizer.weightDecay,
  };
}

/**
 * Runs a search, or what is left of it. Ranking is by scaled skill on the scoring part; a setting that diverges ranks
 * last.
 * @returns the results of the last, whole rung, the best first
 * @throws BARCAST_E_INTERRUPTED, BARCAST_E_CHECKPOINT for a damaged file
 */
export async function tune(options: TuneOptions): Promise<TuneResult[]> {
  const { parts, kernel, trials, seed, file, progress, signal } = options;
  const search = searchName(options);
  const known = readResults(file).filter((result) => result.search === search);
  const settings = drawSettings(settingOf(parts), trials, seed);
  let running = Array.from({ length: trials }, (_, trial) => trial);
  let results: TuneResult[] = [];
  for (const share of sharesOf(trials)) {
    results = [];
    for (const trial of running) {
      let result = known.find((line) => line.trial === trial && line.share === share);
      if (result === undefined) {
        const score = await scoreOf(parts, settings[trial], { kernel, seed, share, progress, signal });
        result = { search, trial, share, setting: settings[trial], ...score };
        appendFileSync(file, `${JSON.stringify(result)}\n`);
      }
      results.push(result);
      const skill = `${(100 * result.skillScaled).toFixed(2)}%`;
      progress.say(
        `trial ${trial} on ${(100 * share).toFixed(0)}% of the windows: scaled skill ${skill}, ${JSON.stringify(result.setting)}`,
      );
    }
    results.sort((a, b) => b.skillScaled - a.skillScaled || a.trial - b.trial);
    running = results.slice(0, Math.ceil(results.length / KEPT)).map(({ trial }) => trial);
  }
  return results;
}

const DIVERGED: TrialScore = {
  skillScaled: -1,
  skill: -1,
  informationCoefficient: 0,
  coverage80: 0,
  coverageByHour: [],
  skillOfCalibration: -1,
  bestEpoch: 0,
  windows: 0,
  seconds: 0,
};

async function scoreOf(...[parts, setting, options]: Parameters<typeof runTrial>): Promise<TrialScore> {
  try {
    return await runTrial(parts, setting, options);
  } catch (error) {
    if (error instanceof BarcastError && error.code === 'BARCAST_E_DIVERGED') return DIVERGED;
    throw error;
  }
}

function searchName({ parts, kernel, seed }: TuneOptions): string {
  const { recipe, windows, training, calibration, scoring } = parts;
  const hash = createHash('sha256');
  hash.update(JSON.stringify([recipe.name, recipe.version, recipe.network, recipe.training, kernel.name, seed]));
  hash.update(JSON.stringify([training.length, calibration.asOf.length, scoring.asOf.length]));
  for (const array of [windows.matrix, windows.starts, windows.scaling.gain, windows.scales]) {
    hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  }
  return hash.digest('hex').slice(0, 12);
}

/** The lines of a results file; a last line that was cut off by a crash is taken away. @throws BARCAST_E_CHECKPOINT */
export function readResults(file: string): TuneResult[] {
  if (!existsSync(file)) return [];
  const text = readFileSync(file, 'utf8');
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  if (whole.length < text.length) writeFileSync(file, whole);
  return whole
    .split('\n')
    .filter((line) => line !== '')
    .map((line, i) => {
      try {
        return JSON.parse(line) as TuneResult;
      } catch (error) {
        throw new BarcastError(
          'BARCAST_E_CHECKPOINT',
          `line ${i + 1} of ${file} is not JSON`,
          'take the line away, or name another file',
          { cause: error },
        );
      }
    });
}
