/** The README's offline commands, run as they stand there, one after another in one folder. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { after, describe, it } from 'node:test';
import { type Running, run, start, temporaryFolder } from './support.ts';

const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const PORT = '8081';

/** The lines of the block that the README marks as run by this test. */
function commands(): string[] {
  const block = /<!-- run by test\/cli\/readme\.test\.ts -->\n```sh\n([\s\S]*?)```/.exec(README);
  assert.ok(block, 'the README has a block for this test');
  return block[1].trim().split('\n');
}

async function freePort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return String(port);
}

describe("the README's commands", () => {
  const folder = temporaryFolder();
  const background: Running[] = [];
  after(async () => {
    for (const { child, ended } of background) {
      child.kill('SIGINT');
      await ended;
    }
    folder.remove();
  });

  it('all do what they say', async () => {
    const lines = commands();
    assert.ok(lines.length >= 8, 'the whole block is there');
    const port = await freePort();
    for (const line of lines) {
      const [npx, barcast, ...words] = line.split(' ');
      assert.deepEqual([npx, barcast], ['npx', 'barcast'], line);
      const args = words.filter((word) => word !== '&').map((word) => word.replace(PORT, port));
      if (words.includes('&')) {
        const running = start(args, folder.path);
        background.push(running);
        await running.printed(/Ctrl-C/);
        continue;
      }
      const { status, stdout, stderr } = await run(args, folder.path);
      assert.equal(status, 0, `${line}: ${stderr}`);
      assert.notEqual(stdout, '', line);
    }
  });
});
