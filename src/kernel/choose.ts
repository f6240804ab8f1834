/** Which kernel computes: the one asked for, or the fastest that this machine can run. */
import { BarcastError } from '../base/index.ts';
import type { Kernel, KernelName, KernelOffer } from './kernel.ts';
import { referenceKernel } from './reference.ts';

export interface KernelRequest {
  /** `auto`: native where it can run, otherwise the reference. */
  readonly kernel: 'auto' | KernelName;
  /** Worker threads; absent for as many as the kernel finds best. The reference kernel always has one. */
  readonly threads?: number;
  /** Computes on the caller's thread: for a thread of its own, which has nothing else to do. */
  readonly blocking?: boolean;
  /** Gets one line when `auto` has to fall back. */
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
  webgpu: () => ({ unavailable: 'this version has no WebGPU kernel yet' }),
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
      `choose auto, native, webgpu or reference`,
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
  if ('kernel' in native) return native.kernel;
  say?.(`The native kernel cannot run here (${native.unavailable}); using the slower reference kernel.`);
  const reference = await take(from, 'reference', threads);
  if ('kernel' in reference) return reference.kernel;
  throw new BarcastError(
    'BARCAST_E_KERNEL_UNAVAILABLE',
    `no kernel can run here: ${reference.unavailable}`,
    'report this',
  );
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
