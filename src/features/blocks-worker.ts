/** A worker thread of `blocks.ts`: takes blocks of one job after another. */
import { parentPort } from 'node:worker_threads';
import { type Job, takeBlocks } from './blocks.ts';

parentPort!.on('message', (job: Job) => {
  try {
    takeBlocks(job);
  } catch {
    // The job's state says so, and the caller tells.
  }
});
