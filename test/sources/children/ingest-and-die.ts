/**
 * A child that ingests and, before the call to rename or flush a file whose number it is given, kills itself as
 * `kill -9` would. Arguments: `files`, `trades` or `history`, the store, the number of the call (0 for none), and the files.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { epochMs, silentProgress } from '../../../src/base/index.ts';

const [kind, data, failAt, ...files] = process.argv.slice(2) as [string, string, string, ...string[]];
let calls = 0;
for (const name of ['renameSync', 'fsyncSync'] as const) {
  const original = fs[name] as (...args: unknown[]) => void;
  fs[name] = ((...args: unknown[]) => {
    if (++calls === Number(failAt)) process.kill(process.pid, 'SIGKILL');
    original(...args);
  }) as never;
}
syncBuiltinESMExports();

const { ingestFiles } = await import('../../../src/sources/ingest.ts');
const { ingestTrades } = await import('../../../src/sources/trades/ingest.ts');
const { ingestHistory } = await import('../../../src/sources/ingest-history.ts');
const { PLAIN_SOURCE, FROM, SYMBOLS, TO } = await import('../plain-source.ts');
if (kind === 'files') {
  await ingestFiles({ files, data, progress: silentProgress, askedAt: epochMs(Date.parse('2024-01-01')) });
} else if (kind === 'trades') {
  await ingestTrades({ files, data, progress: silentProgress });
} else {
  await ingestHistory({
    source: PLAIN_SOURCE,
    symbols: SYMBOLS,
    from: FROM,
    to: TO,
    data,
    progress: silentProgress,
    commitEveryMs: 0,
  });
}
console.log(`done after ${calls} calls`);
