/** The house's one rule: folders depend downwards, through their doors. `npm run lint` holds it. */
const floors = {
  base: [],
  bars: [],
  store: ['bars'],
  sources: ['bars', 'store'],
  kernel: [],
  collective: [],
  features: ['bars', 'store', 'kernel'],
  model: ['bars', 'kernel', 'features'],
  train: ['bars', 'model', 'features', 'kernel', 'collective'],
  evaluate: ['bars', 'model', 'features', 'kernel', 'train', 'stream'],
  stream: ['bars', 'sources', 'model', 'features', 'kernel'],
  serve: ['bars', 'stream', 'store', 'model', 'features'],
};

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...Object.entries(floors).map(([folder, below]) => ({
      name: `${folder}-depends-downwards`,
      severity: 'error',
      from: { path: `^src/${folder}/` },
      to: { path: '^(src|web|test|bench)/', pathNot: `^src/(${[folder, 'base', ...below].join('|')})/` },
    })),
    {
      name: 'through-the-door',
      comment: 'another folder is used through its index.ts alone',
      severity: 'error',
      from: { path: '^src/([^/]+)/' },
      to: { path: '^src/[^/]+/', pathNot: ['^src/$1/', '^src/[^/]+/index\\.ts$'] },
    },
    { name: 'no-circles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, pathNot: ['\\.d\\.ts$', '^src/cli/main\\.ts$', '^src/index\\.ts$'] },
      to: {},
    },
    { name: 'no-unresolved', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'no-dev-packages',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.mjs', '.js'],
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
};
