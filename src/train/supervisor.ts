/**
 * `barcast train --hosts a,b,c`: starts the ranks with mpirun and sees the training through. A rank that dies or falls
 * silent is named; the job starts again from the last checkpoint on the hosts that can be reached, and takes in the
 * others when they come back. The weights are those of a run that nothing happened to, as they do not depend on the
 * number of ranks.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { BarcastError, ERROR_CODES, type ErrorCode, type Progress } from '../base/index.ts';
import { type Host, hostsOfRanks, whyUnreachable } from './hosts.ts';
import { type Restart, Restarts } from './restarts.ts';
import { BEAT_MS, MESSAGE_MARK, type RankMessage, SUPERVISED } from './supervised.ts';

export interface SupervisedJob {
  readonly hosts: readonly Host[];
  /** The command each rank runs; rank 0 prints one JSON object at the end. */
  readonly command: readonly string[];
  readonly progress: Progress;
  readonly signal?: AbortSignal;
  /** Time without a sign of life after which a rank counts as lost. */
  readonly silenceMs?: number;
  /** Time a rank may take until its first sign of life. */
  readonly startMs?: number;
}

const SILENCE_MS = 5000;
const START_MS = 60_000;
/** Time for ranks to stop by themselves, and for mpirun to clear up. */
const STOP_MS = 30_000;
const CLEAR_UP_MS = 1500;
const DRAIN_MS = 300;
const PROBE_MS = 3000;
/** Starts in a row without one step forward, and time without any host, after which it gives up. */
const MOST_VAIN_STARTS = 8;
const MOST_HOSTLESS_MS = 300_000;

/** How one start of the job ended. */
type Ending =
  | { readonly kind: 'done'; readonly answer: object }
  | { readonly kind: 'failed'; readonly error: BarcastError }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'lost'; readonly what: string };

/**
 * Answers what rank 0 answered, and what restarts there were.
 * @throws BARCAST_E_HOST when a host cannot be reached at the start, BARCAST_E_MPI, BARCAST_E_INTERRUPTED,
 *   BARCAST_E_RANK when the job gets nowhere, and what the training itself throws
 */
export async function superviseTraining(job: SupervisedJob): Promise<object & { restarts: readonly Restart[] }> {
  const { progress, signal } = job;
  const unreachable = await unreachableOf(job.hosts);
  for (const [name, why] of unreachable) {
    throw new BarcastError(
      'BARCAST_E_HOST',
      `the host ${name} cannot be reached (${why})`,
      `see that 'ssh ${name} true' works without a password, or leave it out of --hosts`,
    );
  }
  let hosts = job.hosts;
  let furthest = -1;
  let vain = 0;
  const restarts = new Restarts();
  for (;;) {
    const start = new Start(job, hosts, restarts);
    const ending = await start.run();
    if (ending.kind === 'done') return { ...ending.answer, restarts: restarts.list };
    if (signal?.aborted) throw interrupted();
    if (ending.kind === 'failed') throw ending.error;
    if (ending.kind === 'lost') {
      vain = start.furthest > furthest ? 0 : vain + 1;
      if (vain >= MOST_VAIN_STARTS) {
        throw new BarcastError(
          'BARCAST_E_RANK',
          `${ending.what}, and the job got no further in ${vain} starts`,
          'look after that host; the same command goes on from the last checkpoint',
        );
      }
      progress.say(`${ending.what}; the job starts again from its last checkpoint`);
      restarts.lost(ending.what, start.lostAt);
    }
    furthest = Math.max(furthest, start.furthest);
    hosts = await reachableOf(job);
    const missing = job.hosts.filter((host) => !hosts.includes(host)).map(({ name }) => name);
    const where = hosts.map(({ name }) => name).join(', ');
    progress.say(missing.length > 0 ? `on ${where}, without ${missing.join(', ')}` : `on ${where}`);
  }
}

const interrupted = () =>
  new BarcastError('BARCAST_E_INTERRUPTED', 'training was stopped', 'run the same command again to go on');

async function unreachableOf(hosts: readonly Host[]): Promise<Map<string, string>> {
  const reasons = await Promise.all(hosts.map(({ name }) => whyUnreachable(name)));
  return new Map(hosts.flatMap(({ name }, i) => (reasons[i] === undefined ? [] : [[name, reasons[i]] as const])));
}

/** The hosts of the job that can be reached; waits while there are none. */
async function reachableOf({ hosts, progress, signal }: SupervisedJob): Promise<readonly Host[]> {
  for (const since = performance.now(); ; ) {
    const unreachable = await unreachableOf(hosts);
    const left = hosts.filter(({ name }) => !unreachable.has(name));
    if (left.length > 0) return left;
    if (signal?.aborted) throw interrupted();
    if (performance.now() - since > MOST_HOSTLESS_MS) {
      throw new BarcastError(
        'BARCAST_E_HOST',
        `none of ${hosts.map(({ name }) => name).join(', ')} can be reached`,
        'the same command goes on from the last checkpoint once one can',
      );
    }
    progress.say(`none of the hosts can be reached; waiting for one`);
    await sleep(PROBE_MS);
  }
}

/** One run of mpirun. */
class Start {
  /** The last step that any rank told of. */
  furthest = -1;
  #endedAt = 0;
  readonly #job: SupervisedJob;
  readonly #hosts: readonly Host[];
  /** The host of each rank. */
  readonly #places: readonly string[];
  readonly #lastBeat: number[];
  readonly #hasBeaten: boolean[];
  readonly #restarts: Restarts;
  readonly #mpirun: ChildProcess;
  readonly #startedAt = performance.now();
  #answer: object | undefined;
  #error: BarcastError | undefined;
  #complaints = '';
  #lost: string | undefined;
  #askedToStop = 0;
  #ended = false;

  constructor(job: SupervisedJob, hosts: readonly Host[], restarts: Restarts) {
    this.#job = job;
    this.#hosts = hosts;
    this.#restarts = restarts;
    this.#places = hostsOfRanks(hosts);
    this.#lastBeat = this.#places.map(() => this.#startedAt);
    this.#hasBeaten = this.#places.map(() => false);
    this.#mpirun = spawn('mpirun', [...mpirunOptions(hosts), ...job.command], {
      stdio: ['pipe', 'pipe', 'pipe'],
      // Ctrl-C on the terminal is for the supervisor alone: it has the ranks stop in order.
      detached: true,
      env: { ...process.env, [SUPERVISED]: '1' },
    });
  }

  async run(): Promise<Ending> {
    const mpirun = this.#mpirun;
    mpirun.stdin!.on('error', () => {});
    lines(mpirun.stdout!, (line) => this.#hear(line));
    mpirun.stderr!.setEncoding('utf8').on('data', (part: string) => {
      this.#complaints = (this.#complaints + part).slice(-20_000);
    });
    const ended = new Promise<Error | number | null>((resolve) => {
      mpirun.once('error', resolve);
      // A daemon on a host that is cut off may hold the pipes open for long after mpirun's end.
      mpirun.once('exit', (status) => {
        this.#endedAt = performance.now();
        void sleep(DRAIN_MS).then(() => resolve(status));
      });
      mpirun.once('close', resolve);
    });
    const watch = setInterval(() => this.#watch(), 250);
    const probe = setInterval(() => void this.#probe(), PROBE_MS);
    try {
      return this.#ending(await ended);
    } finally {
      this.#ended = true;
      for (const pipe of [mpirun.stdin, mpirun.stdout, mpirun.stderr]) pipe?.destroy();
      clearInterval(watch);
      clearInterval(probe);
    }
  }

  /** When the others had to stop as well: mpirun notices a second later what the lost rank's beats tell. */
  get lostAt(): number {
    return Math.min(this.#endedAt, Math.min(...this.#lastBeat) + BEAT_MS);
  }

  #hear(line: string): void {
    if (!line.startsWith(MESSAGE_MARK)) {
      const answer = parsed(line);
      if (answer) this.#answer = answer;
      return;
    }
    const message = parsed(line.slice(MESSAGE_MARK.length)) as RankMessage | undefined;
    if (!message || !(message.rank in this.#lastBeat)) return;
    const { progress } = this.#job;
    this.#lastBeat[message.rank] = performance.now();
    this.#hasBeaten[message.rank] = true;
    if (message.kind === 'beat') {
      this.furthest = Math.max(this.furthest, message.step);
      this.#restarts.stepped(message.step);
    }
    if (message.kind === 'kept') this.#restarts.kept(message.step, performance.now() - message.ageMs);
    if (message.kind === 'begun') {
      const lost = this.#restarts.begun(message.step, performance.now());
      if (lost) progress.say(`at most ${lost.seconds.toFixed(1)} s of work are done again`);
    }
    if (message.kind === 'say') progress.say(message.line);
    if (message.kind === 'update') progress.update(...message.update);
    if (message.kind === 'error' && Object.hasOwn(ERROR_CODES, message.code)) {
      const error = new BarcastError(message.code as ErrorCode, message.what, message.remedy);
      // What one rank has thrown by itself says more than what the others then say of it.
      if (!this.#error || this.#error.code === 'BARCAST_E_RANK') this.#error = error;
    }
  }

  /** A few times a second: is anybody silent, and was a stop asked for? */
  #watch(): void {
    const now = performance.now();
    const { signal, silenceMs = SILENCE_MS, startMs = START_MS } = this.#job;
    if (signal?.aborted && this.#lost === undefined) this.#askToStop();
    if (this.#askedToStop > 0 && now - this.#askedToStop > STOP_MS) this.#end();
    if (this.#lost !== undefined) return;
    const silent = this.#places
      .map((_, rank) => rank)
      .filter((rank) => now - this.#lastBeat[rank] > (this.#hasBeaten[rank] ? silenceMs : startMs));
    if (silent.length === 0) return;
    const names = silent.map((rank) => `rank ${rank} on ${this.#places[rank]}`).join(' and ');
    const longest = Math.max(...silent.map((rank) => now - this.#lastBeat[rank])) / 1000;
    this.#lost = `${names} ${silent.length === 1 ? 'has' : 'have'} been silent for ${longest.toFixed(0)} s`;
    this.#end();
  }

  /** Once in a while: has a host come back that the job is without? */
  async #probe(): Promise<void> {
    const missing = this.#job.hosts.filter((host) => !this.#hosts.includes(host));
    if (missing.length === 0 || this.#askedToStop > 0 || this.#lost !== undefined) return;
    const unreachable = await unreachableOf(missing);
    const back = missing.filter(({ name }) => !unreachable.has(name)).map(({ name }) => name);
    if (back.length === 0 || this.#ended || this.furthest < 0 || this.#askedToStop > 0) return;
    this.#job.progress.say(`${back.join(', ')} can be reached again; the job stops to take in what came back`);
    this.#askToStop();
  }

  /** Ranks keep a checkpoint and end when mpirun hands them this signal. */
  #askToStop(): void {
    if (this.#askedToStop > 0) return;
    this.#askedToStop = performance.now();
    this.#mpirun.kill('SIGUSR2');
  }

  #end(): void {
    this.#mpirun.kill('SIGTERM');
    setTimeout(() => this.#kill(), CLEAR_UP_MS).unref();
  }

  /** Mpirun and what it started on this host, remote shells among it. */
  #kill(): void {
    if (this.#ended || this.#mpirun.pid === undefined) return;
    try {
      process.kill(-this.#mpirun.pid, 'SIGKILL');
    } catch {
      // It has just gone.
    }
  }

  #ending(status: Error | number | null): Ending {
    if (status instanceof Error) {
      const missing = (status as NodeJS.ErrnoException).code === 'ENOENT';
      const error = new BarcastError(
        'BARCAST_E_MPI',
        missing ? 'mpirun is not installed' : `mpirun cannot be started (${status.message})`,
        'install Open MPI (Debian and Ubuntu: apt-get install openmpi-bin) on every host',
        { cause: status },
      );
      return { kind: 'failed', error };
    }
    if (status === 0 && this.#answer) return { kind: 'done', answer: this.#answer };
    if (this.#lost !== undefined) return { kind: 'lost', what: this.#lost };
    if (this.#askedToStop > 0) return { kind: 'stopped' };
    const died = /process rank (\d+) with PID \d+ on node (\S+) exited on signal (\d+)/.exec(this.#complaints);
    const error = this.#error;
    if (died) {
      const rank = Number(died[1]);
      return { kind: 'lost', what: `rank ${rank} on ${this.#places[rank] ?? died[2]} died of signal ${died[3]}` };
    }
    if (error?.code === 'BARCAST_E_RANK') return { kind: 'lost', what: error.message };
    if (error?.code === 'BARCAST_E_INTERRUPTED') return { kind: 'lost', what: 'a rank was told to stop' };
    if (error) return { kind: 'failed', error };
    if (this.#hasBeaten.some(Boolean)) {
      const stalest = this.#lastBeat.indexOf(Math.min(...this.#lastBeat));
      return { kind: 'lost', what: `the job ended; rank ${stalest} on ${this.#places[stalest]} was heard of least` };
    }
    const said = this.#complaints.split('\n').map((line) => line.trim());
    const reason = said.find((line) => /[A-Za-z]{3}/.test(line)) ?? `status ${status}`;
    return {
      kind: 'failed',
      error: new BarcastError(
        'BARCAST_E_MPI',
        `mpirun could not start the ranks (${reason})`,
        'see that barcast and Open MPI are installed in the same place on every host',
      ),
    };
  }
}

function mpirunOptions(hosts: readonly Host[]): string[] {
  const list = hosts.map(({ name, ranks }) => `${name}:${ranks}`).join(',');
  const count = hosts.reduce((sum, { ranks }) => sum + ranks, 0);
  return [
    ...(process.getuid?.() === 0 ? ['--allow-run-as-root'] : []),
    // A rank computes with all the cores it may use; mpirun would bind it to one.
    ...['--bind-to', 'none', '--map-by', 'slot', '--mca', 'mpi_yield_when_idle', '1'],
    ...['-x', SUPERVISED, '--wdir', process.cwd(), '-H', list, '-n', String(count)],
  ];
}

function parsed(line: string): object | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return JSON.parse(line) as object;
  } catch {
    return undefined;
  }
}

function lines(stream: NodeJS.ReadableStream, hear: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8').on('data', (part) => {
    const all = (rest + part).split('\n');
    rest = all.pop()!;
    for (const line of all) hear(line);
  });
}
