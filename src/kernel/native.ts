/**
 * The native kernel: `native/*.c` through koffi, in the build for the best instruction set that this machine has.
 *
 * The number of threads changes no bit of an answer or a gradient; the instruction set may change the last ones.
 */
import { availableParallelism } from 'node:os';
import { BarcastError } from '../base/index.ts';
import { CallGuard } from './calls.ts';
import type { Kernel, KernelNetwork, KernelOffer, NetworkShape } from './kernel.ts';
import { buildFolder, type Handle, type InstructionSet, loadNative, type NativeLibrary } from './native-library.ts';
import { NativeNetwork } from './native-network.ts';

const MOST_THREADS = 256;

const DESCRIPTIONS: Record<InstructionSet, string> = {
  baseline: process.arch === 'arm64' ? 'C, NEON' : 'C, SSE2',
  avx2: 'C, AVX2 and FMA',
  avx512: 'C, AVX-512',
  amx: 'C, AVX-512 and AMX',
};

export interface NativeOptions {
  /** Threads it computes with, 1 to 256; the number of cores when absent. */
  readonly threads?: number;
  /** Demands one build instead of the best. */
  readonly instructionSet?: InstructionSet;
  /** Computes on the caller's thread whatever the work: for a thread of its own, which has nothing else to do. */
  readonly blocking?: boolean;
  /** Where the builds are; where `scripts/build-native.mjs` puts them when absent. */
  readonly folder?: string;
}

/** The native kernel, or in one line why there is none. */
export async function offerNative({
  threads,
  instructionSet,
  blocking = false,
  folder = buildFolder(),
}: NativeOptions = {}): Promise<KernelOffer> {
  const count = threads ?? Math.min(availableParallelism(), MOST_THREADS);
  if (!(Number.isInteger(count) && count >= 1 && count <= MOST_THREADS)) {
    return { unavailable: `it takes 1 to ${MOST_THREADS} threads, not ${count}` };
  }
  const library = loadNative(folder, instructionSet);
  if ('unavailable' in library) return library;
  const handle = library.kernelCreate(count);
  if (handle === null) return { unavailable: `the system refused ${count} threads` };
  return { kernel: new NativeKernel(library, handle, count, blocking) };
}

/**
 * The rate of fused multiply-adds in registers on `threads` threads, in GFLOP/s (two a lane): the ceiling that figures
 * of the kernel are compared with. Takes about half a second. @throws BARCAST_E_KERNEL_UNAVAILABLE
 */
export async function measureFmaPeak(threads = availableParallelism()): Promise<number> {
  const library = loadNative(buildFolder());
  if ('unavailable' in library) {
    throw new BarcastError(
      'BARCAST_E_KERNEL_UNAVAILABLE',
      `no native kernel: ${library.unavailable}`,
      'run node scripts/build-native.mjs',
    );
  }
  return await new Promise((resolve, reject) => {
    library.measureFmaPeak.async(threads, (error, gflops) => (error ? reject(error) : resolve(gflops)));
  });
}

class NativeKernel implements Kernel {
  readonly name = 'native';
  readonly threads: number;
  readonly description: string;
  readonly arithmetic: string;
  readonly #library: NativeLibrary;
  readonly #handle: Handle;
  readonly #blocking: boolean;
  readonly #guard = new CallGuard('this kernel');
  /** Networks that still use the threads, and one for the kernel itself. */
  #users = 1;

  constructor(library: NativeLibrary, handle: Handle, threads: number, blocking: boolean) {
    this.#library = library;
    this.#handle = handle;
    this.#blocking = blocking;
    this.threads = threads;
    this.arithmetic = DESCRIPTIONS[library.instructionSet];
    this.description = `${DESCRIPTIONS[library.instructionSet]}, ${threads} thread${threads === 1 ? '' : 's'}`;
  }

  createNetwork(shape: NetworkShape, weights: Float32Array, heldMs?: number): Promise<KernelNetwork> {
    const held = this.#blocking ? Number.POSITIVE_INFINITY : (heldMs ?? 0) * this.threads;
    return this.#guard.run('createNetwork', () => {
      const network = new NativeNetwork(this.#library, this.#handle, shape, weights, held, () => this.#release());
      this.#users++;
      return network;
    });
  }

  close(): void {
    if (this.#guard.close()) this.#release();
  }

  #release(): void {
    if (--this.#users === 0) this.#library.kernelDestroy(this.#handle);
  }
}
