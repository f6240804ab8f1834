/** A rank of a test training under mpirun: rank-process.ts SETTINGS prints `HASH rank hash steps`. */
import { silentProgress } from '../../src/base/index.ts';
import { joinMpi } from '../../src/collective/index.ts';
import { chooseKernel } from '../../src/kernel/index.ts';
import { weightsHash } from '../../src/model/index.ts';
import { runTraining } from '../../src/train/index.ts';
import { baseRun } from './support.ts';

const collective = await joinMpi();
const kernel = await chooseKernel({ kernel: 'auto', threads: 1, say: () => {} });
const run = { ...baseRun(kernel), settings: JSON.parse(process.argv[2]), progress: silentProgress, collective };
const { weights, steps } = await runTraining(run);
process.stdout.write(`HASH ${collective.rank} ${weightsHash(weights)} ${steps}\n`);
kernel.close();
await collective.close();
