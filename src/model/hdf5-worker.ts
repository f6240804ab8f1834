/**
 * The thread that reads one HDF5 file and ends. A damaged file can make the HDF5 library abort, loop or run out of
 * memory; here that ends this thread alone. {@link readHdf5} starts it.
 *
 * It is the library's build for browsers that is taken: its files live in the thread's memory, while those of the
 * build for Node are the machine's own, open to whatever the model's file names.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Dataset, File, Group, ready } from 'h5wasm';
import { DATASET_LIMIT, type Hdf5Answer, type Hdf5Content, type Hdf5Dataset, type Hdf5Order } from './hdf5-content.ts';

/** A sound model has a few dozen objects, a few levels deep; hard links of a damaged file can form circles. */
const OBJECT_LIMIT = 4096;
const DEPTH_LIMIT = 16;

const product = (dimensions: readonly number[]) => dimensions.reduce((all, n) => all * n, 1);

function readTextAttributes(object: Group | Dataset): Record<string, string | string[]> {
  const texts: Record<string, string | string[]> = {};
  for (const [name, attribute] of Object.entries(object.attrs)) {
    const value: unknown = attribute.value;
    if (typeof value === 'string') texts[name] = value;
    else if (Array.isArray(value) && value.every((item) => typeof item === 'string')) texts[name] = value;
  }
  return texts;
}

function readFloats(dataset: Dataset): Hdf5Dataset | undefined {
  const dimensions = dataset.shape;
  if (!dimensions || product(dimensions) > DATASET_LIMIT) return undefined;
  const value = dataset.value;
  if (!(value instanceof Float32Array || value instanceof Float64Array)) return undefined;
  return { dimensions, data: Float32Array.from(value) };
}

function readParts(file: File, groups: readonly string[]): Hdf5Content {
  const attributes = new Map<string, Record<string, string | string[]>>();
  const datasets = new Map<string, Hdf5Dataset>();
  let objects = 0;
  const visit = (object: unknown, path: string, depth: number) => {
    if (!(object instanceof Group || object instanceof Dataset)) return;
    if (++objects > OBJECT_LIMIT || depth > DEPTH_LIMIT) throw new Error('it has more objects than any model');
    attributes.set(path, readTextAttributes(object));
    if (object instanceof Dataset) {
      const floats = readFloats(object);
      if (floats) datasets.set(path, floats);
      return;
    }
    for (const name of object.keys()) visit(object.get(name), `${path}/${name}`, depth + 1);
  };
  attributes.set('', readTextAttributes(file));
  for (const name of file.keys()) if (groups.includes(name)) visit(file.get(name), `/${name}`, 1);
  return { attributes, datasets };
}

async function read({ bytes, groups }: Hdf5Order): Promise<Hdf5Answer> {
  const library = await ready;
  // Otherwise the library prints its errors and answers with holes where they were.
  library.activate_throwing_error_handler();
  library.FS.writeFile('/model.h5', bytes);
  try {
    return { content: readParts(new File('/model.h5', 'r'), groups) };
  } catch (error) {
    return { failure: reasonOf(error instanceof Error ? error.message : String(error)) };
  }
}

/** The innermost line of the library's error stack, `#006: …H5Fsuper.c line 577 in H5F__super_read(): truncated file`. */
function reasonOf(message: string): string {
  const reasons = [...message.matchAll(/#\d+: .* in \w+\(\): (.+)/g)];
  return reasons.at(-1)?.[1] ?? message;
}

parentPort?.postMessage(await read(workerData as Hdf5Order));
