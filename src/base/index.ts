/** The ground floor: errors, time, randomness, atomic files and progress. Every folder may use it; it uses nothing. */
export * from './arena.ts';
export * from './errors.ts';
export * from './files.ts';
export * from './progress.ts';
export * from './random.ts';
export * from './sorted.ts';
export * from './time.ts';
