/** Waits on a device, and the error they end in. */
import { BarcastError } from '../../base/index.ts';

/** How long one wait on the device may take. */
export const DEVICE_TIMEOUT_MS = 60_000;

export const firstLine = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause)).split('\n', 1)[0];

export function deviceError(what: string, cause?: unknown): BarcastError {
  return new BarcastError(
    'BARCAST_E_DEVICE',
    what,
    "go on from the last checkpoint (train --resume) with another kernel or device; 'barcast doctor' lists them",
    { cause },
  );
}

/** Rejects with BARCAST_E_DEVICE when `promise` takes longer. A promise that is late is left to itself, after a call of `late`. */
export async function within<T>(
  promise: Promise<T>,
  timeoutMs: number,
  what: string,
  late: () => void = () => {},
): Promise<T> {
  promise.catch(() => {});
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      late();
      reject(deviceError(`${what} took longer than ${timeoutMs} ms`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
