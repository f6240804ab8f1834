/**
 * Takes every batch into the windows, in the order of the log, no further ahead of what is forecast than windows and
 * scores allow: then it waits for whoever has the oldest batch, and in the end forecasts that itself.
 */
import type { Bell } from './batch-queue.ts';
import type { BatchReader, ReadBatch } from './batch-reader.ts';
import type { Forecaster } from './forecaster.ts';
import type { HeldBatches } from './held-batches.ts';
import type { SharedAttempts } from './shared-attempts.ts';

export interface SharedTakingOptions {
  readonly batches: BatchReader;
  readonly forecaster: Forecaster;
  readonly held: HeldBatches;
  readonly attempts: SharedAttempts;
  /** Bars before this minute are of sessions that are over. */
  readonly oldestMinute: number;
  /** A batch without an answer in that time goes to another forecaster. */
  readonly answerMs: number;
  /** Whether we are forecasting a batch that the server handed us: it may be the one that is waited for. */
  readonly isAtWork: () => boolean;
  /** Told of each batch that was taken. */
  readonly onTaken: (sequence: number) => void;
  /** Rung by every change; rung here when taking has to wait. */
  readonly news: Bell;
  readonly signal: AbortSignal;
}

/** Waiting for others to forecast a batch ends after so many times as long as one has to answer. */
const ANSWERS_WAITED = 3;

export class SharedTaking {
  readonly #options: SharedTakingOptions;
  /** Waits for an older batch to be forecast. */
  isBlocked = false;

  constructor(options: SharedTakingOptions) {
    this.#options = options;
  }

  /** Resolves when the signal has aborted. */
  async run(): Promise<void> {
    const { batches, news, signal } = this.#options;
    while (!signal.aborted) {
      const batch = batches.next;
      if (batch === undefined) await news.wait();
      else await this.#take(batch);
    }
  }

  async #take({ sequence, recordedAtMs, bars: read, arrivedAtMs }: ReadBatch): Promise<void> {
    const { batches, forecaster, held, attempts, oldestMinute, onTaken, signal } = this.#options;
    const bars = read.filter(({ minute }) => minute >= oldestMinute);
    let [oldest, newest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const { minute } of bars) {
      oldest = Math.min(oldest, minute);
      newest = Math.max(newest, minute);
    }
    await this.#waitForOlder(newest);
    if (signal.aborted) return;
    await attempts.inTurn(() => {
      // A batch of many minutes would write over its own rows.
      const copied = newest - oldest >= forecaster.minutesHeld / 2;
      const taken = forecaster.take(bars, held.takenSinceOldest(), copied);
      const takenAtMs = performance.now();
      held.take(sequence, { taken, recordedAtMs, arrivedAtMs, takenAtMs, oldest, copied });
    });
    onTaken(sequence);
    batches.drop();
  }

  async #waitForOlder(minute: number): Promise<void> {
    const { forecaster, held, answerMs, isAtWork, news, signal } = this.#options;
    let until = performance.now() + ANSWERS_WAITED * answerMs;
    while (held.isTooFarAhead(minute, forecaster.minutesHeld) && !signal.aborted) {
      if (!this.isBlocked) {
        this.isBlocked = true;
        news.ring();
      }
      await news.wait();
      if (isAtWork()) until = performance.now() + ANSWERS_WAITED * answerMs;
      if (performance.now() < until) continue;
      await this.#forecastOldest();
      until = performance.now() + answerMs;
    }
    this.isBlocked = false;
  }

  /**
   * Forecasts the oldest batch that is held without having been handed it: whoever forecast it may have told us while we
   * were not connected. A second forecast has the same bits and the same ids.
   */
  async #forecastOldest(): Promise<void> {
    const { held, attempts } = this.#options;
    if (held.oldest === undefined) return;
    const [sequence, batch] = held.oldest;
    try {
      const { end } = await attempts.try(sequence, batch, () => false, performance.now());
      if (end === 'stored') held.drop(sequence);
    } catch {
      // The server is away; what is held stays held.
    }
  }
}
