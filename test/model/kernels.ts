/** The kernels that this machine has, for tests that hold an answer against every one of them. */
import { BarcastError } from '../../src/base/index.ts';
import { chooseKernel, type Kernel, type KernelName } from '../../src/kernel/index.ts';

/** @param skipped gets a line for each kernel that cannot run here */
export async function kernelsHere(skipped: (line: string) => void): Promise<Kernel[]> {
  const kernels: Kernel[] = [];
  for (const kernel of ['reference', 'native', 'webgpu'] satisfies KernelName[]) {
    try {
      kernels.push(await chooseKernel({ kernel }));
    } catch (error) {
      if (!(error instanceof BarcastError) || error.code !== 'BARCAST_E_KERNEL_UNAVAILABLE') throw error;
      skipped(error.line);
    }
  }
  return kernels;
}

/** The largest distance between two answers of one length. */
export function worstDistance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    const distance = Math.abs(a[i] - b[i]);
    if (!(distance <= worst)) worst = distance;
  }
  return worst;
}
