/** Every command, in the order of a first day's work. */
import type { Register } from './context.ts';
import { registerDemo } from './demo.ts';
import { registerDoctor } from './doctor.ts';
import { registerEvaluate } from './evaluate.ts';
import { registerIngest } from './ingest.ts';
import { registerModels } from './models.ts';
import { registerPredict } from './predict.ts';
import { registerReplay } from './replay.ts';
import { registerServe } from './serve.ts';
import { registerSimulate } from './simulate.ts';
import { registerTrain } from './train.ts';

export const registerCommands: Register = (program) => {
  const all = [registerDemo, registerIngest, registerDoctor, registerTrain, registerEvaluate, registerPredict, registerServe, registerReplay, registerModels, registerSimulate];
  for (const register of all) register(program);
};
