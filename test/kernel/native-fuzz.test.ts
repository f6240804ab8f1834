/** The C door under AddressSanitizer and UndefinedBehaviorSanitizer, with random shapes, sizes and bad arguments. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { findCompiler, instructionSets } from '../../scripts/build-native.mjs';
import { buildFolder, machineRuns } from '../../src/kernel/native-library.ts';

const execute = promisify(execFile);
const sources = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'native');
const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-fno-omit-frame-pointer'];

/** Why an example program cannot be built or run with the sanitizers here. */
async function whyNot(command: string, flags: string[], folder: string): Promise<string | undefined> {
  const program = join(folder, 'probe');
  try {
    const build = execute(command, [...flags, ...sanitizers, '-xc', '-', '-o', program]);
    build.child.stdin?.end('int main(void) { return 0; }\n');
    await build;
    await execute(program);
    return undefined;
  } catch (error) {
    return `programs with AddressSanitizer cannot be built or run here (${String(error).split('\n')[0]})`;
  }
}

describe('fuzzing the native door', () => {
  it('random calls, good and bad, touch no memory but their own', async (t) => {
    const compiler = await findCompiler();
    if (!compiler) return t.skip('no C compiler');
    const folder = await mkdtemp(join(tmpdir(), 'barcast-fuzz-'));
    try {
      const reason = await whyNot(compiler.command, compiler.flags, folder);
      if (reason) return t.skip(reason);
      const flags = instructionSets[process.arch]?.[machineRuns(buildFolder())] ?? ['-DVW=4'];
      const files = (await readdir(sources)).filter((name) => name.endsWith('.c')).map((name) => join(sources, name));
      const program = join(folder, 'fuzz');
      const options = ['-std=gnu11', '-O1', '-g', '-ffp-contract=off', ...flags, ...sanitizers];
      await execute(compiler.command, [...compiler.flags, ...options, ...files, '-o', program, '-pthread', '-lm']);
      const { stdout } = await execute(program, ['20240607', '40']);
      assert.equal(stdout, '40 cases passed\n');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
