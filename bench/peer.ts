/**
 * Other tools on the same network, in the same run: a peer is a command that prints one JSON object as its last line,
 * with `peer` (its name), `train_seq_per_s_bN` for batch sizes N, and `inferN_ms_p50` for an inference of N windows.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { BarcastError } from '../src/base/index.ts';

export interface PeerAnswer {
  readonly name: string;
  readonly command: string;
  /** Of its best batch size. */
  readonly sequencesPerSecond: number | null;
  /** Milliseconds of one inference, by the number of its windows. */
  readonly inferMs: Readonly<Record<number, number>>;
}

/** Runs a peer's command, split at blanks. @throws BARCAST_E_USAGE when it fails or prints no such object */
async function askPeer(command: string): Promise<PeerAnswer> {
  const [program, ...args] = command.trim().split(/\s+/);
  try {
    const { stdout } = await promisify(execFile)(program, args, { maxBuffer: 2 ** 24 });
    const answer = JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, unknown>;
    const rates = Object.entries(answer)
      .filter(([name]) => /^train_seq_per_s_b\d+$/.test(name))
      .map(([, rate]) => Number(rate));
    return {
      name: String(answer.peer ?? program),
      command,
      sequencesPerSecond: rates.length > 0 ? Math.max(...rates) : null,
      inferMs: Object.fromEntries(
        Object.entries(answer).flatMap(([name, ms]) => {
          const windows = /^infer(\d+)_ms_p50$/.exec(name)?.[1];
          return windows !== undefined && typeof ms === 'number' ? [[Number(windows), ms]] : [];
        }),
      ),
    };
  } catch (error) {
    throw new BarcastError(
      'BARCAST_E_USAGE',
      `the peer '${command}' gave no figures (${(error as Error).message.split('\n')[0]})`,
      'name a command whose last line is one JSON object with its figures',
      { cause: error },
    );
  }
}

/** A peer asked before and after our own measurement: the better of its two runs counts. */
export interface PeerFigure {
  readonly name: string;
  readonly command: string;
  readonly runs: readonly number[];
  readonly best: number;
}

/** One answer of each command, one after another. */
export async function askPeers(commands: readonly string[]): Promise<PeerAnswer[]> {
  const answers: PeerAnswer[] = [];
  for (const command of commands) answers.push(await askPeer(command));
  return answers;
}

/**
 * Peers asked once before our own measurement and once after, so that a machine that slows down meanwhile favours
 * nobody. Those without the figure are left out.
 * @param better of two figures, the one that counts
 */
export function peerFigures(
  before: readonly PeerAnswer[],
  after: readonly PeerAnswer[],
  figureOf: (answer: PeerAnswer) => number | null,
  better: (a: number, b: number) => number,
): PeerFigure[] {
  return before.flatMap((first, i) => {
    const runs = [figureOf(first), figureOf(after[i])].filter((figure) => figure !== null);
    if (runs.length === 0) return [];
    return [{ name: first.name, command: first.command, runs, best: runs.reduce((a, b) => better(a, b)) }];
  });
}
