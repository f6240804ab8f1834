/** A network's buffers on its device, by name: made, grown, written, read back. */
import { BarcastError } from '../../base/index.ts';
import { type Device, USAGE } from './device.ts';

const STORAGE = USAGE.storage | USAGE.copySource | USAGE.copyTarget;

/** A part of a buffer: its name, bytes, and where they begin. */
export type Part = readonly [name: string, bytes: number, from?: number];

export class Memory {
  readonly #device: Device;
  readonly #buffers = new Map<string, GPUBuffer>();
  #generation = 0;

  constructor(device: Device) {
    this.#device = device;
  }

  /** Grows whenever a buffer takes another's place. */
  get generation(): number {
    return this.#generation;
  }

  buffer(name: string): GPUBuffer {
    const buffer = this.#buffers.get(name);
    if (buffer === undefined)
      throw new BarcastError('BARCAST_E_INTERNAL', `there is no buffer '${name}'`, 'report this');
    return buffer;
  }

  /** @throws BARCAST_E_SHAPE, BARCAST_E_DEVICE when one is too large, or there is no room for all */
  async make(sizes: Readonly<Record<string, number>>, usage: number = STORAGE): Promise<void> {
    const made = await this.#device.buffers(sizes, usage);
    for (const [name, buffer] of Object.entries(made)) {
      this.#buffers.get(name)?.destroy();
      this.#buffers.set(name, buffer);
    }
    this.#generation++;
  }

  /** Buffers of at least so many bytes each; those that are smaller are made anew, without what they held. Answers which. */
  async makeRoom(sizes: Readonly<Record<string, number>>): Promise<readonly string[]> {
    const small = Object.entries(sizes).filter(([name, bytes]) => (this.#buffers.get(name)?.size ?? -1) < bytes);
    if (small.length > 0) await this.make(Object.fromEntries(small));
    return small.map(([name]) => name);
  }

  write(name: string, values: Float32Array | Int32Array | Uint32Array | BigInt64Array, offset = 0): void {
    // Dawn takes no views of shared memory.
    const own = values.buffer instanceof SharedArrayBuffer ? values.slice() : values;
    this.#device.queue.writeBuffer(
      this.buffer(name),
      offset,
      own.buffer as ArrayBuffer,
      own.byteOffset,
      own.byteLength,
    );
  }

  /** Sets buffers to zero. */
  clear(names: readonly string[]): void {
    const encoder = this.#device.encoder();
    for (const name of names) encoder.clearBuffer(this.buffer(name));
    this.#device.queue.submit([encoder.finish()]);
  }

  /** Parts of buffers, one after another, once all that was asked before is done. @throws BARCAST_E_DEVICE */
  async read(parts: readonly Part[]): Promise<ArrayBuffer> {
    const total = parts.reduce((sum, [, bytes]) => sum + bytes, 0);
    if ((this.#buffers.get('staging')?.size ?? -1) < total) {
      const { staging } = await this.#device.buffers({ staging: total }, USAGE.mapRead | USAGE.copyTarget);
      this.#buffers.get('staging')?.destroy();
      this.#buffers.set('staging', staging);
    }
    const staging = this.buffer('staging');
    const encoder = this.#device.encoder();
    let to = 0;
    for (const [name, bytes, from = 0] of parts) {
      encoder.copyBufferToBuffer(this.buffer(name), from, staging, to, bytes);
      to += bytes;
    }
    this.#device.queue.submit([encoder.finish()]);
    return await this.#device.read(staging, total, 'computing');
  }

  close(): void {
    for (const buffer of this.#buffers.values()) buffer.destroy();
    this.#buffers.clear();
  }
}
