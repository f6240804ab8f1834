/**
 * The set-up of a checkout: packages as package-lock.json names them, and the C kernel where there is a compiler.
 * Each part is skipped when it is there. Runs on any Node from 20 on; everything it says goes to standard error.
 *
 *     node scripts/setup.mjs
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildNative } from './build-native.mjs';

/** @param {string} line */
const say = (line) => process.stderr.write(`${line}\n`);

/** Whether a Node runs TypeScript files as they are. @param {string} version as `22.18.0` */
const runsTypeScript = (version) => {
  const [major, minor] = version.split('.').map(Number);
  return major > 22 || (major === 22 && minor >= 18);
};

/** The Node to run TypeScript with: this one when it can, or else the checkout's. @param {string} root */
export function runtimeOf(root) {
  if (runsTypeScript(process.versions.node)) return process.execPath;
  const own = join(root, 'node_modules', '.bin', 'node');
  if (existsSync(own)) return own;
  say(`BARCAST_E_USAGE: Node ${process.versions.node} is too old; install Node 22.18 or later`);
  return process.exit(2);
}

/** The versions a lock file names. @param {string} path */
function lockedVersions(path) {
  const { packages } = JSON.parse(readFileSync(path, 'utf8'));
  return /** @type {[string, { version: string, optional?: boolean }][]} */ (Object.entries(packages)).filter(
    ([name]) => name !== '',
  );
}

/** Whether node_modules holds what package-lock.json names. @param {string} root */
function packagesAreThere(root) {
  const installed = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installed)) return false;
  const have = new Map(lockedVersions(installed).map(([name, { version }]) => [name, version]));
  const wanted = lockedVersions(join(root, 'package-lock.json'));
  return wanted.every(([name, { version, optional }]) => optional || have.get(name) === version);
}

/** Runs a program with its output on standard error. @param {string} root @param {string} program @param {string[]} args */
function run(root, program, args) {
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: ['ignore', 2, 2] });
  return error ? 127 : (status ?? 1);
}

/** Brings a checkout into working order; does nothing in a moment when it already is. @param {string} root */
export async function setUp(root) {
  if (!packagesAreThere(root)) {
    say('set-up: installing packages (npm ci) ...');
    if (run(root, 'npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']) !== 0) {
      say(
        "BARCAST_E_NETWORK: 'npm ci' failed; see its lines above, check the way to the npm registry, and run the same command again",
      );
      process.exit(1);
    }
  }
  const { line, built } = await buildNative();
  if (built) say(`set-up: ${line}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await setUp(fileURLToPath(new URL('..', import.meta.url)));
