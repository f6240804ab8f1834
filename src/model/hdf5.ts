/**
 * Reads HDF5 files that nobody vouches for. The library (HDF5 compiled to WebAssembly) runs in a thread of its own,
 * started for one file and ended with it: whatever a damaged file does to it, the process goes on.
 */
import { Worker } from 'node:worker_threads';
import { BarcastError } from '../base/index.ts';
import type { Hdf5Answer, Hdf5Content, Hdf5Order } from './hdf5-content.ts';

export type { Hdf5Content, Hdf5Dataset } from './hdf5-content.ts';

/** A model is read in a fraction of a second; a damaged file can keep the library busy for ever. */
const TIME_LIMIT_MS = 20_000;

/** The 8 bytes every HDF5 file starts with. */
const SIGNATURE = Buffer.from('\x89HDF\r\n\x1a\n', 'latin1');

export const isHdf5 = (bytes: Uint8Array): boolean => SIGNATURE.equals(bytes.subarray(0, SIGNATURE.length));

/**
 * The root's text attributes, and the text attributes and floating-point datasets within groups of the root.
 *
 * @param groups names in the root; one that is not there is left out of the answer
 * @param source named in errors
 * @throws BARCAST_E_MODEL_FORMAT for a file that the HDF5 library cannot read to its end
 */
export async function readHdf5(
  bytes: Uint8Array,
  groups: readonly string[],
  source: string,
  timeLimitMs = TIME_LIMIT_MS,
): Promise<Hdf5Content> {
  const refuse = (what: string, cause?: unknown) =>
    new BarcastError(
      'BARCAST_E_MODEL_FORMAT',
      `${source} is not a whole HDF5 file: ${what}`,
      'restore it from a copy, or save the model again',
      { cause },
    );
  const worker = new Worker(new URL('./hdf5-worker.ts', import.meta.url), {
    workerData: { bytes, groups } satisfies Hdf5Order,
    execArgv: [],
    // The library's runtime prints how it ended; the error that is thrown here takes its place.
    stdout: true,
    stderr: true,
  });
  worker.stdout.resume();
  worker.stderr.resume();
  let timer: NodeJS.Timeout | undefined;
  try {
    const answer = await new Promise<Hdf5Answer>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', (error: NodeJS.ErrnoException) =>
        reject(error.code === 'ERR_MODULE_NOT_FOUND' ? error : refuse(firstLine(error.message), error)),
      );
      worker.once('exit', () => reject(refuse('reading it ended early')));
      timer = setTimeout(() => reject(refuse('reading it does not come to an end')), timeLimitMs);
    });
    if ('failure' in answer) throw refuse(firstLine(answer.failure));
    return answer.content;
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}

const firstLine = (text: string): string => text.split('\n', 1)[0].trim() || 'the library gives no reason';
