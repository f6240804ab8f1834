/** Where bars come from: Yahoo Finance, the simulated exchange, files; and what all of them have in common. */

export { type HistoryAnswer, type IngestAnswer, ingestFiles, ingestHistory } from './ingest.ts';
export * from './simulated/index.ts';
export * from './source.ts';
export * from './streams/index.ts';
export * from './trades/index.ts';
export * from './yahoo/index.ts';
