/** Writes small files as Keras 2 and Keras 3 lay them out, for the importer's tests. */
import { zipSync } from 'fflate';
import { File, type Group, ready } from 'h5wasm';
import { initialWeights, type NetworkShape, parametersOf } from '../../src/kernel/index.ts';

type Json = Record<string, unknown>;

/** One layer of a test's model: its class, its configuration, its weights if it has any. */
export interface TestLayer {
  readonly className: string;
  readonly config: Json & { readonly name: string };
  /** In Keras's order: kernel, recurrent kernel, bias. */
  readonly weights?: readonly { readonly dimensions: readonly number[]; readonly data: Float32Array }[];
}

const LSTM = { activation: 'tanh', recurrent_activation: 'sigmoid', go_backwards: false, stateful: false };

/** The layers of a network as Keras would list them, a Dropout after the last LSTM, with weights drawn from a seed. */
export function layersOf(shape: NetworkShape, seed: number): { layers: TestLayer[]; weights: Float32Array } {
  const weights = initialWeights(shape, seed);
  const parameters = parametersOf(shape);
  const weightsOf = (prefix: string) =>
    parameters
      .filter(({ name }) => name.startsWith(`${prefix}.`))
      .map(({ dimensions, offset, length }) => ({ dimensions, data: weights.subarray(offset, offset + length) }));
  const layers: TestLayer[] = [
    {
      className: 'InputLayer',
      config: { name: 'input', batch_input_shape: [null, shape.windowLength, shape.features] },
    },
  ];
  shape.lstm.forEach((units, i) => {
    const config = { ...LSTM, name: `memory_${i}`, units, use_bias: true, return_sequences: i < shape.lstm.length - 1 };
    layers.push({ className: 'LSTM', config, weights: weightsOf(`lstm.${i}`) });
  });
  layers.push({ className: 'Dropout', config: { name: 'drop', rate: shape.dropout } });
  shape.dense.forEach(({ units, activation }, i) => {
    const config = { name: `head_${i}`, units, activation, use_bias: true };
    layers.push({ className: 'Dense', config, weights: weightsOf(`dense.${i}`) });
  });
  return { layers, weights };
}

export const sequential = (layers: readonly TestLayer[]): Json => ({
  class_name: 'Sequential',
  config: { name: 'm', layers: layers.map(({ className, config }) => ({ class_name: className, config })) },
});

/** The same chain as tf.keras 2 writes a Functional model. */
export const functional = (layers: readonly TestLayer[]): Json => ({
  class_name: 'Functional',
  config: {
    name: 'm',
    layers: layers.map(({ className, config }, i) => ({
      class_name: className,
      config,
      name: config.name,
      inbound_nodes: i === 0 ? [] : [[[layers[i - 1].config.name, 0, 0, {}]]],
    })),
    input_layers: [[layers[0].config.name, 0, 0]],
    output_layers: [[layers[layers.length - 1].config.name, 0, 0]],
  },
});

/** An HDF5 file's bytes. */
export async function hdf5(fill: (file: File) => void): Promise<Uint8Array> {
  const { FS } = await ready;
  const file = new File('/test.h5', 'w');
  fill(file);
  file.close();
  const bytes = FS.readFile('/test.h5') as Uint8Array;
  FS.unlink('/test.h5');
  return bytes;
}

/** A group by its path, made where it is not there. */
function groupAt(root: Group, path: string): Group {
  return path.split('/').reduce((group, name) => {
    if (!group.keys().includes(name)) group.create_group(name);
    return group.get(name) as Group;
  }, root);
}

/** A full model as `model.save('m.h5')` of tf.keras 2 lays it out. */
export const fullModel = (model: Json, layers: readonly TestLayer[]): Promise<Uint8Array> =>
  hdf5((file) => {
    file.create_attribute('keras_version', '2.4.0');
    file.create_attribute('model_config', JSON.stringify(model));
    for (const { className, config, weights = [] } of layers) {
      const group = groupAt(file, `model_weights/${config.name}`);
      const folder = className === 'LSTM' ? `${config.name}/lstm_cell` : config.name;
      const roles = className === 'LSTM' ? ['kernel', 'recurrent_kernel', 'bias'] : ['kernel', 'bias'];
      const names = weights.map((_, i) => `${folder}/${roles[i]}:0`);
      if (names.length > 0) group.create_attribute('weight_names', names);
      weights.forEach(({ dimensions, data }, i) => {
        groupAt(group, folder).create_dataset({ name: `${roles[i]}:0`, data, shape: [...dimensions] });
      });
    }
  });

/**
 * A `.keras` archive: layers are numbered by class, whatever their names. tf.keras 2.12 to 2.15 call the folder
 * otherwise and count every layer that has weights twice.
 */
export async function archive(
  model: Json,
  layers: readonly TestLayer[],
  { version = 3 as 2 | 3, compression = 0 as 0 | 6 } = {},
): Promise<Uint8Array> {
  const root = version === 3 ? 'layers' : '_layer_checkpoint_dependencies';
  const numbers = new Map<string, number>();
  const weights = await hdf5((file) => {
    for (const { className, weights = [] } of layers) {
      const base = className.toLowerCase();
      const number = numbers.get(base) ?? 0;
      numbers.set(base, number + (version === 2 && weights.length > 0 ? 2 : 1));
      if (weights.length === 0) continue;
      const name = number === 0 ? base : `${base}_${number}`;
      const group = groupAt(file, `${root}/${name}${className === 'LSTM' ? '/cell' : ''}/vars`);
      weights.forEach(({ dimensions, data }, i) => {
        group.create_dataset({ name: String(i), data, shape: [...dimensions] });
      });
    }
  });
  return zipSync(
    {
      'metadata.json': Buffer.from(JSON.stringify({ keras_version: '3.0.0' })),
      'config.json': Buffer.from(JSON.stringify(model)),
      'model.weights.h5': weights,
    },
    { level: compression },
  );
}
