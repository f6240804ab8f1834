/**
 * Reads members of a ZIP archive: stored or deflated, no encryption, no ZIP64, one disk. Every member's CRC-32 is
 * checked, which is why this stands here: the archive is what holds a Keras 3 model's weights, and a flipped bit in
 * them must not pass for a weight.
 */
import { crc32, inflateRawSync } from 'node:zlib';
import { BarcastError } from '../base/index.ts';

const END_OF_DIRECTORY = 0x06054b50;
const END_LENGTH = 22;
const LONGEST_COMMENT = 0xffff;
const DIRECTORY_ENTRY = 0x02014b50;
const DIRECTORY_ENTRY_LENGTH = 46;
const LOCAL_HEADER = 0x04034b50;
const LOCAL_HEADER_LENGTH = 30;
const STORED = 0;
const DEFLATED = 8;
const ENCRYPTED = 1;

/**
 * The members of the names wanted, decompressed; a name that is not in the archive is left out of the answer.
 *
 * @param source named in errors
 * @param limit bytes that one member may have
 * @throws BARCAST_E_MODEL_FORMAT for an archive that is truncated, damaged or of another kind
 */
export function readZip(
  bytes: Uint8Array,
  wanted: readonly string[],
  source: string,
  limit: number,
): Map<string, Uint8Array> {
  const refuse = (what: string, cause?: unknown): never => {
    throw new BarcastError(
      'BARCAST_E_MODEL_FORMAT',
      `${source} is not a whole ZIP archive: ${what}`,
      'restore it from a copy, or save the model again',
      { cause },
    );
  };
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = findEnd(buffer);
  if (end < 0) return refuse('its directory is missing');
  const count = buffer.readUInt16LE(end + 10);
  let at = buffer.readUInt32LE(end + 16);
  const found = new Map<string, Uint8Array>();
  for (let i = 0; i < count; i++) {
    if (at + DIRECTORY_ENTRY_LENGTH > end || buffer.readUInt32LE(at) !== DIRECTORY_ENTRY) {
      return refuse('its directory is damaged');
    }
    const nameEnd = at + DIRECTORY_ENTRY_LENGTH + buffer.readUInt16LE(at + 28);
    const name = buffer.toString('utf8', at + DIRECTORY_ENTRY_LENGTH, nameEnd);
    if (wanted.includes(name)) {
      const entry = {
        flags: buffer.readUInt16LE(at + 8),
        method: buffer.readUInt16LE(at + 10),
        checksum: buffer.readUInt32LE(at + 16),
        compressedLength: buffer.readUInt32LE(at + 20),
        length: buffer.readUInt32LE(at + 24),
        header: buffer.readUInt32LE(at + 42),
      };
      if (entry.length > limit) refuse(`'${name}' has ${entry.length} bytes, more than ${limit}`);
      found.set(
        name,
        readMember(buffer, entry, (what, cause) => refuse(`'${name}' ${what}`, cause)),
      );
    }
    at = nameEnd + buffer.readUInt16LE(at + 30) + buffer.readUInt16LE(at + 32);
  }
  return found;
}

/** Where the end-of-directory record starts, or -1: it is the archive's last thing but for a comment. */
function findEnd(buffer: Buffer): number {
  const earliest = Math.max(0, buffer.length - END_LENGTH - LONGEST_COMMENT);
  for (let at = buffer.length - END_LENGTH; at >= earliest; at--) {
    if (buffer.readUInt32LE(at) === END_OF_DIRECTORY) return at;
  }
  return -1;
}

interface Entry {
  readonly flags: number;
  readonly method: number;
  readonly checksum: number;
  readonly compressedLength: number;
  readonly length: number;
  readonly header: number;
}

function readMember(buffer: Buffer, entry: Entry, refuse: (what: string, cause?: unknown) => never): Uint8Array {
  const { header, compressedLength, length } = entry;
  if (entry.flags & ENCRYPTED) refuse('is encrypted');
  if (header + LOCAL_HEADER_LENGTH > buffer.length || buffer.readUInt32LE(header) !== LOCAL_HEADER) {
    refuse('is not where the directory says');
  }
  const start = header + LOCAL_HEADER_LENGTH + buffer.readUInt16LE(header + 26) + buffer.readUInt16LE(header + 28);
  if (start + compressedLength > buffer.length) refuse('is cut off');
  const raw = buffer.subarray(start, start + compressedLength);
  const content = decompress(raw, entry, refuse);
  if (content.length !== length || crc32(content) !== entry.checksum) refuse('is damaged: its checksum differs');
  return content;
}

function decompress(raw: Buffer, entry: Entry, refuse: (what: string, cause?: unknown) => never): Uint8Array {
  if (entry.method === STORED) return raw;
  if (entry.method !== DEFLATED) return refuse(`is compressed by method ${entry.method}, which is not read here`);
  try {
    return inflateRawSync(raw, { maxOutputLength: Math.max(1, entry.length) });
  } catch (error) {
    return refuse('is damaged: it cannot be decompressed', error);
  }
}
