/**
 * `npm test`: the set-up, the servers and the browser that the tests use, then every test.
 *
 *     node scripts/test.mjs [FILE…]     all of test/, or the files named
 *
 * What only Debian's packages give (Chromium, nats-server, Open MPI, MPICH, ip and tc) is installed with apt-get where this user may; otherwise the command
 * says what to install and fails, so that no test is left out unseen.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { fetchLavapipe } from './lavapipe.mjs';
import { runtimeOf, setUp } from './setup.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Programs the tests start, and the Debian package each is in. */
const PROGRAMS = [
  { path: '/usr/bin/chromium', package: 'chromium' },
  { path: '/usr/sbin/nats-server', package: 'nats-server' },
  { path: '/usr/bin/mpirun', package: 'openmpi-bin' },
  { path: '/usr/bin/mpiexec.mpich', package: 'mpich' },
  { path: '/usr/sbin/ip', package: 'iproute2' },
];

/** @param {string} line */
const say = (line) => process.stderr.write(`${line}\n`);

function installPrograms() {
  const missing = PROGRAMS.filter(({ path }) => !existsSync(path)).map((program) => program.package);
  if (missing.length === 0) return;
  const list = missing.join(' ');
  say(`set-up: installing ${list} (apt-get) ...`);
  const options = {
    stdio: /** @type {['ignore', 'ignore', 2]} */ (['ignore', 'ignore', 2]),
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  };
  const commands = [
    ['update', '-qq'],
    ['install', '-y', '-qq', '--no-install-recommends', ...missing],
  ];
  const done = commands.every((args) => spawnSync('apt-get', args, options).status === 0);
  if (done && PROGRAMS.every(({ path }) => existsSync(path))) return;
  say(`the tests need ${list}: run 'sudo apt-get update && sudo apt-get install ${list}', then 'npm test' again`);
  process.exit(1);
}

await setUp(root);
installPrograms();
const lacking = fetchLavapipe(root, say);
if (lacking !== undefined) say(`${lacking}; the tests of half precision are left out`);
const runtime = runtimeOf(root);
const named = process.argv.slice(2);
// globSync is in Node 22 and later; the checkout's own Node finds the files when this one is older.
const list = "import { globSync } from 'node:fs'; console.log(globSync('test/**/*.test.ts').sort().join('\\n'))";
const found =
  named.length > 0
    ? named
    : spawnSync(runtime, ['--input-type=module', '-e', list], { cwd: root, encoding: 'utf8' })
        .stdout.trim()
        .split('\n');
const { status } = spawnSync(runtime, ['--test', '--test-concurrency=2', '--test-timeout=300000', ...found], {
  cwd: root,
  stdio: 'inherit',
});
process.exit(status ?? 1);
