/**
 * The safetensors format: an 8-byte little-endian header length, a JSON header that names each tensor's type, shape
 * and bytes, then the bytes. Only F32 tensors are read and written; text metadata rides along.
 */
import { endianness } from 'node:os';
import { BarcastError } from '../base/index.ts';

export interface Tensor {
  readonly dimensions: readonly number[];
  readonly data: Float32Array;
}

export interface TensorFile {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The largest header the format's own reader accepts, in bytes. */
const HEADER_LIMIT = 100_000_000;
const ALIGNMENT = 8;

const product = (dimensions: readonly number[]) => dimensions.reduce((all, n) => all * n, 1);

/** The bytes of a safetensors file; tensors lie in the map's order. */
export function encodeSafetensors(file: TensorFile): Uint8Array {
  const header: Record<string, unknown> = {};
  if (Object.keys(file.metadata).length > 0) header.__metadata__ = file.metadata;
  let offset = 0;
  for (const [name, tensor] of file.tensors) {
    const end = offset + tensor.data.byteLength;
    header[name] = { dtype: 'F32', shape: tensor.dimensions, data_offsets: [offset, end] };
    offset = end;
  }
  const text = Buffer.from(JSON.stringify(header));
  const headerLength = Math.ceil(text.length / ALIGNMENT) * ALIGNMENT;
  const bytes = Buffer.alloc(8 + headerLength + offset, ' ');
  bytes.writeBigUInt64LE(BigInt(headerLength), 0);
  text.copy(bytes, 8);
  let at = 8 + headerLength;
  for (const { data } of file.tensors.values()) {
    const raw = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    raw.copy(bytes, at);
    if (endianness() === 'BE') bytes.subarray(at, at + raw.length).swap32();
    at += raw.length;
  }
  return bytes;
}

/** @param source named in errors. @throws BARCAST_E_MODEL_FORMAT for anything that is not a whole, sound file */
export function decodeSafetensors(bytes: Uint8Array, source: string): TensorFile {
  const refuse = (what: string, cause?: unknown): never => {
    throw new BarcastError(
      'BARCAST_E_MODEL_FORMAT',
      `${source} is not a whole safetensors file: ${what}`,
      'restore it from a copy, or train again',
      { cause },
    );
  };
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < 8) refuse('it is shorter than its own length field');
  const headerLength = Number(buffer.readBigUInt64LE(0));
  if (headerLength > HEADER_LIMIT || 8 + headerLength > buffer.length) refuse('its header is cut off');
  let header: unknown;
  try {
    header = JSON.parse(buffer.toString('utf8', 8, 8 + headerLength));
  } catch (error) {
    refuse('its header is not JSON', error);
  }
  if (typeof header !== 'object' || header === null) refuse('its header is not an object');
  const start = 8 + headerLength;
  const tensors = new Map<string, Tensor>();
  let metadata: Record<string, string> = {};
  for (const [name, entry] of Object.entries(header as Record<string, unknown>)) {
    if (name === '__metadata__') {
      metadata = entry as Record<string, string>;
      continue;
    }
    const {
      dtype,
      shape,
      data_offsets: offsets,
    } = (entry ?? {}) as { dtype?: unknown; shape?: unknown; data_offsets?: unknown };
    const natural = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
    if (dtype !== 'F32') refuse(`tensor '${name}' is ${String(dtype)}, not F32`);
    if (!Array.isArray(shape) || !shape.every(natural)) refuse(`tensor '${name}' has no shape`);
    if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(natural))
      refuse(`tensor '${name}' has no bytes`);
    const [from, to] = offsets as [number, number];
    const dimensions = shape as number[];
    if (to - from !== 4 * product(dimensions) || start + to > buffer.length) refuse(`tensor '${name}' is cut off`);
    const copy = Buffer.from(buffer.subarray(start + from, start + to));
    if (endianness() === 'BE') copy.swap32();
    const data = new Float32Array(product(dimensions));
    new Uint8Array(data.buffer).set(copy);
    tensors.set(name, { dimensions, data });
  }
  return { tensors, metadata };
}
