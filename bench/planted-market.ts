/** One cell of `bench/planted.ts`: a training on a simulated market whose best reachable score is known. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Session, SP500, sessionsBetween } from '../src/bars/index.ts';
import { type DayString, epochMinute, silentProgress } from '../src/base/index.ts';
import { evaluateModel } from '../src/evaluate/index.ts';
import { recipeOf } from '../src/features/index.ts';
import type { Kernel } from '../src/kernel/index.ts';
import { Registry } from '../src/model/index.ts';
import { barsOfMarket, INDEX_SYMBOL, Market, type Pattern } from '../src/sources/index.ts';
import { trainModel } from '../src/train/index.ts';

export interface PlantedCell {
  readonly pattern: Pattern;
  readonly seed: number;
  readonly strength: number;
  /** Symbols of the market, the index among them. */
  readonly symbols: number;
  /** Sessions to train on, the last ones before those to score on. */
  readonly sessions: number;
  readonly testSessions: number;
  readonly epochs?: number;
}

export interface PlantedScore extends PlantedCell {
  /** Scaled skill on the test sessions, with its 95% interval. */
  readonly skillScaled: number;
  readonly skillScaledCi95: readonly [number, number];
  /** Scaled skill of the oracle on the same windows. */
  readonly best: number;
  /** skillScaled / best; null where there is nothing to find. */
  readonly share: number | null;
  /** The same of a ridge regression on own returns. */
  readonly ridgeShare: number | null;
  readonly verdict: string;
  readonly coverage80: number;
  /** Least and largest coverage of the hours of the session. */
  readonly coverageOfHours: readonly [number, number];
  readonly windows: number;
  readonly seconds: number;
}

const LEAST_WINDOWS_AN_HOUR = 0.02;
const LAST_DAY = '2025-10-17' as DayString;

/** The index and evenly spread members of the S&P 500. */
function symbolsOf(count: number): string[] {
  const chosen = Array.from({ length: count - 1 }, (_, i) => SP500[Math.floor((i * SP500.length) / (count - 1))]);
  return [INDEX_SYMBOL, ...chosen].sort();
}

const rangeOf = (sessions: readonly Session[]) => ({
  from: sessions[0].open,
  to: epochMinute(sessions[sessions.length - 1].close + 1),
});

/** Trains recipe `returns` with its own settings and scores it on the sessions after. */
export async function scorePlanted(cell: PlantedCell, kernel: Kernel): Promise<PlantedScore> {
  const startedAt = performance.now();
  const symbols = symbolsOf(cell.symbols);
  const market = new Market({ ...cell, symbols });
  const sessions = sessionsBetween('2025-06-02' as DayString, LAST_DAY).slice(-(cell.sessions + cell.testSessions));
  const test = sessions.slice(cell.sessions);
  const trainingBars = barsOfMarket(market, sessions.slice(0, cell.sessions));
  const folder = mkdtempSync(join(tmpdir(), 'barcast-planted-'));
  try {
    const registry = new Registry(folder);
    const overrides = cell.epochs === undefined ? {} : { epochs: cell.epochs };
    const fixed = { recipe: recipeOf('returns'), kernel, registry, name: 'planted', seed: cell.seed, version: 'bench' };
    const { windows } = await trainModel({ ...fixed, bars: trainingBars, overrides, progress: silentProgress });
    const model = await registry.load('planted', kernel);
    try {
      const evaluation = await evaluateModel({ model, bars: barsOfMarket(market, test), trainingBars });
      const best = market.bestReachable({ symbols, ...rangeOf(test) }).skillScaled ?? 0;
      const shareOf = (skill: number | null | undefined) => (best > 0 && skill != null ? skill / best : null);
      // The first hour holds the window of one minute alone.
      const hours = evaluation.breakdowns.byHour
        .filter((hour) => hour.windows > LEAST_WINDOWS_AN_HOUR * evaluation.windows)
        .map((hour) => hour.coverage80!);
      return {
        ...cell,
        skillScaled: evaluation.model.skillScaled!,
        skillScaledCi95: evaluation.model.skillScaledCi95!,
        best,
        share: shareOf(evaluation.model.skillScaled),
        ridgeShare: shareOf(evaluation.ridge?.skillScaled),
        verdict: evaluation.verdict,
        coverage80: evaluation.coverage80!,
        coverageOfHours: [Math.min(...hours), Math.max(...hours)],
        windows,
        seconds: (performance.now() - startedAt) / 1000,
      };
    } finally {
      model.close();
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}
