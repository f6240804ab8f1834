/**
 * A child that merges a store's small segments and, before the call to rename or flush a file whose number it is given,
 * kills itself as `kill -9` would. Arguments: the store, the number of the call (0 for none).
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const [directory, failAt] = process.argv.slice(2) as [string, string];
let calls = 0;
for (const name of ['renameSync', 'fsyncSync'] as const) {
  const original = fs[name] as (...args: unknown[]) => void;
  fs[name] = ((...args: unknown[]) => {
    if (++calls === Number(failAt)) process.kill(process.pid, 'SIGKILL');
    original(...args);
  }) as never;
}
syncBuiltinESMExports();

const { openStore } = await import('../../../src/store/index.ts');
const store = await openStore(directory, { shared: true });
process.stdout.write('open\n');
await store.compact();
store.close();
