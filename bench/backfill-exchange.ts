/**
 * The exchange of `bench backfill`, in a process of its own: it makes every day that can be asked for, then listens and
 * tells its address; any message is answered by the requests that it granted and refused.
 */
import { startExchange } from '../src/sources/index.ts';
import { type BenchExchange, sessionsKept } from './backfill.ts';

const { symbols, ...options } = JSON.parse(process.argv[2]) as BenchExchange;
const sessions = sessionsKept(options.now);
const exchange = await startExchange({
  ...options,
  port: 0,
  symbols,
  faults: { slow: { rate: 1, value: options.latencyMs } },
  keptDays: symbols.length * sessions.length,
});
for (const session of sessions) for (const symbol of symbols) exchange.market.day(symbol, session);
process.on('message', () => process.send!(exchange.requests));
process.on('disconnect', () => process.exit());
process.send!(exchange.url);
