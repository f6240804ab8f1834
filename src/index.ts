/**
 * The library: `import … from 'barcast'`. What the commands themselves are made of, floor by floor.
 */
export * from './bars/index.ts';
export * from './base/index.ts';
export * from './collective/index.ts';
export * from './evaluate/index.ts';
export * from './features/index.ts';
export * from './kernel/index.ts';
export * from './model/index.ts';
export * from './serve/index.ts';
export * from './sources/index.ts';
export * from './store/index.ts';
export * from './stream/index.ts';
export * from './train/index.ts';
