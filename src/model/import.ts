/**
 * Opens models that are not in a registry: Keras files, one-file safetensors, a model's folder. Each picks the fastest
 * kernel of this machine unless it is handed one, and the model then closes that kernel when it is closed.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { BarcastError } from '../base/index.ts';
import { chooseKernel, type Kernel } from '../kernel/index.ts';
import type { ModelDescription } from './description.ts';
import { type BareNetwork, readKeras } from './keras.ts';
import { Model } from './model.ts';
import { decodeModelFile } from './model-file.ts';
import { checkModelName, Registry, readModel } from './registry.ts';
import { weightsHash } from './weights.ts';

export interface OpenOptions {
  /** What computes; left out: the native kernel where it can run, otherwise the reference, closed with the model. */
  readonly kernel?: Kernel;
  /** Gets one line when the native kernel cannot run. */
  readonly say?: (line: string) => void;
}

/** The description of a network without recipe and scalers. @throws BARCAST_E_USAGE for a name that cannot be one */
export function describeBareNetwork({ name, shape, weights }: BareNetwork): ModelDescription {
  const fixed = { format: 1 as const, name: checkModelName(name), shape, weightsHash: weightsHash(weights) };
  const version = createHash('sha256').update(JSON.stringify(fixed)).digest('hex').slice(0, 12);
  return { ...fixed, version };
}

/**
 * A Keras model (`.h5` or `.keras`) as a bare network: it answers `forward`, and has no recipe to make forecasts by.
 *
 * @throws BARCAST_E_FILE_MISSING, BARCAST_E_MODEL_FORMAT as {@link readKeras}
 */
export async function importKeras(path: string, options: OpenOptions = {}): Promise<Model> {
  const network = await readKeras(path);
  return open(options, (kernel) => Model.open(describeBareNetwork(network), network.weights, kernel));
}

/** A model from one safetensors file, as `encodeModelFile` writes it. @throws BARCAST_E_FILE_MISSING, BARCAST_E_MODEL_FORMAT */
export async function importSafetensors(path: string, options: OpenOptions = {}): Promise<Model> {
  requireFile(path);
  const { description, weights } = decodeModelFile(readFileSync(path), path);
  return open(options, (kernel) => Model.open(description, weights, kernel));
}

/**
 * A model by its path: a folder of the registry (of a version, or of a model for its current version), a Keras file
 * or a one-file safetensors.
 *
 * @throws BARCAST_E_MODEL_MISSING, BARCAST_E_FILE_MISSING, BARCAST_E_MODEL_FORMAT
 */
export async function loadModel(path: string, options: OpenOptions = {}): Promise<Model> {
  const extension = extname(path).toLowerCase();
  if (extension === '.safetensors') return importSafetensors(path, options);
  if (extension === '.h5' || extension === '.hdf5' || extension === '.keras') return importKeras(path, options);
  return open(options, (kernel) =>
    existsSync(join(path, 'current.json'))
      ? new Registry(dirname(path)).load(basename(path), kernel)
      : readModel(path, kernel),
  );
}

function requireFile(path: string): void {
  if (existsSync(path)) return;
  throw new BarcastError('BARCAST_E_FILE_MISSING', `${path} does not exist`, 'name a file that is there');
}

async function open(options: OpenOptions, work: (kernel: Kernel) => Promise<Model>): Promise<Model> {
  if (options.kernel) return work(options.kernel);
  const kernel = await chooseKernel({ kernel: 'auto', say: options.say });
  try {
    return (await work(kernel)).owning(kernel);
  } catch (error) {
    kernel.close();
    throw error;
  }
}
