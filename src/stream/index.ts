/** Live forecasting: the bus, the forecaster, the scoreboard, the present state, and past sessions replayed. */
export * from './bus.ts';
export * from './forecast.ts';
export * from './forecaster.ts';
export * from './live.ts';
export * from './market-windows.ts';
export * from './memory-bus.ts';
export * from './model-source.ts';
export * from './nats-bus.ts';
export type { NatsOptions } from './nats-connection.ts';
export * from './recent-bars.ts';
export * from './replay.ts';
export * from './scoreboard.ts';
export * from './scoreboard-file.ts';
export * from './shared-forecaster.ts';
export * from './state.ts';
export type { LiveScore } from './tally.ts';
