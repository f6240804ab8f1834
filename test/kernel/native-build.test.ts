/** Building the native kernel, and which build is loaded. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { buildNative, findCompiler } from '../../scripts/build-native.mjs';
import { measureFmaPeak, offerNative } from '../../src/kernel/native.ts';
import {
  bestBuild,
  buildFile,
  buildFolder,
  INSTRUCTION_SETS,
  type InstructionSet,
  machineRuns,
} from '../../src/kernel/native-library.ts';
import { kernelConformance } from './conformance.ts';

const execute = promisify(execFile);
const script = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'scripts', 'build-native.mjs');

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'barcast-native-'));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe('choosing a build', () => {
  it('takes the best that is there and that the machine runs, and never a better one', () => {
    for (const [level, machine] of INSTRUCTION_SETS.entries()) {
      for (let there = 0; there < 8; there++) {
        const present = (set: InstructionSet) => (there & (1 << INSTRUCTION_SETS.indexOf(set))) !== 0;
        const chosen = bestBuild(machine, present);
        const runnable = INSTRUCTION_SETS.filter((set, index) => index <= level && present(set));
        assert.equal(chosen, runnable.at(-1));
      }
    }
  });

  it('a build whose instructions this machine lacks is never loaded', async (t) => {
    const offer = await offerNative({ threads: 1 });
    if ('unavailable' in offer) return t.skip(offer.unavailable);
    offer.kernel.close();
    const lacking = INSTRUCTION_SETS.slice(INSTRUCTION_SETS.indexOf(machineRuns(buildFolder())) + 1);
    for (const instructionSet of lacking) {
      const refused = await offerNative({ threads: 1, instructionSet });
      assert.ok('unavailable' in refused, instructionSet);
    }
    if (process.platform !== 'linux') return t.skip('the loaded files can only be listed on Linux');
    const loaded = await readFile('/proc/self/maps', 'utf8');
    assert.match(loaded, /barcast_kernel_baseline\.so/);
    for (const set of lacking) assert.doesNotMatch(loaded, new RegExp(`barcast_kernel_${set}\\.so`));
  });

  it('without a build, says what to run', async () => {
    await withFolder(async (folder) => {
      const offer = await offerNative({ folder });
      assert.ok('unavailable' in offer);
      assert.match(offer.unavailable, /^it is not built: run node scripts\/build-native\.mjs.*C compiler$/);
    });
  });

  it('a damaged build is a reason, not a crash', async () => {
    await withFolder(async (folder) => {
      await writeFile(buildFile(folder, 'baseline'), 'not a library');
      const offer = await offerNative({ folder });
      assert.ok('unavailable' in offer);
      assert.match(offer.unavailable, /^its build cannot be loaded \([^\n]+\): run node scripts\/build-native\.mjs$/);
    });
  });

  it('refuses a number of threads that is none', async () => {
    for (const threads of [0, -1, 1.5, 257, Number.NaN]) assert.ok('unavailable' in (await offerNative({ threads })));
  });

  it('measures the peak of multiply-adds', async (t) => {
    const offer = await offerNative({ threads: 1 });
    if ('unavailable' in offer) return t.skip(offer.unavailable);
    offer.kernel.close();
    assert.ok((await measureFmaPeak(1)) > 0.1);
  });
});

describe('building the native kernel', () => {
  const trivial = async (folder: string, text: string) => {
    await writeFile(join(folder, 'one.c'), text);
    return { source: folder, target: join(folder, 'out'), flags: { baseline: ['-DVW=4'] } };
  };
  const skipWithoutCompiler = async (t: TestContext) => {
    const missing = (await findCompiler()) === undefined;
    if (missing) t.skip('no C compiler');
    return missing;
  };

  it('builds once, again when a source changes, and leaves no part behind', async (t) => {
    if (await skipWithoutCompiler(t)) return;
    await withFolder(async (folder) => {
      const options = await trivial(folder, 'int one(void) { return 1; }\n');
      assert.match((await buildNative(options)).line, /baseline built/);
      const first = await stat(buildFile(options.target, 'baseline'));
      assert.match((await buildNative(options)).line, /baseline up to date/);
      assert.equal((await stat(buildFile(options.target, 'baseline'))).ino, first.ino);
      await trivial(folder, 'int one(void) { return 2; }\n');
      assert.match((await buildNative(options)).line, /baseline built/);
      assert.notEqual((await stat(buildFile(options.target, 'baseline'))).ino, first.ino);
      await rm(buildFile(options.target, 'baseline'));
      assert.match((await buildNative(options)).line, /baseline built/);
      assert.deepEqual((await readdir(options.target)).sort(), ['barcast_kernel_baseline.so', 'stamps.json']);
    });
  });

  it('a build that fails keeps the one before and tells the reason in one line', async (t) => {
    if (await skipWithoutCompiler(t)) return;
    await withFolder(async (folder) => {
      const options = await trivial(folder, 'int one(void) { return 1; }\n');
      await buildNative(options);
      await trivial(folder, 'int one(void) { return missing; }\n');
      const { line, failed } = await buildNative(options);
      assert.equal(failed, true);
      assert.match(line, /^native kernel: baseline failed \(.*missing.*\) with [^\n]+$/);
      assert.deepEqual((await readdir(options.target)).sort(), ['barcast_kernel_baseline.so', 'stamps.json']);
    });
  });

  it('without a compiler, says so in one line and succeeds', async () => {
    const { stdout } = await execute(process.execPath, [script], { env: { PATH: '', CC: 'no-such-compiler' } });
    assert.match(stdout, /^native kernel: no C compiler found[^\n]*reference kernel serves\n$/);
  });
});

/**
 * The AVX-512 layout (16 floats a vector, 12 x 2 blocks) made of what this machine has: what a machine without AVX-512
 * can check of that build.
 */
describe('the layout of 16 floats a vector', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'barcast-wide-'));
  after(() => rm(folder, { recursive: true }));
  const { failed, line } = await buildNative({ target: folder, flags: { baseline: ['-DVW=16', '-O2', '-Wno-psabi'] } });
  kernelConformance('native (16 floats a vector)', () =>
    failed ? { unavailable: line } : offerNative({ threads: 2, instructionSet: 'baseline', folder }),
  );
});
