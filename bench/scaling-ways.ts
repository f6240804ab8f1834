/** The ways to train over ranks that `bench scaling` times: each starts the ranks, and answers what rank 0 measured. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { BarcastError } from '../src/base/index.ts';
import { joinThreads, soloCollective, threadsMemory } from '../src/collective/index.ts';
import { chooseKernel, type Kernel } from '../src/kernel/index.ts';
import { measureRank, type RankFigures, type RankTask } from './scaling-rank.ts';

/** `kernel`: threads of one kernel; `threads`: ranks that are threads; `mpi`: ranks that are processes. */
export type Way = 'kernel' | 'threads' | 'mpi';

const program = new URL('scaling-rank.ts', import.meta.url);

export async function measureWay(way: Way, ranks: number, task: RankTask, hosts?: string): Promise<RankFigures> {
  if (way === 'mpi') return measureProcesses(ranks, task, hosts);
  const kernel = await chooseKernel({ kernel: task.kernel, threads: task.threads });
  try {
    return await (way === 'kernel' ? measureRank(soloCollective(), kernel, task) : measureThreads(ranks, kernel, task));
  } finally {
    kernel.close();
  }
}

/** Processes at the same time that know nothing of each other, each with the task to itself. */
export function measureApart(processes: number, task: RankTask): Promise<RankFigures[]> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(OMPI|PMIX|PMI)_/.test(name)));
  const words = [fileURLToPath(program), JSON.stringify(task)];
  const start = () => spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'], env });
  return Promise.all(
    Array.from({ length: processes }, async () => {
      const { figures, reason } = await figuresOf(start());
      if (figures) return figures;
      throw new BarcastError('BARCAST_E_INTERNAL', `a process gave no figures (${reason})`, 'report this');
    }),
  );
}

async function measureThreads(ranks: number, kernel: Kernel, task: RankTask): Promise<RankFigures> {
  const memory = threadsMemory(ranks);
  const workers = Array.from(
    { length: ranks - 1 },
    (_, i) => new Worker(program, { workerData: { memory, rank: i + 1, task } }),
  );
  const ends = workers.map(
    (worker) => new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject)),
  );
  const collective = joinThreads(memory, 0);
  const work = async () => {
    const figures = await measureRank(collective, kernel, task);
    await collective.close();
    return figures;
  };
  const [figures] = await Promise.all([work(), ...ends]);
  return figures;
}

async function measureProcesses(ranks: number, task: RankTask, hosts?: string): Promise<RankFigures> {
  const where = hosts === undefined ? ['--oversubscribe'] : ['-H', hosts];
  const root = process.getuid?.() === 0 ? ['--allow-run-as-root'] : [];
  const options = [...root, ...where, '--bind-to', 'none', '--map-by', 'slot', '-n', String(ranks)];
  const child = spawn('mpirun', [...options, process.execPath, fileURLToPath(program), JSON.stringify(task)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { figures, reason } = await figuresOf(child);
  if (figures) return figures;
  throw new BarcastError(
    'BARCAST_E_MPI',
    `mpirun gave no figures (${reason})`,
    'install Open MPI, or leave mpi out of --ways',
  );
}

/** What the process prints of its figures, or why it does not. */
function figuresOf(child: ChildProcess): Promise<{ figures?: RankFigures; reason: string }> {
  let text = '';
  let complaints = '';
  child.stdout!.setEncoding('utf8').on('data', (part) => (text += part));
  child.stderr!.setEncoding('utf8').on('data', (part) => (complaints += part));
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ reason: error.message }));
    child.once('close', () => {
      const [, figures] = /^FIGURES (.*)$/m.exec(text) ?? [];
      if (figures) resolve({ figures: JSON.parse(figures) as RankFigures, reason: '' });
      else resolve({ reason: complaints.split('\n').find((line) => /[a-z]{3}/.test(line)) ?? 'no word' });
    });
  });
}
