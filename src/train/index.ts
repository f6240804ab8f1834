/** Training: the sampler, the schedule, the loop over ranks, checkpoints, calibration, and `trainModel`, which puts them together. */
export * from './balance.ts';
export * from './calibrate.ts';
export * from './checkpoint.ts';
export * from './hosts.ts';
export * from './loop.ts';
export * from './parallel-step.ts';
export { type Restart, Restarts } from './restarts.ts';
export * from './sampler.ts';
export * from './schedule.ts';
export * from './shards.ts';
export { bytesInMemory, cutDays, type PieceReader, prepareFromStore, type StorePieces } from './store-shards.ts';
export { type SupervisorLine, supervisorLine } from './supervised.ts';
export * from './supervisor.ts';
export { trainOnThreads } from './thread-ranks.ts';
export * from './train-model.ts';
export * from './tune.ts';
export * from './tune-trial.ts';
export * from './weights-bits.ts';
