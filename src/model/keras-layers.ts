/**
 * Reads the JSON of a Keras model (`model_config` of an HDF5 file, `config.json` of a `.keras` archive) as a chain of
 * layers, and the chain as a network. Sequential models and Functional models that are one chain; LSTM, Dropout,
 * Dense, and layers that change nothing in between. Keras 2 and Keras 3 write the same layers with a few different
 * words.
 */
import { type Activation, checkShape, type NetworkShape } from '../kernel/index.ts';

/** A layer that has weights, and where they go. */
export interface WeightedLayer {
  readonly kind: 'lstm' | 'dense';
  /** Its place among the layers of its kind: its parameters' names in `parametersOf` start with `lstm.0`. */
  readonly index: number;
  /** Its own name, which names its weights in an HDF5 file. */
  readonly name: string;
  readonly bias: boolean;
}

export interface KerasNetwork {
  readonly shape: NetworkShape;
  /** In the order of the network. */
  readonly layers: readonly WeightedLayer[];
}

/** Says in words of the model what cannot be read. Never returns. */
export type Refuse = (what: string, cause?: unknown) => never;

type Json = Readonly<Record<string, unknown>>;

interface Layer {
  readonly className: string;
  readonly name: string;
  readonly config: Json;
  readonly inbound: unknown;
}

export const isJson = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** @param model the parsed JSON. @param refuse called for anything that this network cannot be */
export function readKerasConfig(model: unknown, refuse: Refuse): KerasNetwork {
  if (!isJson(model) || !isJson(model.config)) return refuse('its description is not that of a Keras model');
  const layers = readLayers(model.config, refuse);
  switch (model.class_name) {
    case 'Sequential':
      return readChain(layers, model.config, refuse);
    case 'Functional':
    case 'Model':
      return readChain(orderChain(layers, model.config, refuse), model.config, refuse);
    default:
      return refuse(`it is a '${String(model.class_name)}', not a Sequential or Functional model`);
  }
}

function readLayers(config: Json, refuse: Refuse): Layer[] {
  if (!Array.isArray(config.layers)) return refuse('its description has no layers');
  return config.layers.map((layer: unknown) => {
    if (!isJson(layer) || typeof layer.class_name !== 'string' || !isJson(layer.config)) {
      return refuse('its description has a layer without a class or a configuration');
    }
    const { class_name: className, config } = layer;
    const name = String(layer.name ?? config.name ?? className);
    // A class of the same name that somebody registered computes something else.
    if (typeof layer.registered_name === 'string' && layer.registered_name !== className) {
      refuse(`layer '${name}' is of the custom class '${layer.registered_name}'`);
    }
    return { className, name, config, inbound: layer.inbound_nodes };
  });
}

/** The layers of a Functional model from its input to its output. */
function orderChain(layers: readonly Layer[], config: Json, refuse: Refuse): Layer[] {
  const inputs = layers.filter(({ className }) => className === 'InputLayer');
  if (inputs.length !== 1) refuse(`it has ${inputs.length} inputs, not one`);
  const next = new Map<string, Layer>();
  for (const layer of layers) {
    if (layer.className === 'InputLayer') continue;
    const from = inboundLayer(layer, refuse);
    if (next.has(from)) refuse(`layer '${from}' feeds more than one layer; only a chain of layers can be read`);
    next.set(from, layer);
  }
  const chain: Layer[] = [];
  for (let layer: Layer | undefined = inputs[0]; layer; layer = next.get(layer.name)) chain.push(layer);
  if (chain.length !== layers.length) refuse('its layers do not form one chain from the input to the output');
  const outputs = tensorNames(config.output_layers);
  if (outputs.length !== 1 || outputs[0] !== chain[chain.length - 1].name) {
    refuse(`its outputs are [${outputs.join(', ')}], not its last layer alone`);
  }
  return chain;
}

/** Names in `['a', 0, 0]` or `[['a', 0, 0], …]`. */
function tensorNames(value: unknown): string[] {
  if (!Array.isArray(value)) return [];
  if (typeof value[0] === 'string') return [value[0]];
  return value.flatMap(tensorNames);
}

/** The one layer that a layer is applied to, once and without special arguments. */
function inboundLayer({ name, inbound }: Layer, refuse: Refuse): string {
  const nodes = Array.isArray(inbound) ? inbound : [];
  if (nodes.length !== 1) refuse(`layer '${name}' is applied ${nodes.length} times, not once`);
  const node: unknown = nodes[0];
  const [from, keywords] = isJson(node) ? callOfKeras3(node) : callOfKeras2(node);
  if (from.length !== 1) refuse(`layer '${name}' has ${from.length} inputs, not one`);
  for (const [keyword, value] of Object.entries(keywords)) {
    if (value !== null && value !== false)
      refuse(`layer '${name}' is called with '${keyword}', which is not supported`);
  }
  return from[0];
}

/** `[['lstm', 0, 0, {keywords}]]`, or without the outer brackets. */
function callOfKeras2(node: unknown): [string[], Json] {
  const flat: unknown = Array.isArray(node) && Array.isArray(node[0]) ? node[0] : node;
  const keywords: unknown = Array.isArray(flat) ? flat[3] : undefined;
  return [tensorNames(node), isJson(keywords) ? keywords : {}];
}

/** `{args: [{class_name: '__keras_tensor__', config: {keras_history: ['lstm', 0, 0]}}], kwargs: {}}` */
function callOfKeras3(node: Json): [string[], Json] {
  const args = Array.isArray(node.args) ? node.args : [];
  const from = args.flatMap((tensor: unknown) =>
    isJson(tensor) && isJson(tensor.config) ? tensorNames(tensor.config.keras_history) : ['?'],
  );
  return [from, isJson(node.kwargs) ? node.kwargs : {}];
}

/** What the chain has come to while it is read from the input up. */
interface Reading {
  readonly lstm: number[];
  readonly dense: { units: number; activation: Activation }[];
  readonly layers: WeightedLayer[];
  dropout: number;
  /** Whether the layer below gives one vector a step, or one a window. */
  sequence: boolean;
}

function readChain(chain: readonly Layer[], config: Json, refuse: Refuse): KerasNetwork {
  const [windowLength, features] = readInput(chain, config, refuse);
  const reading: Reading = { lstm: [], dense: [], layers: [], dropout: 0, sequence: true };
  for (const layer of chain) {
    const unsupported: Refuse = (what, cause) =>
      refuse(`layer '${layer.name}' (${layer.className}): ${what} is not supported`, cause);
    if (layer.className !== 'InputLayer') checkPrecision(layer.config, unsupported);
    readLayer(layer, reading, unsupported);
  }
  if (reading.lstm.length === 0) refuse('it has no LSTM layer');
  if (reading.sequence) refuse('its last LSTM layer returns a sequence; only the last step can be read on');
  if (reading.dense.length === 0) refuse('it has no Dense layer after the LSTM, which an output needs');
  const { lstm, dense, dropout, layers } = reading;
  const shape: NetworkShape = { windowLength, features, lstm, dropout, dense };
  try {
    checkShape(shape);
  } catch (error) {
    refuse(`no kernel computes its shape: ${(error as Error).message}`, error);
  }
  return { shape, layers };
}

/** T and F. */
function readInput(chain: readonly Layer[], config: Json, refuse: Refuse): [number, number] {
  const first = chain[0]?.config ?? {};
  const input = first.batch_input_shape ?? first.batch_shape ?? config.build_input_shape;
  if (!Array.isArray(input)) return refuse('it has no input shape; build it before saving it');
  if (input.length !== 3) refuse(`its input is [${input}], not [batch, steps, features]`);
  const [, steps, features] = input as unknown[];
  if (typeof steps !== 'number' || typeof features !== 'number') {
    return refuse(`its input [batch, ${steps ?? 'any'}, ${features ?? 'any'}] leaves its steps or features open`);
  }
  return [steps, features];
}

/** Lower precisions compute other answers. */
function checkPrecision({ dtype }: Json, unsupported: Refuse): void {
  const policy = isJson(dtype) && isJson(dtype.config) ? dtype.config.name : dtype;
  if (policy !== undefined && policy !== 'float32' && policy !== 'float64') {
    unsupported(`the precision '${String(policy)}'`);
  }
}

function readLayer(layer: Layer, reading: Reading, unsupported: Refuse): void {
  const { className, name, config } = layer;
  switch (className) {
    case 'LSTM': {
      if (!reading.sequence) unsupported('an LSTM over something that is not a sequence');
      checkLstm(config, unsupported);
      const index = reading.lstm.push(config.units as number) - 1;
      reading.sequence = config.return_sequences === true;
      reading.layers.push({ kind: 'lstm', index, name, bias: config.use_bias !== false });
      return;
    }
    case 'Dense': {
      if (reading.sequence) unsupported('a Dense layer over a sequence');
      const activation = readActivation(config, unsupported);
      const index = reading.dense.push({ units: config.units as number, activation }) - 1;
      reading.layers.push({ kind: 'dense', index, name, bias: config.use_bias !== false });
      return;
    }
    case 'Dropout':
      // Only the final hidden state's is part of a network's shape; the others act in training alone.
      if (!reading.sequence && reading.dense.length === 0 && typeof config.rate === 'number')
        reading.dropout = config.rate;
      return;
    case 'Activation': {
      const last = reading.dense.at(-1);
      if (readActivation(config, unsupported) === 'linear') return;
      if (last) last.activation = 'relu';
      else unsupported('an activation anywhere but after a Dense layer');
      return;
    }
    case 'Flatten':
      if (reading.sequence) unsupported('flattening a sequence');
      return;
    case 'InputLayer':
    case 'Identity':
      return;
    default:
      unsupported('this class of layer');
  }
}

function checkLstm(config: Json, unsupported: Refuse): void {
  const activation = nameOfFunction(config.activation);
  const recurrent = nameOfFunction(config.recurrent_activation);
  if (activation !== 'tanh') unsupported(`the activation '${activation}'`);
  if (recurrent !== 'sigmoid') unsupported(`the recurrent activation '${recurrent}'`);
  for (const option of ['go_backwards', 'stateful', 'return_state', 'time_major'] as const) {
    if (config[option] !== undefined && config[option] !== false) unsupported(`${option}=${String(config[option])}`);
  }
}

function readActivation({ activation }: Json, unsupported: Refuse): Activation {
  const name = activation === null ? 'linear' : nameOfFunction(activation);
  return name === 'linear' || name === 'relu' ? name : unsupported(`the activation '${name}'`);
}

/** `'tanh'`, or Keras 3's `{class_name: 'function', config: 'tanh'}`. */
function nameOfFunction(value: unknown): string {
  if (typeof value === 'string') return value;
  if (isJson(value) && value.class_name === 'function' && typeof value.config === 'string') return value.config;
  return isJson(value) ? String(value.class_name) : String(value);
}
