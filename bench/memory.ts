/** What a process holds, and whether it grows. */
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Bytes of this process after a collection of garbage, so that growth is growth. */
export interface Memory {
  /** What the operating system has given it. */
  readonly rssMb: number;
  /** What its objects and buffers take. */
  readonly heldMb: number;
}

let collect: (() => void) | undefined;

export async function memoryNow(): Promise<Memory> {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  // What has a finalizer goes with the second one.
  for (let i = 0; i < 2; i++) {
    collect();
    await setImmediate();
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  const megabytes = (bytes: number) => Math.round((10 * bytes) / 2 ** 20) / 10;
  return { rssMb: megabytes(rss), heldMb: megabytes(heapUsed + external) };
}

/** Of samples at even distances. */
export interface Growth {
  readonly begin: number;
  readonly end: number;
  /** From the first to the last, in percent of the first. */
  readonly percent: number;
  /** The same of the straight line through all of them (least squares): single samples move it less. */
  readonly linePercent: number;
}

export function growthOf(samples: readonly number[]): Growth {
  const [begin, end] = [samples[0], samples.at(-1)!];
  const n = samples.length;
  const [middle, mean] = [(n - 1) / 2, samples.reduce((sum, it) => sum + it, 0) / n];
  let [covariance, variance] = [0, 0];
  for (const [i, value] of samples.entries()) {
    covariance += (i - middle) * (value - mean);
    variance += (i - middle) ** 2;
  }
  const slope = variance > 0 ? covariance / variance : 0;
  return {
    begin,
    end,
    percent: (100 * (end - begin)) / begin,
    linePercent: (100 * slope * (n - 1)) / (mean - slope * middle),
  };
}
