/** Starts the ranks of a test and collects what each answers. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { failThread, joinThreads, soloCollective, threadsMemory } from '../../src/collective/index.ts';
import { perform, type Scenario } from './scenarios.ts';

export interface RankAnswer {
  readonly found?: unknown;
  readonly code?: string;
  readonly what?: string;
}

/** Answers by rank; undefined for a rank that gave none. */
export type RunRanks = (
  size: number,
  scenario: Scenario,
  argument?: unknown,
  timeoutMs?: number,
) => Promise<(RankAnswer | undefined)[]>;

export const runSolo: RunRanks = async (_size, scenario, argument) => [
  (await perform(soloCollective(), scenario, argument)) as RankAnswer,
];

/** Rank 0 in this thread, the others in workers. */
export const runThreads: RunRanks = async (size, scenario, argument, timeoutMs = 30_000) => {
  const memory = threadsMemory(size, timeoutMs);
  const ranks = Array.from({ length: size - 1 }, (_, i) => {
    const rank = i + 1;
    const worker = new Worker(new URL('rank-thread.ts', import.meta.url), {
      workerData: { memory, rank, scenario, argument },
    });
    return new Promise<RankAnswer | undefined>((resolve) => {
      worker.on('message', resolve);
      worker.on('error', () => {
        failThread(memory, rank);
        resolve(undefined);
      });
    });
  });
  const first = perform(joinThreads(memory, 0), scenario, argument) as Promise<RankAnswer>;
  return Promise.all([
    first.catch(() => {
      failThread(memory, 0);
      return undefined;
    }),
    ...ranks,
  ]);
};

const program = fileURLToPath(new URL('rank-process.ts', import.meta.url));

export const MPIRUN = ['--allow-run-as-root', '--oversubscribe', '--bind-to', 'none'];

/** Under the launcher given, and so the MPI that it is of. */
const runUnder =
  (launcher: string, ...options: string[]): RunRanks =>
  async (size, scenario, argument = null, timeoutMs = 30_000) => {
    const folder = mkdtempSync(join(tmpdir(), 'barcast-ranks-'));
    try {
      const args = [process.execPath, program, folder, scenario, JSON.stringify(argument), String(timeoutMs)];
      const child = spawn(launcher, [...options, '-n', String(size), ...args], { stdio: 'ignore' });
      await once(child, 'close');
      return Array.from({ length: size }, (_, rank) => {
        const file = join(folder, String(rank));
        return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as RankAnswer) : undefined;
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };

export const runMpi = runUnder('mpirun', ...MPIRUN);
export const runMpich = runUnder('mpiexec.mpich');
