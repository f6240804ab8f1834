/**
 * One training step over all ranks: each computes the gradient of its tiles of the batch, one all-reduce adds them, and
 * each makes the same update. What else ranks must tell each other rides along in the same all-reduce.
 */
import { BarcastError, toBarcastError } from '../base/index.ts';
import { type Collective, throwTogether } from '../collective/index.ts';
import {
  GRADIENT_SCALE,
  type GradientSums,
  type KernelNetwork,
  type OptimizerSettings,
  parameterCount,
  TILE,
  type TrainingBatch,
} from '../kernel/index.ts';
import { TileBalance } from './balance.ts';
import { weightsBits } from './weights-bits.ts';

/** Steps between two comparisons of the weights. */
const COMPARE_EVERY = 16;
/** Words a rank adds for the others: flags, microseconds of its gradient, the bits of its weights. */
const WORDS = 3;
const STOP = 1n;
const FAILED = 2n;

/** A step's batch, any part of which can be had: windows from `from` to `to`, the first a multiple of TILE. */
export type PartOfBatch = (from: number, to: number) => TrainingBatch;

export interface StepOutcome {
  /** Mean over the batch's sequences. */
  readonly loss: number;
  /** Whether any rank was asked to stop. */
  readonly stop: boolean;
}

/** Time spent so far, in milliseconds. */
export interface StepTimes {
  steps: number;
  gradient: number;
  collective: number;
  update: number;
}

export class ParallelStep {
  readonly times: StepTimes = { steps: 0, gradient: 0, collective: 0, update: 0 };
  readonly #collective: Collective;
  readonly #network: KernelNetwork;
  readonly #balance: TileBalance;
  readonly #parameters: number;
  /** `[P + 1]` sums, the bound of their sizes, and the words of each rank. */
  readonly #message: BigInt64Array;
  /** The sums in it. */
  readonly #sums: BigInt64Array;
  /** `[P + 1]` of a part. */
  readonly #piece: BigInt64Array;

  constructor(collective: Collective, network: KernelNetwork) {
    this.#collective = collective;
    this.#network = network;
    this.#balance = new TileBalance(collective.size);
    this.#parameters = parameterCount(network.shape);
    this.#message = new BigInt64Array(this.#parameters + 2 + WORDS * collective.size);
    this.#sums = this.#message.subarray(0, this.#parameters + 1);
    this.#piece = new BigInt64Array(this.#parameters + 1);
  }

  /**
   * @param sequences of the whole batch, B
   * @param pieces parts of its share that a rank computes one after the other
   * @throws BARCAST_E_RANK, and on every rank what one of them throws
   */
  async run(
    batch: PartOfBatch,
    sequences: number,
    pieces: number,
    step: number,
    optimizer: OptimizerSettings,
    stopping: boolean,
  ): Promise<StepOutcome> {
    const startedAt = performance.now();
    if (this.#collective.size === 1 && pieces === 1) {
      const loss = await this.#network.trainStep(batch(0, sequences), optimizer);
      this.#spend(performance.now() - startedAt, 0, 0);
      return { loss, stop: stopping };
    }
    const { rank, size } = this.#collective;
    const message = this.#message;
    const word = (of: number, index: number) => this.#parameters + 2 + WORDS * of + index;
    const shares = this.#balance.shares(Math.ceil(sequences / TILE));
    const compares = step % COMPARE_EVERY === 0;
    message.fill(0n);
    let failure: BarcastError | undefined;
    try {
      if (compares) message[word(rank, 2)] = weightsBits(await this.#network.readWeights());
      await this.#gradient(batch, sequences, pieces, shares);
    } catch (error) {
      failure = toBarcastError(error);
      message.fill(0n, 0, this.#parameters + 2);
    }
    const computed = performance.now();
    message[word(rank, 0)] = (stopping ? STOP : 0n) | (failure ? FAILED : 0n);
    message[word(rank, 1)] = BigInt(Math.round(1000 * (computed - startedAt)));
    await this.#collective.allReduce(message);
    const reduced = performance.now();
    const wordsOf = (index: number) => Array.from({ length: size }, (_, of) => message[word(of, index)]);
    const flags = wordsOf(0);
    if (flags.some((flag) => (flag & FAILED) !== 0n)) await throwTogether(this.#collective, failure);
    this.#balance.observe(wordsOf(1).map(Number), shares);
    if (compares) this.#demandTheSameBits(wordsOf(2), step);
    this.#demandTheRange();
    // The same on every rank: a failure here needs no telling.
    await this.#network.update({ sums: this.#sums, sequences }, optimizer);
    this.#spend(computed - startedAt, reduced - computed, performance.now() - reduced);
    const loss = Number(message[this.#parameters]) / GRADIENT_SCALE / sequences;
    return { loss, stop: flags.some((flag) => (flag & STOP) !== 0n) };
  }

  /** This rank's part of the batch into the message. */
  async #gradient(batch: PartOfBatch, sequences: number, pieces: number, shares: readonly number[]): Promise<void> {
    const { rank } = this.#collective;
    const firstTile = shares.slice(0, rank).reduce((sum, share) => sum + share, 0);
    const at = (tile: number) => Math.min(sequences, tile * TILE);
    const piece = Math.ceil(shares[rank] / pieces);
    for (let tile = 0; tile < shares[rank]; tile += piece) {
      const from = at(firstTile + tile);
      const to = at(firstTile + Math.min(shares[rank], tile + piece));
      const part = batch(from, to);
      const whole = piece === shares[rank];
      const { sums } = await this.#network.gradient(part, whole ? this.#sums : this.#piece);
      if (!whole) addInto(this.#message, sums);
      else if (sums !== this.#sums) this.#message.set(sums);
      this.#message[this.#parameters + 1] += largestOf(sums);
    }
  }

  /** A sum that may have wrapped around is a divergence. Every rank comes to the same answer. */
  #demandTheRange(): void {
    if (this.#message[this.#parameters + 1] < 1n << 31n) return;
    throw new BarcastError(
      'BARCAST_E_DIVERGED',
      'a gradient, summed over the batch, does not fit its 64 bits',
      'lower the learning rate or scale the targets',
    );
  }

  #demandTheSameBits(bits: readonly bigint[], step: number): void {
    if (bits.every((own) => own === bits[0])) return;
    const count = (of: bigint) => bits.filter((own) => own === of).length;
    const common = bits.reduce((best, own) => (count(own) > count(best) ? own : best));
    const odd = bits.flatMap((own, rank) =>
      own === common ? [] : [`rank ${rank} (${this.#collective.places[rank]})`],
    );
    throw new BarcastError(
      'BARCAST_E_RANK',
      `at step ${step} the weights of ${odd.join(' and ')} are not those of the other ranks`,
      'check the memory and the processor of that host; the same command goes on from the last checkpoint',
    );
  }

  #spend(gradient: number, collective: number, update: number): void {
    this.times.steps++;
    this.times.gradient += gradient;
    this.times.collective += collective;
    this.times.update += update;
  }
}

function addInto(into: BigInt64Array, sums: BigInt64Array): void {
  for (let i = 0; i < sums.length; i++) into[i] = BigInt.asIntN(64, into[i] + sums[i]);
}

/** The size of the largest sum in units of 2^32, rounded up. */
function largestOf(sums: GradientSums['sums']): bigint {
  // The upper halves alone: a hundred times faster than whole numbers of 64 bits, which become objects.
  const halves = new Int32Array(sums.buffer, sums.byteOffset, 2 * sums.length);
  const upper = HIGH_FIRST ? 0 : 1;
  let largest = 0;
  for (let i = upper; i < halves.length; i += 2) {
    const size = halves[i] < 0 ? -halves[i] : halves[i] + 1;
    if (size > largest) largest = size;
  }
  return BigInt(largest);
}

const HIGH_FIRST = new Uint8Array(Uint16Array.of(1).buffer)[0] === 0;
