/**
 * Writes protocol buffers' wire format (https://protobuf.dev/programming-guides/encoding/): as much as an ONNX model
 * needs. A field is its number and wire type, then a varint or a length and bytes; a message is its fields in a row.
 */

const VARINT = 0;
const LENGTH_DELIMITED = 2;

/** A message: the bytes of its fields in a row. */
export const message = (...fields: readonly Uint8Array[]): Uint8Array => Buffer.concat(fields);

/** A non-negative whole number in groups of seven bits, lowest first. */
function varint(value: number): Uint8Array {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is no unsigned varint`);
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

const key = (field: number, wireType: number) => varint(field * 8 + wireType);

/** A field of type int32, int64 or an enumeration, zero or more. */
export const wholeField = (field: number, value: number): Uint8Array => message(key(field, VARINT), varint(value));

/** A field of type bytes or of a message's. */
export const bytesField = (field: number, value: Uint8Array): Uint8Array =>
  message(key(field, LENGTH_DELIMITED), varint(value.length), value);

export const textField = (field: number, value: string): Uint8Array => bytesField(field, Buffer.from(value, 'utf8'));
