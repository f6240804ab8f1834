/** Trades to bars. */
export { SymbolTable, TradeBatch, type Trades } from './batch.ts';
export { type BuilderOptions, type TradeBars, TradeBuilder, type TradeCounts } from './builder.ts';
export { ruleOf, SALE_CONDITIONS } from './conditions.ts';
export { CsvReader } from './csv.ts';
export { tradesOf } from './files.ts';
export { ingestTrades, type TradeIngestAnswer } from './ingest.ts';
export { NdjsonReader } from './ndjson.ts';
