/** Training: the sampler, the loop, checkpoints, calibration, and `trainModel`, which puts them together. */
export * from './calibrate.ts';
export * from './checkpoint.ts';
export * from './loop.ts';
export * from './sampler.ts';
export * from './shards.ts';
export * from './train-model.ts';
export * from './tune.ts';
export * from './tune-trial.ts';
