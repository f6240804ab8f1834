/**
 * Attempts at a batch: its forecasts are made and stored, by the model that whoever tried before has begun it with.
 *
 * Forecasters change over to a new model each at its own moment. A batch whose forecaster died may so come to one that
 * has another model: what is stored of it says which one it is to be ended with, and a model that was replaced here
 * goes on for a while. Where nobody has that model any more, the rest is forecast by the present one, each symbol once.
 */
import type { Forecaster, ForecasterResult } from './forecaster.ts';
import type { HeldBatch, HeldBatches } from './held-batches.ts';
import type { SharedPublishing } from './shared-publishing.ts';

/** A batch that fails is tried so often by each who gets it; what of it was forecast is published then. */
const MOST_TRIES = 3;
/** So often it is put off for a model that others have already and that is not here yet. */
const MOST_WAITS = 8;
/** A model that was replaced keeps its windows for so long: ten times what others may change over later. */
export const FORMER_MS = 10_000;

export interface Attempt {
  readonly result: ForecasterResult;
  /** `performance.now()` then. */
  readonly forecastAtMs: number;
  /** Stored whole; to be tried again; or it came to storing so late that another forecaster has the batch. */
  readonly end: 'stored' | 'failed' | 'late';
}

export class SharedAttempts {
  readonly #forecaster: Forecaster;
  readonly #publishing: SharedPublishing;
  readonly #held: HeldBatches;
  /** Attempts that failed here, by batch. */
  readonly #failures = new Map<number, number>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(forecaster: Forecaster, publishing: SharedPublishing, held: HeldBatches) {
    this.#forecaster = forecaster;
    this.#publishing = publishing;
    this.#held = held;
  }

  /** Taking and forecasting do not overlap. */
  inTurn<T>(work: () => T | Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /**
   * @param isFirst whether nobody can have tried before; asked when the forecasts are there
   * @param receivedAtMs `performance.now()` when the batch was received
   * @throws what NATS throws, when the forecasts could not be stored
   */
  async try(sequence: number, batch: HeldBatch, isFirst: () => boolean, receivedAtMs: number): Promise<Attempt> {
    const failures = (this.#failures.get(sequence) ?? 0) + 1;
    const attempt = await this.#try(batch, isFirst, receivedAtMs, failures);
    if (attempt.end === 'failed') this.#failures.set(sequence, failures);
    else this.#failures.delete(sequence);
    return attempt;
  }

  async #try(
    { taken, arrivedAtMs, recordedAtMs }: HeldBatch,
    isFirst: () => boolean,
    receivedAtMs: number,
    tries: number,
  ): Promise<Attempt> {
    let result = await this.inTurn(() => this.#forecaster.forecast(taken, arrivedAtMs));
    let forecastAtMs = performance.now();
    const failed = () => ({ result, forecastAtMs, end: 'failed' }) as const;
    if (result.failure !== undefined && tries < MOST_TRIES) return failed();
    const begun = await this.#publishing.begin(result, { isFirst: isFirst(), recordedAtMs });
    const { weightsHash } = begun;
    if (weightsHash !== undefined && weightsHash !== result.forecasts[0].weightsHash) {
      const byIt = await this.inTurn(() =>
        this.#forecaster.forecastWith(weightsHash, taken, arrivedAtMs, this.#held.takenSinceOldest()),
      );
      forecastAtMs = performance.now();
      if (byIt !== undefined) result = byIt;
      if ((byIt === undefined || byIt.failure !== undefined) && tries < MOST_WAITS) return failed();
    }
    const isStored = await this.#publishing.publish(result, begun, receivedAtMs);
    return { result, forecastAtMs, end: isStored ? 'stored' : 'late' };
  }
}
