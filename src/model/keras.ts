/**
 * Reads Keras models: full models in HDF5 (`model.save('m.h5')` of Keras 2 and 3) and `.keras` archives (Keras 3, and
 * tf.keras from 2.12 on). What a network may be is said in `keras-layers.ts`; of what a file holds besides, optimiser
 * and training configuration are left alone.
 */
import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { BarcastError, systemErrorCode, toBarcastError } from '../base/index.ts';
import { type NetworkShape, parametersOf } from '../kernel/index.ts';
import { type Hdf5Content, type Hdf5Dataset, isHdf5, readHdf5 } from './hdf5.ts';
import { type KerasNetwork, type Refuse, readKerasConfig, type WeightedLayer } from './keras-layers.ts';
import { weightsFromTensors } from './weights.ts';
import { readZip } from './zip.ts';

/** A network without recipe and scalers. */
export interface BareNetwork {
  /** The file's name without its extension, as a model's name may be. */
  readonly name: string;
  readonly shape: NetworkShape;
  /** `[P]`, laid out as `parametersOf` says. */
  readonly weights: Float32Array;
}

/** The largest network there is has 10 MB of weights; an optimiser triples that. */
const FILE_LIMIT = 512 * 2 ** 20;

const CONFIG = 'config.json';
const WEIGHTS = 'model.weights.h5';

/** Where the layers of a `.keras` archive stand: Keras 3, and tf.keras 2.12 to 2.15. */
const ARCHIVE_GROUPS = ['layers', '_layer_checkpoint_dependencies'];

/** Where they stand in an HDF5 file. */
const FULL_GROUP = 'model_weights';

/**
 * The network of a Keras file, told apart by its first bytes.
 *
 * @throws BARCAST_E_FILE_MISSING when there is no such file
 * @throws BARCAST_E_MODEL_FORMAT for a truncated or foreign file, or a model that is not a supported chain of layers
 */
export async function readKeras(path: string): Promise<BareNetwork> {
  const bytes = await readBytes(path);
  const refuse: Refuse = (what, cause) => {
    throw new BarcastError(
      'BARCAST_E_MODEL_FORMAT',
      `${path}: ${what}`,
      'the how-to on Keras and ONNX says what can be imported',
      {
        cause,
      },
    );
  };
  const { network, tensorOf } = isHdf5(bytes)
    ? await readFull(bytes, path, refuse)
    : await readArchive(bytes, path, refuse);
  return { name: nameOf(path), shape: network.shape, weights: collectWeights(network, tensorOf, path) };
}

async function readBytes(path: string): Promise<Uint8Array> {
  const remedy = 'name a Keras model saved in .h5 or .keras form';
  const refuse = (what: string) => new BarcastError('BARCAST_E_MODEL_FORMAT', `${path} ${what}`, remedy);
  try {
    const found = await stat(path);
    if (!found.isFile()) throw refuse('is not a file');
    if (found.size > FILE_LIMIT) throw refuse(`has ${found.size} bytes, more than any network that can be imported`);
    return await readFile(path);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw toBarcastError(error);
    throw new BarcastError('BARCAST_E_FILE_MISSING', `${path} does not exist`, remedy, { cause: error });
  }
}

/** A layer's weights by role; one that the file lacks is undefined. */
type TensorOf = (layer: WeightedLayer, role: Role) => Hdf5Dataset | undefined;

const ROLES = ['kernel', 'recurrent_kernel', 'bias'] as const;
type Role = (typeof ROLES)[number];

interface KerasFile {
  readonly network: KerasNetwork;
  readonly tensorOf: TensorOf;
}

/** A full model in one HDF5 file: each layer's group lists the names of its weights. */
async function readFull(bytes: Uint8Array, path: string, refuse: Refuse): Promise<KerasFile> {
  const content = await readHdf5(bytes, [FULL_GROUP], path);
  const config = content.attributes.get('')?.model_config;
  if (typeof config !== 'string') {
    return refuse(
      "it has no 'model_config': it holds weights alone, or is not from Keras; save the whole model with model.save()",
    );
  }
  const network = readKerasConfig(parseJson(config, "its 'model_config'", refuse), refuse);
  return { network, tensorOf: (layer, role) => namedTensor(content, layer.name, role) };
}

/** The weight whose name ends in `/kernel` or, as Keras 2 writes it, `/kernel:0`. */
function namedTensor(content: Hdf5Content, layer: string, role: Role): Hdf5Dataset | undefined {
  const group = `/${FULL_GROUP}/${layer}`;
  const names = content.attributes.get(group)?.weight_names;
  const list = typeof names === 'string' ? [names] : (names ?? []);
  const name = list.find((name) => name.split('/').at(-1)?.replace(/:\d+$/, '') === role);
  return name === undefined ? undefined : content.datasets.get(`${group}/${name}`);
}

/** A `.keras` archive: the description and the weights in files of their own. */
async function readArchive(bytes: Uint8Array, path: string, refuse: Refuse): Promise<KerasFile> {
  if (bytes[0] !== 0x50 || bytes[1] !== 0x4b) refuse('it is neither an HDF5 file nor a .keras archive');
  const members = readZip(bytes, [CONFIG, WEIGHTS], path, FILE_LIMIT);
  const member = (name: string) => members.get(name) ?? refuse(`it is a ZIP archive without '${name}'`);
  const config = Buffer.from(member(CONFIG)).toString('utf8');
  const network = readKerasConfig(parseJson(config, `its '${CONFIG}'`, refuse), refuse);
  const content = await readHdf5(member(WEIGHTS), ARCHIVE_GROUPS, `${path}: ${WEIGHTS}`);
  const places = { lstm: numberedLayers(content, 'lstm'), dense: numberedLayers(content, 'dense') };
  return { network, tensorOf: (layer, role) => numberedTensor(content, places[layer.kind][layer.index], layer, role) };
}

/**
 * The folders that hold the weights of an archive's layers of a kind, in the order of the layers. They are named by
 * class and a running number, `dense`, `dense_1`, …; tf.keras 2 skips every second number.
 */
function numberedLayers(content: Hdf5Content, kind: WeightedLayer['kind']): string[] {
  const pattern = kind === 'lstm' ? /^\/\w+\/lstm(?:_(\d+))?\/cell\/vars\/0$/ : /^\/\w+\/dense(?:_(\d+))?\/vars\/0$/;
  return [...content.datasets.keys()]
    .flatMap((path) => {
      const match = pattern.exec(path);
      return match ? [{ folder: path.slice(0, -2), number: Number(match[1] ?? 0) }] : [];
    })
    .sort((a, b) => a.number - b.number)
    .map(({ folder }) => folder);
}

/** Variables have no names there: kernel, recurrent kernel, bias. */
function numberedTensor(
  content: Hdf5Content,
  folder: string | undefined,
  { kind }: WeightedLayer,
  role: Role,
): Hdf5Dataset | undefined {
  const variables: readonly Role[] = kind === 'lstm' ? ROLES : ROLES.filter((other) => other !== 'recurrent_kernel');
  return folder === undefined ? undefined : content.datasets.get(`${folder}/${variables.indexOf(role)}`);
}

function parseJson(text: string, what: string, refuse: Refuse): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    return refuse(`${what} is not JSON`, error);
  }
}

/** `[P]` weights. Keras's gates stand in our order; a layer without a bias gets one of zeros. */
function collectWeights({ shape, layers }: KerasNetwork, tensorOf: TensorOf, path: string): Float32Array {
  const tensors = new Map<string, Hdf5Dataset>();
  const dimensionsOf = new Map(parametersOf(shape).map(({ name, dimensions }) => [name, dimensions]));
  for (const layer of layers) {
    for (const role of ROLES) {
      const name = `${layer.kind}.${layer.index}.${role === 'recurrent_kernel' ? 'recurrent' : role}`;
      const dimensions = dimensionsOf.get(name);
      if (!dimensions) continue;
      const tensor =
        role === 'bias' && !layer.bias ? { dimensions, data: new Float32Array(dimensions[0]) } : tensorOf(layer, role);
      if (tensor) tensors.set(name, tensor);
    }
  }
  return weightsFromTensors(shape, { tensors, metadata: {} }, path);
}

function nameOf(path: string): string {
  const name = basename(path)
    .replace(/\.(h5|hdf5|keras)$/i, '')
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 64);
  return name || 'keras';
}
