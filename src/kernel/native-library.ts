/**
 * The native kernel's shared object, called through koffi: which build to load, and `native/barcast_kernel.h` in
 * TypeScript. It loads only a build whose instructions this machine has: the baseline build, which every processor of
 * the architecture runs, is asked first.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { BarcastError } from '../base/index.ts';

/** The instruction sets there are builds for, worst first; the index is that of the C header. */
export const INSTRUCTION_SETS = ['baseline', 'avx2', 'avx512', 'amx'] as const;
export type InstructionSet = (typeof INSTRUCTION_SETS)[number];

/** Where `scripts/build-native.mjs` puts its builds. */
export const buildFolder = (): string =>
  join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'build', 'native');

export const buildFile = (folder: string, set: InstructionSet): string => join(folder, `barcast_kernel_${set}.so`);

/** The best build that is there and that the machine runs; undefined when none is. */
export function bestBuild(
  machineRuns: InstructionSet,
  present: (set: InstructionSet) => boolean,
): InstructionSet | undefined {
  const most = INSTRUCTION_SETS.indexOf(machineRuns);
  return INSTRUCTION_SETS.findLast((set, index) => index <= most && present(set));
}

/** A pointer that C gave. */
export type Handle = { readonly handle: unique symbol } | bigint;

/** Statuses of the C header. */
export const STATUS = { ok: 0, shape: 1, notFinite: 2, diverged: 3, memory: 4, setting: 5 } as const;

export interface NativeShape {
  dropout: number;
  window_length: number;
  features: number;
  lstm_layers: number;
  lstm_units: number[];
  dense_layers: number;
  dense_units: number[];
  dense_activations: number[];
}

export interface NativeWindows {
  matrix: Float32Array;
  starts: Int32Array;
  shift: Float32Array;
  gain: Float32Array;
  rows: number;
  sequences: number;
  scale_stride: number;
  columns: number;
}

export interface NativeGoal {
  targets: Float32Array;
  levels: Float32Array | null;
  delta: number;
  first_sequence: number;
  loss: number;
  dropout_seed: number;
  step: number;
}

export interface NativeOptimizer {
  learning_rate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weight_decay: number;
  clip_norm: number;
  kind: number;
}

/** A C function, callable here and now or on a thread of its own. */
export interface NativeCall<Arguments extends unknown[]> {
  (...args: Arguments): number;
  async(...args: [...Arguments, (error: unknown, status: number) => void]): void;
}

/** The functions of `barcast_kernel.h`; what they take and answer is stated there. */
export interface NativeLibrary {
  readonly instructionSet: InstructionSet;
  kernelCreate(threads: number): Handle | null;
  kernelDestroy(kernel: Handle): void;
  networkCreate(
    kernel: Handle,
    shape: NativeShape,
    weights: Float32Array,
    parameters: number,
    status: Int32Array,
  ): Handle | null;
  networkDestroy(network: Handle): void;
  readWeights(network: Handle, weights: Float32Array): void;
  writeWeights(network: Handle, weights: Float32Array): void;
  readOptimizer(network: Handle, m: Float32Array, v: Float32Array): number;
  writeOptimizer(network: Handle, m: Float32Array, v: Float32Array, updates: number): void;
  readonly forward: NativeCall<[Handle, NativeWindows, Float32Array]>;
  readonly gradient: NativeCall<[Handle, NativeWindows, NativeGoal, BigInt64Array]>;
  readonly update: NativeCall<[Handle, BigInt64Array, number, NativeOptimizer]>;
  readonly train: NativeCall<[Handle, NativeWindows, NativeGoal, NativeOptimizer, Float64Array]>;
  readonly measureFmaPeak: NativeCall<[number]>;
  apply(functionIndex: number, input: Float32Array, output: Float32Array, n: number): void;
}

const ABI = 3;

const structs = {
  shape: koffi.pointer(
    koffi.struct({
      dropout: 'double',
      window_length: 'int32_t',
      features: 'int32_t',
      lstm_layers: 'int32_t',
      lstm_units: koffi.array('int32_t', 3),
      dense_layers: 'int32_t',
      dense_units: koffi.array('int32_t', 4),
      dense_activations: koffi.array('int32_t', 4),
    }),
  ),
  windows: koffi.pointer(
    koffi.struct({
      matrix: 'const float *',
      starts: 'const int32_t *',
      shift: 'const float *',
      gain: 'const float *',
      rows: 'int64_t',
      sequences: 'int64_t',
      scale_stride: 'int32_t',
      columns: 'int32_t',
    }),
  ),
  goal: koffi.pointer(
    koffi.struct({
      targets: 'const float *',
      levels: 'const float *',
      delta: 'double',
      first_sequence: 'int64_t',
      loss: 'int32_t',
      dropout_seed: 'uint32_t',
      step: 'uint32_t',
    }),
  ),
  optimizer: koffi.pointer(
    koffi.struct({
      learning_rate: 'double',
      beta1: 'double',
      beta2: 'double',
      epsilon: 'double',
      weight_decay: 'double',
      clip_norm: 'double',
      kind: 'int32_t',
    }),
  ),
};

function loadBuild(folder: string, set: InstructionSet): NativeLibrary {
  const library = koffi.load(buildFile(folder, set));
  const { shape, windows, goal, optimizer } = structs;
  if (library.func('barcast_abi', 'int32_t', [])() !== ABI) {
    throw new BarcastError(
      'BARCAST_E_KERNEL_UNAVAILABLE',
      'the native build is of another version',
      'run node scripts/build-native.mjs',
    );
  }
  return {
    instructionSet: set,
    kernelCreate: library.func('barcast_kernel_create', 'void *', ['int32_t']),
    kernelDestroy: library.func('barcast_kernel_destroy', 'void', ['void *']),
    networkCreate: library.func('barcast_network_create', 'void *', [
      'void *',
      shape,
      'const float *',
      'int64_t',
      'int32_t *',
    ]),
    networkDestroy: library.func('barcast_network_destroy', 'void', ['void *']),
    readWeights: library.func('barcast_network_read_weights', 'void', ['void *', 'float *']),
    writeWeights: library.func('barcast_network_write_weights', 'void', ['void *', 'const float *']),
    readOptimizer: library.func('barcast_network_read_optimizer', 'int64_t', ['void *', 'float *', 'float *']),
    writeOptimizer: library.func('barcast_network_write_optimizer', 'void', [
      'void *',
      'const float *',
      'const float *',
      'int64_t',
    ]),
    forward: library.func('barcast_network_forward', 'int32_t', ['void *', windows, 'float *']),
    gradient: library.func('barcast_network_gradient', 'int32_t', ['void *', windows, goal, 'int64_t *']),
    update: library.func('barcast_network_update', 'int32_t', ['void *', 'const int64_t *', 'int64_t', optimizer]),
    train: library.func('barcast_network_train', 'int32_t', ['void *', windows, goal, optimizer, 'double *']),
    measureFmaPeak: library.func('barcast_measure_fma_peak', 'double', ['int32_t']),
    apply: library.func('barcast_apply', 'void', ['int32_t', 'const float *', 'float *', 'int64_t']),
  };
}

/** The best instruction set that this machine runs, as the baseline build tells. */
export function machineRuns(folder: string): InstructionSet {
  const runs: number = koffi.load(buildFile(folder, 'baseline')).func('barcast_machine_runs', 'int32_t', [])();
  return INSTRUCTION_SETS[runs];
}

/** The library to use, or why there is none. Never loads a build whose instructions the machine lacks. */
export function loadNative(folder: string, wanted?: InstructionSet): NativeLibrary | { readonly unavailable: string } {
  const present = (set: InstructionSet) => existsSync(buildFile(folder, set));
  if (!present('baseline')) {
    return { unavailable: 'it is not built: run node scripts/build-native.mjs, which needs a C compiler' };
  }
  try {
    const runs = machineRuns(folder);
    const set = bestBuild(runs, (candidate) => present(candidate) && (wanted === undefined || candidate === wanted));
    if (set !== undefined) return loadBuild(folder, set);
    return {
      unavailable: present(wanted!) ? `this processor runs ${runs}, not ${wanted}` : `it is not built for ${wanted}`,
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    return { unavailable: `its build cannot be loaded (${reason}): run node scripts/build-native.mjs` };
  }
}
