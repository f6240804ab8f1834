#!/usr/bin/env node
/**
 * The `barcast` command. Runs on any Node from 20 on: it sees to the set-up, then hands over to the Node that runs
 * TypeScript as it is (22.18 or later), which a checkout has in node_modules.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { runtimeOf, setUp } from '../scripts/setup.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url));

if (existsSync(new URL('../package-lock.json', import.meta.url))) await setUp(root);

const runtime = runtimeOf(root);
if (runtime === process.execPath) {
  await import(main);
} else {
  const child = spawn(runtime, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
  // A terminal's Ctrl-C reaches the child by itself; other signals are handed on.
  process.on('SIGINT', () => {});
  for (const signal of /** @type {const} */ (['SIGTERM', 'SIGHUP'])) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (signal ? constants.signals[signal] : 0)));
}
