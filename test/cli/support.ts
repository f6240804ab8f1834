/** Runs the command line as a user would: another process, its words in, its lines and exit status out. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ERROR_CODES, type ErrorCode } from '../../src/base/index.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves with what was printed so far once it matches; rejects if the process ends before. */
  printed(pattern: RegExp, stream?: 'stdout' | 'stderr'): Promise<string>;
}

export function start(args: readonly string[], cwd: string): Running {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd,
    env: { ...process.env, BARCAST_DATA: '', BARCAST_MODELS: '', BARCAST_TOKEN: '' },
  });
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name]
      .setEncoding('utf8')
      .setMaxListeners(0)
      .on('data', (part: string) => (text[name] += part));
  const ended = new Promise<Ended>((resolve) => child.on('close', (status) => resolve({ status, ...text })));
  const printed = (pattern: RegExp, name: 'stdout' | 'stderr' = 'stdout') =>
    new Promise<string>((resolve, reject) => {
      const look = () => {
        if (pattern.test(text[name])) resolve(text[name]);
      };
      child[name].on('data', look);
      look();
      ended.then(({ status, stderr }) => reject(new Error(`it ended with ${status}: ${stderr}`)), reject);
    });
  return { child, ended, printed };
}

export const run = (args: readonly string[], cwd: string): Promise<Ended> => start(args, cwd).ended;

/** Runs it, demands success and one JSON object on standard output, and answers that. */
export async function answer<T = Record<string, unknown>>(args: readonly string[], cwd: string): Promise<T> {
  const { status, stdout, stderr } = await run([...args, '--json'], cwd);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^\{.*\}\n$/s);
  return JSON.parse(stdout) as T;
}

/** Runs it and demands one line with that code, its exit status, and nothing on standard output. */
export async function refused(args: readonly string[], cwd: string, code: ErrorCode, what = /./): Promise<void> {
  const { status, stdout, stderr } = await run(args, cwd);
  const line = stderr.trimEnd().split('\n').at(-1)!;
  assert.match(line, new RegExp(`^${code}: .+; .+`), `${args.join(' ')}: ${stderr}`);
  assert.match(line, what);
  assert.equal(status, ERROR_CODES[code][0], stderr);
  assert.equal(stdout, '');
  assert.doesNotMatch(stderr, /\n\s+at /, 'a stack trace');
}

export function temporaryFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'barcast-cli-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}
