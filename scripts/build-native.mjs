/**
 * Builds the native kernel: `node scripts/build-native.mjs`.
 *
 * Finds a C compiler ($CC, cc, gcc, clang) and makes one shared object for each instruction set of this architecture
 * in build/native/. What is up to date (same sources, flags and compiler) is left alone; a new one is renamed into
 * place, so a running process keeps the old one. Prints one line. Without a compiler it says so and succeeds: the
 * reference kernel serves. Runs with Node 20, before anything is installed.
 */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const project = dirname(dirname(fileURLToPath(import.meta.url)));

/** Contraction is off because the sources say where a multiply-add is fused; NaN and infinities keep their meaning. */
export const commonFlags = [
  ...['-std=gnu11', '-O3', '-fPIC', '-fvisibility=hidden', '-DBARCAST_BUILDING'],
  ...['-ffp-contract=off', '-fno-math-errno', '-fno-trapping-math'],
];

const avx2 = ['-mavx2', '-mfma'];
const avx512 = [...avx2, '-mavx512f', '-mavx512dq', '-mavx512vl', '-mavx512bw', '-mprefer-vector-width=512'];

/**
 * Flags of each instruction set by Node's name of the architecture; VW is the number of floats in a vector.
 * @type {Record<string, Record<string, string[]>>}
 */
export const instructionSets = {
  x64: {
    baseline: ['-DVW=4'],
    avx2: ['-DVW=8', ...avx2],
    avx512: ['-DVW=16', ...avx512],
    amx: ['-DVW=16', '-DBARCAST_AMX', ...avx512, '-mamx-tile', '-mamx-bf16'],
  },
  arm64: { baseline: ['-DVW=4'] },
};

/** The first C compiler that answers, with its version; undefined when there is none. */
export async function findCompiler() {
  const named = process.env.CC?.trim().split(/\s+/);
  const candidates = named?.[0] ? [named] : [['cc'], ['gcc'], ['clang']];
  for (const [command, ...flags] of candidates) {
    try {
      const { stdout } = await execute(command, [...flags, '--version']);
      return { command, flags, version: stdout.split('\n')[0].trim() };
    } catch {
      // Not there: the next one may be.
    }
  }
  return undefined;
}

/** @param {string} folder */
async function sourcesOf(folder) {
  const names = (await readdir(folder)).filter((name) => /\.[ch]$/.test(name) && name !== 'fuzz.c').sort();
  const hash = createHash('sha256');
  for (const name of names)
    hash
      .update(name)
      .update('\0')
      .update(await readFile(join(folder, name)))
      .update('\0');
  return {
    files: names.filter((name) => name.endsWith('.c')).map((name) => join(folder, name)),
    hash: hash.digest('hex'),
  };
}

/** What was built last, by instruction set. @param {string} path @returns {Promise<Record<string, string>>} */
async function stampsOf(path) {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch {
    return {};
  }
}

/**
 * Writes beside the target and renames, so that nobody sees a part.
 * @param {string} target @param {(temporary: string) => Promise<unknown>} write
 */
async function replace(target, write) {
  const temporary = `${target}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    await write(temporary);
    await rename(temporary, target);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** The compiler's first complaint. @param {unknown} error */
function complaintOf(error) {
  const { stderr, message } = /** @type {{ stderr?: string, message: string }} */ (error);
  const lines = (stderr || message).split('\n').map((line) => line.trim());
  return lines.find((line) => /error/i.test(line)) ?? lines[0];
}

/**
 * @param {{ source?: string, target?: string, flags?: Record<string, string[]> }} [options] folders, and the flags of
 *   each instruction set to build for
 * @returns {Promise<{ line: string, failed: boolean, built: boolean }>} what to tell, and whether a build was tried
 */
export async function buildNative({
  source = join(project, 'native'),
  target = join(project, 'build', 'native'),
  flags: wanted = instructionSets[process.arch] ?? { baseline: ['-DVW=4'] },
} = {}) {
  const sets = Object.entries(wanted);
  const compiler = await findCompiler();
  if (!compiler) {
    return {
      line: 'native kernel: no C compiler found ($CC, cc, gcc, clang); the slower reference kernel serves',
      failed: false,
      built: false,
    };
  }
  const { files, hash } = await sourcesOf(source);
  await mkdir(target, { recursive: true });
  const stampFile = join(target, 'stamps.json');
  const stamps = await stampsOf(stampFile);
  const present = new Set(await readdir(target));
  const outcomes = await Promise.all(
    sets.map(async ([set, flags]) => {
      const name = `barcast_kernel_${set}.so`;
      const command = [...compiler.flags, ...commonFlags, ...flags];
      const stamp = createHash('sha256')
        .update(JSON.stringify([hash, compiler.command, compiler.version, command]))
        .digest('hex');
      if (stamps[set] === stamp && present.has(name)) return { set, stamp, state: 'up to date' };
      try {
        await replace(join(target, name), (temporary) =>
          execute(compiler.command, [...command, '-shared', '-pthread', ...files, '-o', temporary, '-lm']),
        );
        return { set, stamp, state: 'built' };
      } catch (error) {
        return { set, stamp, state: 'failed', reason: complaintOf(error) };
      }
    }),
  );
  const good = outcomes.filter(({ state }) => state !== 'failed');
  await replace(stampFile, (temporary) =>
    writeFile(temporary, JSON.stringify(Object.fromEntries(good.map(({ set, stamp }) => [set, stamp])), null, 2)),
  );
  const told = outcomes.map(({ set, state, reason }) => (reason ? `${set} ${state} (${reason})` : `${set} ${state}`));
  return {
    line: `native kernel: ${told.join(', ')} with ${compiler.version}`,
    failed: !good.some(({ set }) => set === 'baseline'),
    built: outcomes.some(({ state }) => state !== 'up to date'),
  };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { line, failed } = await buildNative();
  console.log(line);
  process.exitCode = failed ? 1 : 0;
}
