/** Ranks that compute together: one interface, and what stands behind it. */
export * from './collective.ts';
export * from './messages.ts';
export { isMpiRank, joinMpi, startedBy } from './mpi.ts';
export * from './solo.ts';
export * from './threads.ts';
