/** The mathematics: one `Kernel` interface and what stands behind it. */
export * from './dropout.ts';
export * from './kernel.ts';
export * from './parameters.ts';
