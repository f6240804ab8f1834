import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { BY_SHARE } from '../../src/stream/garbage.ts';

const run = promisify(execFile);

// V8 says nothing of an option that it does not know when it is set while it runs; at the start of a process it does.
test('V8 knows the options by which it is told when to mark', async () => {
  const { stdout } = await run(process.execPath, [...BY_SHARE, '-p', '1']);
  assert.equal(stdout.trim(), '1');
  await assert.rejects(run(process.execPath, [BY_SHARE[0].replace('soft', 'softest'), '-p', '1']), /bad option/);
});

test('markByShare sets them in a process that goes on', async () => {
  const program = new URL('../../src/stream/garbage.ts', import.meta.url);
  const code = `const { markByShare } = await import('${program}'); markByShare();
    let kept = []; for (let i = 0; i < 1e6; i++) { kept.push({ i }); if (kept.length > 1e5) kept = []; }
    console.log('done');`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', code]);
  assert.equal(stdout.trim(), 'done');
});
