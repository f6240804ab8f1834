/** One rank of a conformance test as a process under mpirun: rank-process.ts SCENARIO ARGUMENT TIMEOUT_MS. */
import { joinMpi } from '../../src/collective/index.ts';
import { perform, type Scenario } from './scenarios.ts';

const [scenario, argument, timeoutMs] = process.argv.slice(2);
const collective = await joinMpi({ timeoutMs: Number(timeoutMs) });
const answer = (await perform(collective, scenario as Scenario, JSON.parse(argument))) as { code?: string };
process.stdout.write(`ANSWER ${JSON.stringify([collective.rank, answer])}\n`);
// After a time-out the others are gone or will be.
if (answer.code === 'BARCAST_E_RANK') process.exit(0);
await collective.close();
