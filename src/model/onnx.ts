/**
 * Writes a network as an ONNX model: operator set 14, the LSTM operator once a layer, then Gemm and Relu. Dropout,
 * which does nothing in inference, is left out. Input `x [batch, T, F]`, already scaled; output `y [batch, O]`.
 *
 * Field numbers are those of the public `onnx.proto3`; shapes and gate order those of the operators' reference
 * (https://onnx.ai/onnx/operators/onnx__LSTM.html).
 */
import { endianness } from 'node:os';
import { type NetworkShape, outputsOf, parametersOf } from '../kernel/index.ts';
import type { ModelDescription } from './description.ts';
import { Model } from './model.ts';
import { bytesField, message, textField, wholeField } from './protobuf.ts';
import { weightsHash } from './weights.ts';

/** A network to write; the description, if any, goes along as metadata. */
export interface OnnxSource {
  readonly shape: NetworkShape;
  /** `[P]` */
  readonly weights: Float32Array;
  readonly description?: ModelDescription;
}

/** Version 7 of the file format came with operator set 14. */
const IR_VERSION = 7;
const OPERATOR_SET = 14;

const FLOAT = 1;
const INT64 = 7;

/** The bytes of an ONNX model; write them to a `.onnx` file. @throws BARCAST_E_SHAPE */
export async function exportOnnx(source: Model | OnnxSource): Promise<Uint8Array> {
  if (!(source instanceof Model)) return encodeOnnx(source);
  const { description } = source;
  return encodeOnnx({ shape: description.shape, weights: await source.readWeights(), description });
}

/** {@link exportOnnx} for weights at hand. */
export function encodeOnnx(source: OnnxSource): Uint8Array {
  return message(
    wholeField(1, IR_VERSION),
    textField(2, 'barcast'),
    bytesField(7, graph(source)),
    bytesField(8, message(textField(1, ''), wholeField(2, OPERATOR_SET))),
    ...Object.entries(metadataOf(source)).map(([name, value]) =>
      bytesField(14, message(textField(1, name), textField(2, value))),
    ),
  );
}

/** What makes forecasts of the outputs, and where they came from; numbers as JSON. */
function metadataOf({ weights, description }: OnnxSource): Record<string, string> {
  const metadata: Record<string, string> = { weightsHash: weightsHash(weights) };
  if (!description) return metadata;
  const { name, version, recipe, scaler, calibration } = description;
  Object.assign(metadata, { model: name, version });
  if (recipe) metadata.recipe = `${recipe.name} ${recipe.version}`;
  if (scaler) metadata.scaler = JSON.stringify(scaler);
  if (calibration) metadata.calibration = JSON.stringify(calibration);
  return metadata;
}

function graph({ shape, weights, description }: OnnxSource): Uint8Array {
  const nodes: Uint8Array[] = [];
  const tensors: Uint8Array[] = [];
  const parameters = new Map(
    parametersOf(shape).map(({ name, dimensions, offset, length }) => [
      name,
      { dimensions, data: weights.subarray(offset, offset + length) },
    ]),
  );
  const add = (operator: string, inputs: string[], output: string[], ...attributes: Uint8Array[]) => {
    nodes.push(node(operator, inputs, output, attributes));
  };
  const keep = (name: string, dimensions: readonly number[], data: Float32Array | BigInt64Array) => {
    tensors.push(tensor(name, dimensions, data));
    return name;
  };

  add('Transpose', ['x'], ['sequence.0'], integersAttribute('perm', [1, 0, 2]));
  let inputs = shape.features;
  shape.lstm.forEach((units, layer) => {
    const last = layer === shape.lstm.length - 1;
    const prefix = `lstm.${layer}`;
    const dataOf = (name: string) => parameters.get(`${prefix}.${name}`)!.data;
    const operands = [
      `sequence.${layer}`,
      keep(`${prefix}.W`, [1, 4 * units, inputs], transposeGates(dataOf('kernel'), inputs, units)),
      keep(`${prefix}.R`, [1, 4 * units, units], transposeGates(dataOf('recurrent'), units, units)),
      keep(`${prefix}.B`, [1, 8 * units], joinBiases(dataOf('bias'), units)),
    ];
    const result = last ? ['', `${prefix}.state`] : [`${prefix}.states`];
    add('LSTM', operands, result, integerAttribute('hidden_size', units));
    // Both results have an axis of one for the direction: the states' second, the final state's first.
    const axes = keep(`${prefix}.axes`, [1], BigInt64Array.of(last ? 0n : 1n));
    add('Squeeze', [result[last ? 1 : 0], axes], [last ? 'dense.input' : `sequence.${layer + 1}`]);
    inputs = units;
  });

  let from = 'dense.input';
  shape.dense.forEach(({ activation }, layer) => {
    const name = layer === shape.dense.length - 1 ? 'y' : `dense.${layer}`;
    const operands = ['kernel', 'bias'].map((role) => {
      const { dimensions, data } = parameters.get(`dense.${layer}.${role}`)!;
      return keep(`dense.${layer}.${role}`, dimensions, data);
    });
    const linear = activation === 'relu' ? `${name}.linear` : name;
    add('Gemm', [from, ...operands], [linear]);
    if (activation === 'relu') add('Relu', [linear], [name]);
    from = name;
  });

  return message(
    ...nodes.map((bytes) => bytesField(1, bytes)),
    textField(2, description?.name ?? 'network'),
    ...tensors.map((bytes) => bytesField(5, bytes)),
    bytesField(11, valueInfo('x', ['batch', shape.windowLength, shape.features])),
    bytesField(12, valueInfo('y', ['batch', outputsOf(shape)])),
  );
}

/** Where ONNX's gates (input, output, forget, cell) stand among ours (input, forget, cell, output). */
const GATES = [0, 3, 1, 2];

/** `[I, 4H]` in our gate order to `[4H, I]` in ONNX's. */
function transposeGates(kernel: Float32Array, inputs: number, units: number): Float32Array {
  const out = new Float32Array(kernel.length);
  GATES.forEach((gate, place) => {
    for (let unit = 0; unit < units; unit++) {
      const row = (place * units + unit) * inputs;
      for (let i = 0; i < inputs; i++) out[row + i] = kernel[i * 4 * units + gate * units + unit];
    }
  });
  return out;
}

/** `[4H]` to `[8H]`: ONNX adds a second bias for the recurrent part, which is zero here. */
function joinBiases(bias: Float32Array, units: number): Float32Array {
  const out = new Float32Array(8 * units);
  GATES.forEach((gate, place) => {
    out.set(bias.subarray(gate * units, (gate + 1) * units), place * units);
  });
  return out;
}

function node(operator: string, inputs: string[], outputs: string[], attributes: Uint8Array[]): Uint8Array {
  return message(
    ...inputs.map((name) => textField(1, name)),
    ...outputs.map((name) => textField(2, name)),
    textField(3, outputs.findLast((name) => name !== '')!),
    textField(4, operator),
    ...attributes.map((bytes) => bytesField(5, bytes)),
  );
}

const INTEGER_ATTRIBUTE = 2;
const INTEGERS_ATTRIBUTE = 7;

const integerAttribute = (name: string, value: number) =>
  message(textField(1, name), wholeField(3, value), wholeField(20, INTEGER_ATTRIBUTE));

const integersAttribute = (name: string, values: readonly number[]) =>
  message(textField(1, name), ...values.map((value) => wholeField(8, value)), wholeField(20, INTEGERS_ATTRIBUTE));

/** A constant: little-endian raw data. */
function tensor(name: string, dimensions: readonly number[], data: Float32Array | BigInt64Array): Uint8Array {
  const raw = Buffer.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  const whole = data instanceof BigInt64Array;
  if (endianness() === 'BE') {
    if (whole) raw.swap64();
    else raw.swap32();
  }
  return message(
    ...dimensions.map((size) => wholeField(1, size)),
    wholeField(2, whole ? INT64 : FLOAT),
    textField(8, name),
    bytesField(9, raw),
  );
}

/** A float tensor's name and shape; a dimension given by a name is open. */
function valueInfo(name: string, dimensions: readonly (number | string)[]): Uint8Array {
  const sizes = dimensions.map((size) =>
    bytesField(1, typeof size === 'string' ? textField(2, size) : wholeField(1, size)),
  );
  const type = message(wholeField(1, FLOAT), bytesField(2, message(...sizes)));
  return message(textField(1, name), bytesField(2, bytesField(1, type)));
}
