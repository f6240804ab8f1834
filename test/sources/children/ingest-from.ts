/** A child that ingests from a chart server and is killed meanwhile. Arguments: the store, the server, symbols, from, to. */
import { epochMinute, silentProgress } from '../../../src/base/index.ts';
import { ingestHistory, yahooSource } from '../../../src/sources/index.ts';

const [data, url, symbols, from, to] = process.argv.slice(2) as [string, string, string, string, string];
const patience = { firstWaitMs: 20, longestWaitMs: 200, leastPerSecond: 50 };
const answer = await ingestHistory({
  source: yahooSource({ url, timeoutMs: 300, patience }),
  symbols: symbols.split(','),
  from: epochMinute(Number(from)),
  to: epochMinute(Number(to)),
  data,
  progress: silentProgress,
  commitEveryMs: 100,
});
console.log(JSON.stringify(answer));
