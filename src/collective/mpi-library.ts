/**
 * The C library of Open MPI, called through koffi: only what the collective needs.
 *
 * Open MPI's handles are addresses of symbols, which is what makes it callable without its headers; MPICH's are
 * numbers of another kind, and it is not supported. Version 4's `libmpi.so.40` is what Debian 12 and Ubuntu 22 to 24
 * have (version 5 keeps that name).
 */
import koffi, { type LibraryHandle } from 'koffi';
import { BarcastError } from '../base/index.ts';

type Address = bigint;

export interface MpiLibrary {
  readonly world: Address;
  readonly int64: Address;
  readonly byte: Address;
  readonly sum: Address;
  /** Takes the place of the buffer to send where what is received overwrites it. */
  readonly inPlace: Address;
  readonly anySource: number;
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

/** Where it may be found. */
const FILES = process.platform === 'darwin' ? ['libmpi.40.dylib', 'libmpi.dylib'] : ['libmpi.so.40', 'libmpi.so'];

const missing = (cause: unknown) =>
  new BarcastError(
    'BARCAST_E_MPI',
    `Open MPI's ${FILES[0]} cannot be loaded (${cause instanceof Error ? cause.message.split('\n')[0] : String(cause)})`,
    'install it (Debian and Ubuntu: apt-get install openmpi-bin) on every host, or train without mpirun',
    { cause },
  );

/** @throws BARCAST_E_MPI when Open MPI is not installed, or what answers to its name is something else */
export function loadMpi(files: readonly string[] = FILES): MpiLibrary {
  let failure: unknown;
  for (const file of files) {
    try {
      // Open MPI's own plug-ins look for its symbols among the global ones.
      return bind(
        koffi.load(file, { global: true }),
        koffi.load(process.platform === 'darwin' ? 'libSystem.B.dylib' : 'libc.so.6'),
      );
    } catch (error) {
      failure ??= error;
    }
  }
  throw missing(failure);
}

function bind(mpi: LibraryHandle, libc: LibraryHandle): MpiLibrary {
  const address = (name: string) => mpi.symbol(name, 'void *') as unknown as Address;
  const declare = (name: string, ...types: string[]) => {
    const f = mpi.func(name, 'int', types);
    return (...args: unknown[]) => {
      const status = f(...args) as number;
      if (status === 0) return;
      throw new BarcastError('BARCAST_E_MPI', `${name} failed with status ${status}`, 'see what mpirun has printed');
    };
  };
  const [world, int64, byte, sum] = [
    address('ompi_mpi_comm_world'),
    address('ompi_mpi_int64_t'),
    address('ompi_mpi_byte'),
    address('ompi_mpi_op_sum'),
  ];
  const inPlace = 1n;
  const init = declare('MPI_Init', 'void *', 'void *');
  const finalize = declare('MPI_Finalize');
  const abort = declare('MPI_Abort', 'void *', 'int');
  const setErrorHandler = declare('MPI_Comm_set_errhandler', 'void *', 'void *');
  const commRank = declare('MPI_Comm_rank', 'void *', 'int32_t *');
  const commSize = declare('MPI_Comm_size', 'void *', 'int32_t *');
  const processorName = declare('MPI_Get_processor_name', 'char *', 'int32_t *');
  const allReduce = declare('MPI_Iallreduce', ...['void *', 'void *', 'int', 'void *', 'void *', 'void *', 'void *']);
  const broadcast = declare('MPI_Ibcast', 'void *', 'int', 'void *', 'int', 'void *', 'void *');
  const barrier = declare('MPI_Ibarrier', 'void *', 'void *');
  const send = declare('MPI_Isend', ...['void *', 'int', 'void *', 'int', 'int', 'void *', 'void *']);
  const probe = declare('MPI_Iprobe', 'int', 'int', 'void *', 'int32_t *', 'void *');
  const test = declare('MPI_Test', 'void *', 'int32_t *', 'void *');
  const yieldCore = libc.func('sched_yield', 'int', []);
  // Memory of its own, which does not move while C writes to it.
  const flag = new Int32Array(new ArrayBuffer(4));
  const numberFrom = (f: (...args: unknown[]) => void) => {
    f(world, flag);
    return flag[0];
  };
  return {
    world,
    int64,
    byte,
    sum,
    inPlace,
    anySource: -1,
    init() {
      init(null, null);
      setErrorHandler(world, address('ompi_mpi_errors_return'));
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
      test(request, flag, null);
      return flag[0] !== 0;
    },
    hasCome(from, tag) {
      probe(from, tag, world, flag, null);
      return flag[0] !== 0;
    },
    yieldCore: () => void yieldCore(),
  };
}
