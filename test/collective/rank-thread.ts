/** One rank of a conformance test as a worker thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { joinThreads } from '../../src/collective/index.ts';
import { perform } from './scenarios.ts';

const { memory, rank, scenario, argument } = workerData;
parentPort!.postMessage(await perform(joinThreads(memory, rank), scenario, argument));
