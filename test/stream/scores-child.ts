/** Takes bars and forecasts one batch after another, keeps the scores in the file named, and says which batch it has had. */
import { LiveState } from '../../src/stream/index.ts';
import { keepScoreboard } from '../../src/stream/scoreboard-file.ts';
import { madeUpSession, takeBatch } from './made-up-session.ts';

const [path, from] = process.argv.slice(2);
const state = new LiveState({ longestQuietRun: 3 });
const options = { everyBarComes: true, mostJournalBytes: 20_000 };
keepScoreboard(state, path, (line) => process.stderr.write(`${line}\n`), options);
const batches = madeUpSession();
for (let b = Number(from); b < batches.length; b++) {
  takeBatch(state, batches[b]);
  process.stdout.write(`${b}\n`);
  // A batch a turn, so that what was said gets out.
  await new Promise(setImmediate);
}
process.stdout.write('done\n');
setInterval(() => {}, 1000);
