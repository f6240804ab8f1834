/** Every command by its name, in the order of a first day's work; a module is loaded when its command is asked for. */
import type { Command } from 'commander';
import type { Register } from './context.ts';

const COMMANDS: Readonly<Record<string, () => Promise<Register>>> = {
  demo: async () => (await import('./demo.ts')).registerDemo,
  ingest: async () => (await import('./ingest.ts')).registerIngest,
  doctor: async () => (await import('./doctor.ts')).registerDoctor,
  train: async () => (await import('./train.ts')).registerTrain,
  tune: async () => (await import('./tune.ts')).registerTune,
  evaluate: async () => (await import('./evaluate.ts')).registerEvaluate,
  'walk-forward': async () => (await import('./walk-forward.ts')).registerWalkForward,
  backtest: async () => (await import('./backtest.ts')).registerBacktest,
  audit: async () => (await import('./audit.ts')).registerAudit,
  report: async () => (await import('./report.ts')).registerReport,
  predict: async () => (await import('./predict.ts')).registerPredict,
  serve: async () => (await import('./serve.ts')).registerServe,
  feed: async () => (await import('./feed.ts')).registerFeed,
  replay: async () => (await import('./replay.ts')).registerReplay,
  models: async () => (await import('./models.ts')).registerModels,
  export: async () => (await import('./doors.ts')).registerExport,
  'import-keras': async () => (await import('./doors.ts')).registerImportKeras,
  simulate: async () => (await import('./simulate.ts')).registerSimulate,
  bench: async () => (await import('./bench.ts')).registerBench,
};

/** Registers the command that the first word names, or all of them when it names none (for help and suggestions). */
export async function registerCommands(program: Command, word: string | undefined): Promise<void> {
  const known = word !== undefined && Object.hasOwn(COMMANDS, word);
  const loads = known ? [COMMANDS[word]] : Object.values(COMMANDS);
  for (const load of loads) (await load())(program);
}
