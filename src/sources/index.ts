/** Where bars come from: Yahoo Finance, the simulated exchange, files; and what all of them have in common. */
export * from './source.ts';
export * from './simulated/index.ts';
export * from './yahoo/index.ts';
export { type HistoryAnswer, type IngestAnswer, ingestFiles, ingestHistory } from './ingest.ts';
