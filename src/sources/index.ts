/** Where bars come from: Yahoo Finance, the simulated exchange, files; and what all of them have in common. */

export type { HistoryAnswer, StillMissing } from './history-outcome.ts';
export { type IngestAnswer, ingestFiles } from './ingest.ts';
export {
  durationOf,
  type HistoryOptions,
  ingestHistory,
} from './ingest-history.ts';
export { type LimiterOptions, type Permit, RateLimiter, type SteadyClock, steadyClock } from './limiter.ts';
export { LIVE_COMMIT_EVERY_MS, type LiveStoreOptions, type StoredLiveSource, storedLive } from './live-store.ts';
export { findHoles, type RepairAnswer, repairGaps } from './repair.ts';
export { ownPart, type Share, shareOf } from './share.ts';
export * from './simulated/index.ts';
export * from './source.ts';
export * from './streams/index.ts';
export * from './trades/index.ts';
export { afterEverySession, type WatchedSource } from './watch.ts';
export * from './yahoo/index.ts';
