/** Batches whose bars were taken and that nobody is known to have forecast, and what is known of the others. */
import { CLOSED_AFTER_MINUTES } from './drift.ts';
import type { TakenMinute } from './market-windows.ts';
import { SEEN_MINUTES } from './scoreboard.ts';

/** A batch that was taken and that nobody is known to have forecast. */
export interface HeldBatch {
  readonly taken: readonly TakenMinute[];
  readonly recordedAtMs: number;
  readonly arrivedAtMs: number;
  readonly takenAtMs: number;
  /** Its oldest minute. */
  readonly oldest: number;
  /** Its windows have rows of their own. */
  readonly copied: boolean;
}

/** Batches remembered that others have forecast and that are still to be taken here. */
const MOST_EARLY = 100_000;
/**
 * Nobody takes a batch so many minutes newer than one that is not forecast: the scores and the drift monitors take
 * forecasts as far out of order.
 */
const MOST_MINUTES_APART = Math.min(CLOSED_AFTER_MINUTES, SEEN_MINUTES);

/** Batches go by the sequence of their record in BATCHES. */
export class HeldBatches {
  readonly #held = new Map<number, HeldBatch>();
  /** What was taken since the oldest of them, forecast or not, in that order. */
  #taken: { readonly sequence: number; readonly minutes: readonly TakenMinute[] }[] = [];
  /** Batches that others have forecast before they were taken here. */
  readonly #doneEarly = new Set<number>();
  #takenTo = 0;
  #doneTo: number;

  /** @param doneTo every batch up to there has been forecast */
  constructor(doneTo: number) {
    this.#doneTo = doneTo;
  }

  /** The newest batch whose bars were taken. */
  get takenTo(): number {
    return this.#takenTo;
  }

  /** Every batch up to here has been forecast. */
  get doneTo(): number {
    return this.#doneTo;
  }

  get size(): number {
    return this.#held.size;
  }

  get(sequence: number): HeldBatch | undefined {
    return this.#held.get(sequence);
  }

  get oldest(): readonly [number, HeldBatch] | undefined {
    return this.#held.entries().next().value;
  }

  /** Notes a batch that was just taken, the successor of the one before; it is held unless others have forecast it. */
  take(sequence: number, batch: HeldBatch): void {
    if (!this.#doneEarly.delete(sequence) && sequence > this.#doneTo) this.#held.set(sequence, batch);
    this.#taken.push({ sequence, minutes: batch.taken });
    this.#takenTo = sequence;
  }

  /** Lets go of a batch that has been forecast. @returns whether it was held */
  drop(sequence: number): boolean {
    if (sequence > this.#takenTo && this.#doneEarly.size < MOST_EARLY) this.#doneEarly.add(sequence);
    return this.#held.delete(sequence);
  }

  /** Lets go of every batch up to one. */
  dropTo(sequence: number): void {
    this.#doneTo = Math.max(sequence, this.#doneTo);
    for (const held of this.#held.keys()) {
      if (held > this.#doneTo) break;
      this.#held.delete(held);
    }
    for (const early of this.#doneEarly) if (early <= this.#doneTo) this.#doneEarly.delete(early);
  }

  /**
   * What was taken since the oldest batch that is held, without a gap: a model with another recipe makes windows of it,
   * and others may have forecast some of what came between two that are held.
   */
  takenSinceOldest(): readonly TakenMinute[] {
    const from = this.#taken.findIndex(({ sequence }) => this.#held.has(sequence));
    this.#taken = from === -1 ? [] : this.#taken.slice(from);
    return this.#taken.flatMap(({ minutes }) => minutes);
  }

  /**
   * Windows that are held keep their rows for a window of minutes, unless they were copied; and whoever scores takes
   * forecasts out of order by {@link MOST_MINUTES_APART} at most.
   * @param minutesHeld minutes that windows keep their rows for
   */
  isTooFarAhead(minute: number, minutesHeld: number): boolean {
    const most = Math.min(minutesHeld - 1, MOST_MINUTES_APART);
    for (const { oldest, copied } of this.#held.values())
      if (minute - oldest >= (copied ? MOST_MINUTES_APART : most)) return true;
    return false;
  }
}
