/** Says every half second that this process lives, and which step it has done: started by `supervised.ts`. */
import { workerData } from 'node:worker_threads';
import { BEAT_MS, writeMessage } from './supervised.ts';

const { rank, step } = workerData as { rank: number; step: Int32Array };
const beat = () => writeMessage({ rank, kind: 'beat', step: Atomics.load(step, 0) });
beat();
setInterval(beat, BEAT_MS);
