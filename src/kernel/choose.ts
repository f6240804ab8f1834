/** Which kernel computes: the one asked for, or the fastest that this machine can run. */
import { BarcastError } from '../base/index.ts';
import type { Kernel, KernelName, KernelOffer } from './kernel.ts';
import { raceTime, selfCheck } from './race.ts';
import { referenceKernel } from './reference.ts';

export interface KernelRequest {
  /** `auto`: a GPU that passes a self-check and outruns the native kernel; native; otherwise the reference. */
  readonly kernel: 'auto' | KernelName;
  /** Worker threads; absent for as many as the kernel finds best. The reference kernel always has one. */
  readonly threads?: number;
  /** Computes on the caller's thread: for a thread of its own, which has nothing else to do. */
  readonly blocking?: boolean;
  /** Gets one line when `auto` has a GPU to judge, or has to fall back. */
  readonly say?: (line: string) => void;
}

/** What each kernel offers; one that cannot be loaded at all may throw. */
export type KernelOffers = Record<
  KernelName,
  (threads: number | undefined, blocking?: boolean) => KernelOffer | Promise<KernelOffer>
>;

const offers: KernelOffers = {
  reference: () => ({ kernel: referenceKernel() }),
  // Loaded only when asked for: it brings a foreign-function library that need not be there.
  native: async (threads, blocking) => (await import('./native.ts')).offerNative({ threads, blocking }),
  webgpu: async () => (await import('./webgpu.ts')).offerWebgpu({ adapter: process.env.BARCAST_ADAPTER }),
  'webgpu-f16': async () =>
    (await import('./webgpu.ts')).offerWebgpu({ adapter: process.env.BARCAST_ADAPTER, half: true }),
};

/**
 * The kernel asked for. Close it after use.
 *
 * @throws BARCAST_E_KERNEL_UNAVAILABLE when the one named cannot run here, with its reason
 * @throws BARCAST_E_USAGE for a name that is none, or a number of threads that is no whole number from 1 on
 */
export const chooseKernel = (request: KernelRequest): Promise<Kernel> => chooseKernelFrom(offers, request);

/** {@link chooseKernel} with the offers given. */
export async function chooseKernelFrom(
  from: KernelOffers,
  { kernel: name, threads, blocking, say }: KernelRequest,
): Promise<Kernel> {
  if (name !== 'auto' && !Object.hasOwn(from, name)) {
    throw new BarcastError(
      'BARCAST_E_USAGE',
      `no kernel is called '${name}'`,
      `choose auto, native, webgpu, webgpu-f16 or reference`,
    );
  }
  if (threads !== undefined && !(Number.isSafeInteger(threads) && threads >= 1)) {
    throw new BarcastError('BARCAST_E_USAGE', `a kernel of ${threads} threads`, 'give a whole number from 1 on');
  }
  if (name !== 'auto') {
    const offer = await take(from, name, threads, blocking);
    if ('kernel' in offer) return offer.kernel;
    throw new BarcastError(
      'BARCAST_E_KERNEL_UNAVAILABLE',
      `the ${name} kernel cannot run here: ${offer.unavailable}`,
      'choose --kernel auto to run on the best one that can',
      { cause: offer.cause },
    );
  }
  const native = await take(from, 'native', threads, blocking);
  // A thread of its own is one of many: they would all ask for the same GPU.
  const gpu = blocking ? { unavailable: 'a thread takes none' } : await take(from, 'webgpu', threads);
  if ('kernel' in gpu) {
    const { chosen, why } = await judge(gpu.kernel, 'kernel' in native ? native.kernel : undefined);
    if (why !== undefined) say?.(why);
    if (chosen) {
      if ('kernel' in native) native.kernel.close();
      return gpu.kernel;
    }
    gpu.kernel.close();
  }
  if ('kernel' in native) return native.kernel;
  const noGpu = 'kernel' in gpu ? '' : `, nor WebGPU (${gpu.unavailable})`;
  say?.(`The native kernel cannot run here (${native.unavailable})${noGpu}; using the slower reference kernel.`);
  const reference = await take(from, 'reference', threads);
  if ('kernel' in reference) return reference.kernel;
  throw new BarcastError(
    'BARCAST_E_KERNEL_UNAVAILABLE',
    `no kernel can run here: ${reference.unavailable}`,
    'report this',
  );
}

/** Whether a GPU is what to compute on, and one line about it. A GPU in software is never, and not worth a line. */
async function judge(gpu: Kernel, native: Kernel | undefined): Promise<{ chosen: boolean; why?: string }> {
  if (gpu.software) return { chosen: false };
  const count = (rate: number) => rate.toLocaleString('en-US');
  try {
    const wrong = await selfCheck(gpu);
    if (wrong !== undefined) return { chosen: false, why: `Not using ${gpu.description}: ${wrong}.` };
    if (native === undefined) return { chosen: true, why: `Using ${gpu.description}: there is no native kernel here.` };
    const [ours, theirs] = [await raceTime(gpu), await raceTime(native)];
    const rates = `${count(ours)} against ${count(theirs)} sequences/s of ${native.description}`;
    return ours > theirs
      ? { chosen: true, why: `Using ${gpu.description}: ${rates}.` }
      : { chosen: false, why: `Not using ${gpu.description}: ${rates}.` };
  } catch (error) {
    return { chosen: false, why: `Not using ${gpu.description}: ${(error as Error).message}.` };
  }
}

/** An offer, with a failure to load turned into a reason. */
async function take(
  from: KernelOffers,
  name: KernelName,
  threads: number | undefined,
  blocking?: boolean,
): Promise<{ kernel: Kernel } | { unavailable: string; cause?: unknown }> {
  try {
    return await from[name](threads, blocking);
  } catch (cause) {
    if (cause instanceof BarcastError && cause.code !== 'BARCAST_E_KERNEL_UNAVAILABLE') throw cause;
    return { unavailable: cause instanceof Error ? cause.message : String(cause), cause };
  }
}
