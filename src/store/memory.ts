/**
 * What a DuckDB may take: well under the gigabyte of an ingest, with room for Node; what does not fit spills to the
 * temporary folder. A thread of a read needs some row groups, beside the columns that it fills.
 */
export const MEMORY_LIMIT = '384MB';
