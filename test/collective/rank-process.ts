/** One rank of a conformance test as a process under mpirun: rank-process.ts FOLDER SCENARIO ARGUMENT TIMEOUT_MS. */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { joinMpi } from '../../src/collective/index.ts';
import { perform, type Scenario } from './scenarios.ts';

const [folder, scenario, argument, timeoutMs] = process.argv.slice(2);
const collective = await joinMpi({ timeoutMs: Number(timeoutMs) });
const answer = (await perform(collective, scenario as Scenario, JSON.parse(argument))) as { code?: string };
// Not to standard output, where mpirun mixes the ranks' longer lines.
const file = join(folder, String(collective.rank));
writeFileSync(`${file}.part`, JSON.stringify(answer));
renameSync(`${file}.part`, file);
// After a time-out the others are gone or will be.
if (answer.code === 'BARCAST_E_RANK') process.exit(0);
await collective.close();
