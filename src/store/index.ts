/** The store: one owner, readers beside it, raw bars and a ledger of every flaw. Uses `bars`. */
export { parseBarTime } from './bar-time.ts';
export { fillStore } from './bulk.ts';
export { type DayCoverage, type Diagnosis, type ExamineOptions, examineStore, type SymbolCoverage } from './doctor.ts';
export { openStore } from './owner.ts';
export { type ParquetRows, parquetColumns, parquetRows } from './parquet-columns.ts';
export { openReader } from './reader.ts';
export * from './store.ts';
