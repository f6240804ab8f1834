/** Trades to bars. */

export type { TradeBars } from './bar-columns.ts';
export { SymbolTable, TradeBatch, type Trades } from './batch.ts';
export { type BuilderOptions, TradeBuilder, type TradeCounts } from './builder.ts';
export { ruleOf, SALE_CONDITIONS } from './conditions.ts';
export { CsvReader } from './csv.ts';
export { tradesOf } from './files.ts';
export { ingestTrades, type TradeIngestAnswer } from './ingest.ts';
export { NdjsonReader } from './ndjson.ts';
