/**
 * The one error class that reaches a user, and every stable code it may carry.
 *
 * A code is a promise to scripts: it is never renamed. `docs/reference/errors.md` lists the same codes and a test
 * holds the two together.
 */

/** Exit status 2: the words or the input were wrong. Exit status 1: the work failed. */
export type ExitStatus = 1 | 2;

/** Every stable error code with its exit status and what it means. */
export const ERROR_CODES = {
  BARCAST_E_USAGE: [2, 'An unknown command or option, or an option with a value it cannot take.'],
  BARCAST_E_DATE: [2, 'A date or time that cannot be read, or a range that is empty or has not begun.'],
  BARCAST_E_SYMBOL: [2, 'A symbol that is not a symbol, or that the store or the source does not know.'],
  BARCAST_E_FILE_MISSING: [2, 'A file or folder named by the user does not exist or cannot be read.'],
  BARCAST_E_FILE_FORMAT: [2, 'An input file is truncated, binary, or lacks the columns of a bar.'],
  BARCAST_E_STORE_LOCKED: [1, 'Another process owns the store and is writing to it.'],
  BARCAST_E_STORE_CORRUPT: [1, 'The store lacks a file that its manifest names, or holds one it cannot read.'],
  BARCAST_E_STORE_EMPTY: [1, 'The store holds no bars for what was asked.'],
  BARCAST_E_DISK_FULL: [1, 'The disk is full; what was stored before is untouched.'],
  BARCAST_E_PERMISSION: [1, 'The operating system refused to read or write a file or folder.'],
  BARCAST_E_NETWORK: [1, 'The source of bars, or a bus, cannot be reached.'],
  BARCAST_E_RATE_LIMITED: [1, 'The source of bars, or this server, refuses further requests for now (HTTP 429).'],
  BARCAST_E_SOURCE_FORMAT: [1, 'The source of bars answered in a form that is not the documented one.'],
  BARCAST_E_MODEL_MISSING: [2, 'No model of that name or version.'],
  BARCAST_E_MODEL_FORMAT: [2, 'A model file is truncated, foreign, or does not fit its description.'],
  BARCAST_E_SHAPE: [2, 'A network shape, batch or array size that the kernel does not take.'],
  BARCAST_E_NOT_FINITE: [2, 'An input holds NaN or an infinity where a finite number is needed.'],
  BARCAST_E_DIVERGED: [1, 'Training produced a loss, gradient or weight that is not finite.'],
  BARCAST_E_KERNEL_UNAVAILABLE: [1, 'The kernel asked for cannot run on this machine.'],
  BARCAST_E_DEVICE: [1, 'A GPU was lost, fell silent, ran out of memory or refused a command.'],
  BARCAST_E_TOO_FEW_WINDOWS: [1, 'The bars hold too few windows to train, calibrate or score on.'],
  BARCAST_E_LEAKAGE: [1, 'An audit found that something made from the past depends on the future.'],
  BARCAST_E_CHECKPOINT: [1, 'A checkpoint is damaged or belongs to another training run.'],
  BARCAST_E_RANK: [1, 'A rank of a parallel training died, fell silent, or computed other bits than the others.'],
  BARCAST_E_RANKS_DIFFER: [2, 'The ranks of a parallel training have different data, options, versions or processors.'],
  BARCAST_E_MPI: [1, 'Open MPI, or MPICH, is missing, or could not start or carry the job.'],
  BARCAST_E_HOST: [1, 'A host to train on cannot be reached.'],
  BARCAST_E_PORT_IN_USE: [1, 'The port to listen on is taken.'],
  BARCAST_E_TOKEN_REQUIRED: [2, 'Listening beyond this machine needs an access token.'],
  BARCAST_E_BUS: [1, 'A message bus that this version cannot use, or that refused a message.'],
  BARCAST_E_INTERRUPTED: [1, 'Stopped by a signal; the same command goes on from here.'],
  BARCAST_E_INTERNAL: [1, 'A defect in barcast itself.'],
} as const satisfies Record<string, readonly [ExitStatus, string]>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** An error told to the user in one line: a stable code, what is wrong, and what to do about it. */
export class BarcastError extends Error {
  readonly code: ErrorCode;
  readonly remedy: string;

  /**
   * @param code one of {@link ERROR_CODES}
   * @param what what is wrong, without a full stop at its end
   * @param remedy what the user can do, without a full stop at its end
   */
  constructor(code: ErrorCode, what: string, remedy: string, options?: { cause?: unknown }) {
    super(what, options);
    this.name = 'BarcastError';
    this.code = code;
    this.remedy = remedy;
  }

  get exitStatus(): ExitStatus {
    return ERROR_CODES[this.code][0];
  }

  /** The line a command prints: `BARCAST_E_DATE: what is wrong; what to do`. Line breaks inside are folded. */
  get line(): string {
    return `${this.code}: ${this.message}; ${this.remedy}`.replace(/\s*[\r\n]+\s*/g, ' ');
  }
}

/** The operating system's code of an error (`ENOENT`, `ENOSPC`, …), looked for through its causes. */
export function systemErrorCode(error: unknown): string | undefined {
  for (let e = error; e instanceof Error; e = e.cause) {
    const code = (e as NodeJS.ErrnoException).code;
    if (typeof code === 'string' && /^E[A-Z0-9]+$/.test(code)) return code;
  }
  return undefined;
}

/**
 * Any thrown value as a {@link BarcastError}: a full disk, a refused permission and a path that is not there get codes of
 * their own wherever they happen; what is left is `BARCAST_E_INTERNAL`.
 */
export function toBarcastError(error: unknown): BarcastError {
  if (error instanceof BarcastError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const system = systemErrorCode(error);
  const says = (pattern: RegExp) => pattern.test(message);
  if (system === 'ENOSPC' || system === 'EDQUOT' || says(/No space left on device/i)) {
    return new BarcastError(
      'BARCAST_E_DISK_FULL',
      `no space left on the disk (${message})`,
      'free some space and run the same command again',
      { cause: error },
    );
  }
  if (
    system === 'EACCES' ||
    system === 'EPERM' ||
    system === 'EROFS' ||
    says(/Permission denied|Read-only file system/i)
  ) {
    return new BarcastError('BARCAST_E_PERMISSION', message, 'check the owner and the permissions of that path', {
      cause: error,
    });
  }
  if (system === 'ENOENT' || system === 'ENOTDIR' || system === 'EISDIR') {
    return new BarcastError('BARCAST_E_FILE_MISSING', message, 'check that path', { cause: error });
  }
  return new BarcastError('BARCAST_E_INTERNAL', message, 'run it again with --verbose and report what it prints', {
    cause: error,
  });
}
