/**
 * The library: `import … from 'barcast'`. What the commands themselves are made of, floor by floor.
 */
export * from './bars/index.ts';
export * from './base/index.ts';
export * from './evaluate/index.ts';
export * from './features/index.ts';
export * from './kernel/index.ts';
export * from './model/index.ts';
export * from './serve/index.ts';
export * from './sources/index.ts';
export * from './store/index.ts';
export * from './stream/index.ts';
export * from './train/index.ts';
// Names that two floors give to their own view of the same thing: the library's are these.
export type { Score } from './evaluate/index.ts';
export type { BarReader, RawBars } from './store/index.ts';
