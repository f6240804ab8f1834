/**
 * A rank's line to the supervisor that started it (`barcast train --hosts`): short messages on standard output, which
 * mpirun forwards from every host. A thread of its own says every half second that the process lives, also while the
 * main thread is busy with bars.
 */
import { writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { type BarcastError, type Progress, silentProgress } from '../base/index.ts';

/** Begins every message; what else a rank prints is its answer. */
export const MESSAGE_MARK = '#barcast ';

/** What ranks tell their supervisor. */
export type RankMessage =
  | { readonly rank: number; readonly kind: 'beat'; readonly step: number }
  /** Trains from the state of a step on. */
  | { readonly rank: number; readonly kind: 'begun'; readonly step: number }
  /** Has kept a checkpoint of a step, which was the present one so long ago. */
  | { readonly rank: number; readonly kind: 'kept'; readonly step: number; readonly ageMs: number }
  | { readonly rank: number; readonly kind: 'say'; readonly line: string }
  | { readonly rank: number; readonly kind: 'update'; readonly update: [string, number, number, string] }
  | {
      readonly rank: number;
      readonly kind: 'error';
      readonly code: string;
      readonly what: string;
      readonly remedy: string;
    };

/** Set for ranks by the supervisor. */
export const SUPERVISED = 'BARCAST_SUPERVISED';
export const BEAT_MS = 500;

export function writeMessage(message: RankMessage): void {
  try {
    writeSync(1, `${MESSAGE_MARK}${JSON.stringify(message)}\n`);
  } catch {
    // A full or broken pipe: the next beat may get through, and silence is an answer too.
  }
}

export interface SupervisorLine {
  /** Tells what rank 0 says through the supervisor; the others are silent. */
  readonly progress: Progress;
  /** Aborted when the supervisor asks for a stop, or is gone. */
  readonly signal: AbortSignal;
  stepped(step: number): void;
  begun(step: number): void;
  kept(step: number, ageMs: number): void;
  fail(error: BarcastError): void;
  close(): Promise<void>;
}

/** Opens the line where a supervisor started this process; undefined otherwise. */
export function supervisorLine(environment: NodeJS.ProcessEnv = process.env): SupervisorLine | undefined {
  if (environment[SUPERVISED] !== '1') return undefined;
  const rank = Number(environment.OMPI_COMM_WORLD_RANK ?? 0);
  const step = new Int32Array(new SharedArrayBuffer(4));
  const beats = new Worker(new URL('beat-worker.ts', import.meta.url), { workerData: { rank, step } });
  beats.unref();
  const stop = new AbortController();
  process.on('SIGUSR2', () => stop.abort());
  if (rank === 0) {
    // Mpirun forwards the supervisor's end of standard input to rank 0: it closes when the supervisor dies.
    process.stdin
      .on('end', () => stop.abort())
      .on('error', () => stop.abort())
      .resume();
    process.stdin.unref?.();
  }
  return {
    progress: rank === 0 ? toldProgress(rank) : silentProgress,
    signal: stop.signal,
    stepped: (done) => Atomics.store(step, 0, done),
    begun: (from) => writeMessage({ rank, kind: 'begun', step: from }),
    kept: (done, ageMs) => writeMessage({ rank, kind: 'kept', step: done, ageMs }),
    fail: ({ code, message, remedy }) => writeMessage({ rank, kind: 'error', code, what: message, remedy }),
    async close() {
      process.stdin.pause();
      await beats.terminate();
    },
  };
}

function toldProgress(rank: number): Progress {
  let toldAt = 0;
  return {
    say: (line) => writeMessage({ rank, kind: 'say', line }),
    update(phase, done, total, note = '') {
      const now = performance.now();
      if (now - toldAt < BEAT_MS && done < total) return;
      toldAt = now;
      writeMessage({ rank, kind: 'update', update: [phase, done, total, note] });
    },
    finish() {},
  };
}
