/** Live forecasting: the bus, the forecaster, the scoreboard, the present state, and past sessions replayed. */
export * from './bus.ts';
export type { DriftReport, Monitor, MonitorName } from './drift.ts';
export * from './forecast.ts';
export * from './forecaster.ts';
export * from './live.ts';
export * from './memory-bus.ts';
export * from './model-source.ts';
export * from './price-trail.ts';
export * from './recent-bars.ts';
export * from './registry-models.ts';
export * from './replay.ts';
export * from './scoreboard.ts';
export * from './scoreboard-file.ts';
export { Scoreboards } from './scoreboards.ts';
export * from './state.ts';
export * from './state-feed.ts';
export type { LiveScore } from './tally.ts';
