/**
 * One of any number of forecasters that share the bars of a NATS bus. No part of the market has an owner.
 *
 * Each takes every bar, in the batches that the log of batches names, so that each has the windows of the whole market;
 * each batch is forecast by the one that the server hands it to. Nothing else is kept anywhere: a forecaster that dies
 * costs the time until its batch goes to another one, and one that starts reads the present session's bars again.
 *
 * Exactly once: a forecast is published under the id (symbol, minute, model), before the batch is answered. A batch
 * that is forecast twice gives the same bits under the same ids, which the server leaves out; see `shared-attempts.ts`
 * and `shared-publishing.ts`.
 *
 * Back-pressure: a forecaster reads ahead by at most {@link MOST_BUFFERED} bars, and takes at most ten minutes of the
 * market before the oldest batch that nobody has forecast. What is more waits in the stream.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { JsMsg } from '@nats-io/jetstream';
import { Bell } from './batch-queue.ts';
import { BatchReader } from './batch-reader.ts';
import { Forecaster, type ForecasterCounts, type ForecasterResult } from './forecaster.ts';
import { HeldBatches } from './held-batches.ts';
import type { NewWindows } from './market-windows.ts';
import type { ModelSource } from './model-source.ts';
import type { NatsBus } from './nats-bus.ts';
import { DUPLICATE_WINDOW_MS } from './nats-connection.ts';
import { type Attempt, FORMER_MS, SharedAttempts } from './shared-attempts.ts';
import { SharedPublishing } from './shared-publishing.ts';
import { findPlace, type Place } from './shared-recovery.ts';
import { SharedTaking } from './shared-taking.ts';
import { SharedWork } from './shared-work.ts';

/** A batch that was forecast, and when: `performance.now()` of each step. */
export interface SharedResult extends ForecasterResult {
  readonly times: {
    /** Its last bar was here. */
    readonly arrivedAtMs: number;
    /** The log had its record, and its bars were in the windows. */
    readonly takenAtMs: number;
    readonly forecastAtMs: number;
    /** Every forecast was acknowledged; undefined when they were not published. */
    readonly storedAtMs: number | undefined;
  };
}

export interface SharedForecasterOptions {
  readonly bus: NatsBus;
  readonly models: ModelSource;
  readonly newWindows?: NewWindows;
  /** Forecasters of one group share the work; each group forecasts everything. The model's name. */
  readonly group: string;
  /** Bars of other symbols are left alone; every symbol's are taken unless told. */
  readonly symbols?: readonly string[];
  readonly signal: AbortSignal;
  /** Told of what a person should know, one line each. */
  readonly notice?: (line: string) => void;
  /** Told of each batch that this forecaster forecast, after its forecasts are stored. */
  readonly tell?: (result: SharedResult) => void;
  /** A batch without an answer in that time goes to another forecaster. */
  readonly answerMs?: number;
  /** For so long the server is sure to know the ids of an earlier try; half of the streams' duplicate window. */
  readonly rememberedMs?: number;
}

export interface SharedForecaster {
  readonly counts: ForecasterCounts;
  /** Resolves when the windows are warm: every bar that was there at the start has been taken. */
  readonly warm: Promise<void>;
  /** Resolves after the signal aborted and the batch in work was answered; rejects with what ended it. */
  readonly done: Promise<void>;
}

const ANSWER_MS = 2000;
const LOOK_MS = 500;
/** The same while taking waits, or some batches are held that others may have forecast meanwhile. */
const LOOK_OFTEN_MS = 50;
const SOME = 4;
/** A batch that was handed out too early comes again after so long. */
const LATER_MS = 100;

/** @throws BARCAST_E_BUS and what NATS throws when the streams cannot be read */
export async function startSharedForecaster(options: SharedForecasterOptions): Promise<SharedForecaster> {
  const work = await SharedWork.join(options.bus.nats, options.group, options.answerMs ?? ANSWER_MS);
  const { doneTo } = await work.state();
  const run = new Run(options, work, doneTo, await findPlace(options.bus.nats, doneTo));
  return { counts: run.forecaster.counts, warm: run.warm, done: run.go() };
}

class Run {
  readonly forecaster: Forecaster;
  readonly warm: Promise<void>;
  readonly #options: SharedForecasterOptions;
  readonly #work: SharedWork;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #news = new Bell();
  readonly #batches: BatchReader;
  readonly #held: HeldBatches;
  readonly #attempts: SharedAttempts;
  readonly #taking: SharedTaking;
  readonly #answerMs: number;
  /** Forecasts a batch that the server handed it. */
  #inHand = false;

  constructor(options: SharedForecasterOptions, work: SharedWork, doneTo: number, place: Place) {
    const { bus, symbols, models, newWindows } = options;
    this.#options = options;
    this.#work = work;
    this.#held = new HeldBatches(doneTo);
    this.#answerMs = options.answerMs ?? ANSWER_MS;
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal]);
    this.#signal.addEventListener('abort', () => this.#news.ring(), { once: true });
    this.forecaster = new Forecaster(models, newWindows, FORMER_MS);
    const publishing = new SharedPublishing(bus, options.rememberedMs ?? DUPLICATE_WINDOW_MS / 2, this.#signal);
    this.#attempts = new SharedAttempts(this.forecaster, publishing, this.#held);
    this.#batches = new BatchReader({
      nats: bus.nats,
      place,
      symbols,
      news: this.#news,
      signal: this.#signal,
      onRefused: () => {
        this.forecaster.counts.refusedMessages++;
      },
    });
    let isWarm = () => {};
    this.warm = new Promise((resolve) => {
      isWarm = resolve;
    });
    if (place.log.length === 0) isWarm();
    this.#taking = new SharedTaking({
      batches: this.#batches,
      forecaster: this.forecaster,
      held: this.#held,
      attempts: this.#attempts,
      oldestMinute: place.open,
      answerMs: this.#answerMs,
      isAtWork: () => this.#inHand,
      onTaken: (sequence) => sequence >= place.logTo && isWarm(),
      news: this.#news,
      signal: this.#signal,
    });
  }

  async go(): Promise<void> {
    this.#work.watchDone((sequence) => this.#held.drop(sequence) && this.#news.ring(), this.#signal);
    try {
      await Promise.all(
        [this.#batches.run(), this.#taking.run(), this.#answer(), this.#look()].map((part) =>
          part.catch((error) => {
            this.#stop.abort();
            throw error;
          }),
        ),
      );
    } finally {
      this.#stop.abort();
    }
  }

  get #stopped(): boolean {
    return this.#signal.aborted;
  }

  /** Waits for a change of anything, the end among it. */
  async #change(): Promise<void> {
    if (!this.#stopped) await this.#news.wait();
  }

  async #answer(): Promise<void> {
    const answerMs = this.#answerMs;
    for await (const message of this.#work.batches(this.#signal)) {
      const receivedAtMs = performance.now();
      let saidAtMs = receivedAtMs;
      const working = setInterval(() => {
        // A process that stood still: another forecaster may have the batch by now.
        if (performance.now() - saidAtMs > answerMs) saidAtMs = Number.NEGATIVE_INFINITY;
        else saidAtMs = performance.now();
        message.working();
      }, answerMs / 3);
      const isFirst = () => message.info.deliveryCount === 1 && performance.now() - saidAtMs < answerMs;
      try {
        const reached = await this.#reaches(message.seq);
        if (this.#stopped) message.nak();
        else if (!reached) message.nak(LATER_MS);
        else await this.#forecast(message, isFirst, receivedAtMs);
      } finally {
        this.#inHand = false;
        clearInterval(working);
      }
    }
  }

  /**
   * Waits until a record has been taken, or is known to be none. Not for long: what is taken may have to wait for an
   * older batch, which only we may be left to forecast.
   */
  async #reaches(sequence: number): Promise<boolean> {
    const until = performance.now() + LOOK_MS;
    const isKnown = () => this.#held.takenTo >= sequence || this.#batches.hasPassed(sequence);
    const timer = setTimeout(() => this.#news.ring(), LOOK_MS);
    while (!isKnown() && !this.#taking.isBlocked && performance.now() < until && !this.#stopped) await this.#change();
    clearTimeout(timer);
    return isKnown();
  }

  async #forecast(message: JsMsg, isFirst: () => boolean, receivedAtMs: number): Promise<void> {
    const { notice = () => {}, tell } = this.#options;
    const batch = this.#held.get(message.seq);
    if (batch === undefined) {
      // A record that is none is answered so. One from before our windows begin is for another forecaster.
      if (message.seq > this.#held.doneTo) this.#work.done(message);
      else message.nak(LOOK_MS);
      return;
    }
    this.#inHand = true;
    let attempt: Attempt;
    try {
      attempt = await this.#attempts.try(message.seq, batch, isFirst, receivedAtMs);
    } catch (error) {
      notice(`forecasts could not be published, the batch is tried again: ${(error as Error).message}`);
      return message.nak(LOOK_MS);
    }
    const { result, forecastAtMs, end } = attempt;
    if (end === 'late') return;
    if (end === 'stored') {
      this.#work.done(message);
      this.#held.drop(message.seq);
    } else message.nak(LOOK_MS);
    const { arrivedAtMs, takenAtMs } = batch;
    const storedAtMs = end === 'stored' ? performance.now() : undefined;
    tell?.({ ...result, times: { arrivedAtMs, takenAtMs, forecastAtMs, storedAtMs } });
    this.#news.ring();
  }

  /** Looks after the others' work, and tells how much waits. */
  async #look(): Promise<void> {
    while (!this.#stopped) {
      try {
        const { doneTo, waiting } = await this.#work.state();
        this.forecaster.counts.waitingBatches = waiting + this.#batches.unwritten;
        this.#held.dropTo(doneTo);
        this.#news.ring();
      } catch {
        // The server is away; it is asked again.
      }
      let pausedMs = 0;
      do {
        await sleep(LOOK_OFTEN_MS, undefined, { signal: this.#signal }).catch(() => {});
        pausedMs += LOOK_OFTEN_MS;
      } while (pausedMs < LOOK_MS && !this.#taking.isBlocked && this.#held.size <= SOME && !this.#stopped);
    }
  }
}
