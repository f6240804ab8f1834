/**
 * The C library of Open MPI or MPICH, called through koffi: only what the collective needs.
 *
 * Open MPI's handles are addresses of symbols, MPICH's are numbers that its ABI fixes (`mpi.h` of version 4.0; Intel MPI
 * and MVAPICH share them). Version 4's `libmpi.so.40` is what Debian 12 and Ubuntu 22 to 24 have (version 5 keeps that
 * name), and MPICH's `libmpich.so.12`.
 */
import koffi, { type LibraryHandle } from 'koffi';
import { BarcastError } from '../base/index.ts';

type Address = bigint;
export type MpiName = 'Open MPI' | 'MPICH';

/** What differs between the two in binary. */
interface Binary {
  /** Type of a handle in C. */
  readonly handle: 'void *' | 'int';
  readonly world: Address | number;
  readonly int64: Address | number;
  readonly byte: Address | number;
  readonly sum: Address | number;
  readonly errorsReturn: Address | number;
  /** Takes the place of the buffer to send where what is received overwrites it. */
  readonly inPlace: Address;
  /** In the place of a status that nobody asks for. */
  readonly noStatus: Address | null;
}

export interface MpiLibrary {
  init(): void;
  finalize(): void;
  abort(status: number): void;
  rank(): number;
  size(): number;
  processorName(): string;
  startAllReduce(values: BigInt64Array, request: BigInt64Array): void;
  startBroadcast(bytes: Uint8Array, root: number, request: BigInt64Array): void;
  startBarrier(request: BigInt64Array): void;
  /** Sends one byte; small messages go out without the other side's help. */
  startSend(byte: Uint8Array, to: number, tag: number, request: BigInt64Array): void;
  /** Whether the request is done; a done one must not be asked again. */
  test(request: BigInt64Array): boolean;
  /** Whether a message of that tag from that rank has come. */
  hasCome(from: number, tag: number): boolean;
  /** Lets another process have the core. */
  yieldCore(): void;
}

const NAME_BYTES = 256;

/** Where each may be found. */
const FILES: Record<MpiName, readonly string[]> =
  process.platform === 'darwin'
    ? { 'Open MPI': ['libmpi.40.dylib', 'libmpi.dylib'], MPICH: ['libmpi.12.dylib'] }
    : { 'Open MPI': ['libmpi.so.40', 'libmpi.so'], MPICH: ['libmpich.so.12', 'libmpi.so.12'] };
const PACKAGES: Record<MpiName, string> = { 'Open MPI': 'openmpi-bin', MPICH: 'mpich' };

const missing = (name: MpiName, file: string, cause: unknown) =>
  new BarcastError(
    'BARCAST_E_MPI',
    `${name}'s ${file} cannot be loaded (${cause instanceof Error ? cause.message.split('\n')[0] : String(cause)})`,
    `install it (Debian and Ubuntu: apt-get install ${PACKAGES[name]}) on every host, or train without mpirun`,
    { cause },
  );

/** @throws BARCAST_E_MPI when it is not installed, or what answers to its name is something else */
export function loadMpi(name: MpiName, files: readonly string[] = FILES[name]): MpiLibrary {
  let failure: unknown;
  for (const file of files) {
    try {
      // Open MPI's own plug-ins look for its symbols among the global ones.
      return bind(
        koffi.load(file, { global: true }),
        koffi.load(process.platform === 'darwin' ? 'libSystem.B.dylib' : 'libc.so.6'),
        name === 'MPICH' ? mpich : openMpi,
      );
    } catch (error) {
      failure ??= error;
    }
  }
  throw missing(name, files[0], failure);
}

function openMpi(mpi: LibraryHandle): Binary {
  const address = (name: string) => mpi.symbol(name, 'void *') as unknown as Address;
  return {
    handle: 'void *',
    world: address('ompi_mpi_comm_world'),
    int64: address('ompi_mpi_int64_t'),
    byte: address('ompi_mpi_byte'),
    sum: address('ompi_mpi_op_sum'),
    errorsReturn: address('ompi_mpi_errors_return'),
    inPlace: 1n,
    noStatus: null,
  };
}

const mpich = (): Binary => ({
  handle: 'int',
  world: 0x44000000,
  int64: 0x4c00083a,
  byte: 0x4c00010d,
  sum: 0x58000003,
  errorsReturn: 0x54000001,
  inPlace: 0xffff_ffff_ffff_ffffn,
  noStatus: 1n,
});

function bind(mpi: LibraryHandle, libc: LibraryHandle, binary: (mpi: LibraryHandle) => Binary): MpiLibrary {
  const { handle, world, int64, byte, sum, errorsReturn, inPlace, noStatus } = binary(mpi);
  const declare = (name: string, ...types: string[]) => {
    const f = mpi.func(name, 'int', types);
    return (...args: unknown[]) => {
      const status = f(...args) as number;
      if (status === 0) return;
      throw new BarcastError('BARCAST_E_MPI', `${name} failed with status ${status}`, 'see what mpirun has printed');
    };
  };
  const init = declare('MPI_Init', 'void *', 'void *');
  const finalize = declare('MPI_Finalize');
  const abort = declare('MPI_Abort', handle, 'int');
  const setErrorHandler = declare('MPI_Comm_set_errhandler', handle, handle);
  const commRank = declare('MPI_Comm_rank', handle, 'int32_t *');
  const commSize = declare('MPI_Comm_size', handle, 'int32_t *');
  const processorName = declare('MPI_Get_processor_name', 'char *', 'int32_t *');
  const allReduce = declare('MPI_Iallreduce', ...['void *', 'void *', 'int', handle, handle, handle, 'void *']);
  const broadcast = declare('MPI_Ibcast', 'void *', 'int', handle, 'int', handle, 'void *');
  const barrier = declare('MPI_Ibarrier', handle, 'void *');
  const send = declare('MPI_Isend', ...['void *', 'int', handle, 'int', 'int', handle, 'void *']);
  const probe = declare('MPI_Iprobe', 'int', 'int', handle, 'int32_t *', 'void *');
  const test = declare('MPI_Test', 'void *', 'int32_t *', 'void *');
  const yieldCore = libc.func('sched_yield', 'int', []);
  // Memory of its own, which does not move while C writes to it.
  const flag = new Int32Array(new ArrayBuffer(4));
  const numberFrom = (f: (...args: unknown[]) => void) => {
    f(world, flag);
    return flag[0];
  };
  return {
    init() {
      init(null, null);
      setErrorHandler(world, errorsReturn);
    },
    finalize: () => finalize(),
    abort: (status) => abort(world, status),
    rank: () => numberFrom(commRank),
    size: () => numberFrom(commSize),
    processorName() {
      const name = Buffer.from(new ArrayBuffer(NAME_BYTES));
      processorName(name, flag);
      return name.toString('utf8', 0, flag[0]);
    },
    startAllReduce: (values, request) => allReduce(inPlace, values, values.length, int64, sum, world, request),
    startBroadcast: (bytes, root, request) => broadcast(bytes, bytes.length, byte, root, world, request),
    startBarrier: (request) => barrier(world, request),
    startSend: (bytes, to, tag, request) => send(bytes, bytes.length, byte, to, tag, world, request),
    test(request) {
      test(request, flag, noStatus);
      return flag[0] !== 0;
    },
    hasCome(from, tag) {
      probe(from, tag, world, flag, noStatus);
      return flag[0] !== 0;
    },
    yieldCore: () => void yieldCore(),
  };
}
