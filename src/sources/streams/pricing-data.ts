/**
 * Yahoo's streaming quotes: the Protocol Buffers message `PricingData` (its fields have no official documentation; the
 * numbers are those that Yahoo's own page uses). Only what a trade needs is read; unknown fields are passed over.
 */

export interface PricingData {
  readonly id: string;
  /** float32 on the wire, given as the shortest decimal that stands for it. */
  readonly price: number;
  /** Milliseconds since 1970. */
  readonly timeMs: number;
  /** 0 before the regular session, 1 in it, 2 after it. */
  readonly marketHours: number;
  /** Shares since the day's begin; NaN where it is not told. */
  readonly dayVolume: number;
}

/** Number of each field, and its wire type. */
const FIELDS = { id: 1, price: 2, time: 3, marketHours: 7, dayVolume: 9 } as const;
const [VARINT, FIXED64, BYTES, FIXED32] = [0, 1, 2, 5];

/** @throws Error for bytes that are no such message */
export function decodePricingData(bytes: Buffer): PricingData {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined || shift > 63n) throw new Error('a number without its end');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
  };
  const zigzag = (value: bigint): number => Number((value >> 1n) ^ -(value & 1n));
  let id = '';
  let price = Number.NaN;
  let timeMs = Number.NaN;
  let marketHours = 0;
  let dayVolume = Number.NaN;
  while (at < bytes.length) {
    const tag = Number(varint());
    const [field, type] = [tag >>> 3, tag & 7];
    if (type === VARINT) {
      const value = varint();
      if (field === FIELDS.time) timeMs = zigzag(value);
      else if (field === FIELDS.dayVolume) dayVolume = zigzag(value);
      else if (field === FIELDS.marketHours) marketHours = Number(value);
      continue;
    }
    const length = type === FIXED64 ? 8 : type === FIXED32 ? 4 : type === BYTES ? Number(varint()) : -1;
    if (length < 0 || field === 0 || at + length > bytes.length) throw new Error('not a message of quotes');
    if (type === BYTES && field === FIELDS.id) id = bytes.toString('utf8', at, at + length);
    if (type === FIXED32 && field === FIELDS.price) price = shortest(bytes.readFloatLE(at));
    at += length;
  }
  if (id === '') throw new Error('a quote without a symbol');
  return { id, price, timeMs, marketHours, dayVolume };
}

/** The decimal with the fewest digits that is this float32: 127.35 and not 127.3499984741211. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const decimal = Number(value.toPrecision(digits));
    if (Math.fround(decimal) === value) return decimal;
  }
  return value;
}
