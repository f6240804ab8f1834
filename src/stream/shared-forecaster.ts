/**
 * One of any number of forecasters that share the bars of a NATS bus. No part of the market has an owner.
 *
 * Each takes every bar, in the batches that the log of batches names, so that each has the windows of the whole market;
 * each batch is forecast by the one that the server hands it to. Nothing else is kept anywhere: a forecaster that dies
 * costs the time until its batch goes to another one, and one that starts reads the present session's bars again.
 *
 * Exactly once: a forecast is published under the id (symbol, minute, model), before the batch is answered. A batch
 * that is forecast twice gives the same bits under the same ids, which the server leaves out. It remembers ids for two
 * minutes; a batch that was handed out before and is older is looked up in what has been published.
 *
 * Back-pressure: a forecaster reads ahead by at most {@link MOST_BUFFERED} bars, and takes at most a window of minutes
 * before the oldest batch that nobody has forecast. What is more waits in the stream.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type JsMsg, jetstream } from '@nats-io/jetstream';
import type { Bar } from '../bars/index.ts';
import { type EpochMs, epochMinute, epochMs } from '../base/index.ts';
import { decodeRecord, encodeRecord, type LoggedBatch, medianOf, restartAt } from './batch-log.ts';
import { Bell } from './batch-queue.ts';
import { messageIdOf, type Topic } from './bus.ts';
import type { Forecast } from './forecast.ts';
import { Forecaster, type ForecasterCounts, type ForecasterResult } from './forecaster.ts';
import type { NewWindows, TakenMinute } from './market-windows.ts';
import type { ModelSource } from './model-source.ts';
import { IDLE_MS, LARGEST_BATCH, messagesOf, type NatsBus } from './nats-bus.ts';
import { BATCHES, BATCHES_SUBJECT, DUPLICATE_WINDOW_MS, type Nats, streamOf } from './nats-connection.ts';
import { END_OF_BATCH } from './nats-publisher.ts';
import { endsOf, readStream } from './nats-reader.ts';
import { Decoder } from './nats-wire.ts';
import { SharedWork } from './shared-work.ts';

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
  readonly tell?: (result: ForecasterResult) => void;
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
/** Bars read ahead of what has been taken. */
export const MOST_BUFFERED = 2 * LARGEST_BATCH;
/** Records of the log that are read at the start: more than any session has. */
const RECORDS_READ = 50_000;
/** A batch that was handed out too early comes again after so long. */
const LATER_MS = 100;
/** A batch that fails is tried so often by each who gets it; what of it was forecast is published then. */
const MOST_TRIES = 3;

interface ReadBar {
  readonly sequence: number;
  /** undefined: the message held no bar, or none that is wanted. */
  readonly bar: Bar | undefined;
  readonly arrivedAtMs: number;
}

/** A batch that was taken and that nobody is known to have forecast. */
interface Pending {
  readonly taken: readonly TakenMinute[];
  readonly arrivedAtMs: number;
  /** Its oldest minute; Infinity when its windows have rows of their own. */
  readonly minute: number;
}

/** @throws BARCAST_E_BUS and what NATS throws when the streams cannot be read */
export async function startSharedForecaster(options: SharedForecasterOptions): Promise<SharedForecaster> {
  const work = await SharedWork.join(options.bus.nats, options.group, options.answerMs ?? ANSWER_MS);
  const run = new Run(options, work);
  await run.findPlace();
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
  #isWarm: () => void = () => {};

  /** Bars read and not yet taken, oldest first. */
  #bars: ReadBar[] = [];
  #readTo = 0;
  /** Ends of batches among them that are not in the log. */
  #ends: number[] = [];
  /** Records of the log that are not taken yet. */
  #log: LoggedBatch[] = [];
  /** Where the log has come to: a sequence of BATCHES, and the last bar it covers. */
  #logTo = 0;
  #cutTo = 0;
  /** The newest record whose bars were taken. */
  #takenTo = 0;
  #warmAt = 0;
  /** Every record up to here has been forecast. */
  #doneTo = 0;
  #oldestMinute = Number.NEGATIVE_INFINITY;
  readonly #pending = new Map<number, Pending>();
  /** Taking waits for an older batch to be forecast. */
  #blocked = false;
  /** Tries of batches that failed here. */
  readonly #failures = new Map<number, number>();
  readonly #rememberedMs: number;
  /** Taking and forecasting do not overlap. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: SharedForecasterOptions, work: SharedWork) {
    this.#options = options;
    this.#work = work;
    this.#rememberedMs = options.rememberedMs ?? DUPLICATE_WINDOW_MS / 2;
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal]);
    this.#signal.addEventListener('abort', () => this.#news.ring(), { once: true });
    this.forecaster = new Forecaster(options.models, options.newWindows);
    this.warm = new Promise((resolve) => {
      this.#isWarm = resolve;
    });
  }

  /** Reads the log and decides where to begin. */
  async findPlace(): Promise<void> {
    const { nats } = this.#options.bus;
    this.#doneTo = (await this.#work.state()).doneTo;
    const { records, last } = await readLogTail(nats, this.#doneTo);
    const { index, open } = restartAt(records.filter(({ sequence }) => sequence <= this.#doneTo));
    this.#oldestMinute = open;
    this.#log = records.slice(index);
    this.#logTo = last;
    this.#cutTo = records.at(-1)?.to ?? 0;
    this.#readTo = (this.#log[0]?.from ?? 1) - 1;
    this.#warmAt = last;
    if (this.#log.length === 0) this.#isWarm();
  }

  async go(): Promise<void> {
    try {
      await Promise.all(
        [this.#readBars(), this.#readLog(), this.#writeLog(), this.#take(), this.#answer(), this.#look()].map((part) =>
          part.catch((error) => {
            this.#stop.abort();
            this.#news.ring();
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

  #pause(ms: number): Promise<unknown> {
    return sleep(ms, undefined, { signal: this.#signal }).catch(() => {});
  }

  async #readBars(): Promise<void> {
    const decoder = new Decoder('bars');
    const { bus, symbols } = this.#options;
    const wanted = symbols === undefined ? undefined : new Set(symbols);
    const { counts } = this.forecaster;
    let idle: NodeJS.Timeout | undefined;
    let sinceEnd = 0;
    const end = () => {
      clearTimeout(idle);
      idle = undefined;
      sinceEnd = 0;
      if (this.#readTo > this.#cutTo) this.#ends.push(this.#readTo);
      this.#news.ring();
    };
    for await (const message of readStream(bus.nats, streamOf('bars'), { sequence: this.#readTo + 1 }, this.#signal)) {
      const item = decoder.decode(message.subject, message.data);
      if (typeof item === 'string') counts.refusedMessages++;
      const bar = typeof item === 'string' || wanted?.has(item.symbol) === false ? undefined : item;
      this.#bars.push({ sequence: message.seq, bar, arrivedAtMs: performance.now() });
      this.#readTo = message.seq;
      sinceEnd++;
      if (message.headers?.has(END_OF_BATCH) || sinceEnd >= LARGEST_BATCH) end();
      else if (idle === undefined) idle = setTimeout(end, IDLE_MS);
      else idle.refresh();
      while (this.#bars.length >= MOST_BUFFERED && !this.#stopped) await this.#change();
    }
    clearTimeout(idle);
  }

  async #readLog(): Promise<void> {
    const { bus } = this.#options;
    for await (const message of readStream(bus.nats, BATCHES, { sequence: this.#logTo + 1 }, this.#signal)) {
      const record = decodeRecord(message.data, this.#cutTo);
      this.#logTo = message.seq;
      if (record !== undefined) {
        this.#cutTo = record.to;
        this.#log.push({ ...record, sequence: message.seq });
      }
      this.#news.ring();
    }
  }

  /** Writes the next record, as often as an end of a batch is there that nobody else has written. */
  async #writeLog(): Promise<void> {
    const js = jetstream(this.#options.bus.nats.connection);
    while (!this.#stopped) {
      while (this.#ends.length > 0 && this.#ends[0] <= this.#cutTo) this.#ends.shift();
      if (this.#ends.length === 0) {
        await this.#change();
        continue;
      }
      const before = this.#logTo;
      const [from, to] = [this.#cutTo + 1, this.#ends[0]];
      const minutes: number[] = [];
      for (const { sequence, bar } of this.#bars) {
        if (sequence > to) break;
        if (sequence >= from && bar !== undefined) minutes.push(bar.minute);
      }
      const data = encodeRecord({ from, to, minute: epochMinute(medianOf(minutes)) });
      try {
        await js.publish(BATCHES_SUBJECT, data, { expect: { lastSequence: before }, timeout: LOOK_MS });
      } catch {
        // Somebody was faster, or the server is away: what the log holds decides.
        if (this.#logTo === before) await Promise.race([this.#change(), this.#pause(LOOK_MS / 10)]);
        continue;
      }
      while (this.#logTo === before && !this.#stopped) await this.#change();
    }
  }

  /** Takes the bars of one record after another. */
  async #take(): Promise<void> {
    while (!this.#stopped) {
      const record = this.#log[0];
      if (record === undefined || this.#readTo < record.to) {
        await this.#change();
        continue;
      }
      const end = this.#bars.findIndex(({ sequence }) => sequence > record.to);
      const read = this.#bars.slice(0, end === -1 ? this.#bars.length : end);
      const bars = read.flatMap(({ bar }) => (bar === undefined || bar.minute < this.#oldestMinute ? [] : [bar]));
      let [oldest, newest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
      for (const { minute } of bars) {
        oldest = Math.min(oldest, minute);
        newest = Math.max(newest, minute);
      }
      while (this.#isTooFarAhead(newest) && !this.#stopped) {
        if (!this.#blocked) {
          this.#blocked = true;
          this.#news.ring();
        }
        await this.#change();
      }
      this.#blocked = false;
      if (this.#stopped) return;
      const arrivedAtMs = read.at(-1)?.arrivedAtMs ?? performance.now();
      await this.#inTurn(async () => {
        // A batch of many minutes would write over its own rows.
        const copy = newest - oldest >= this.forecaster.minutesHeld / 2;
        const held = [...this.#pending.values()].flatMap((pending) => pending.taken);
        const taken = this.forecaster.take(bars, held, copy);
        const pending = { taken, arrivedAtMs, minute: copy ? Number.POSITIVE_INFINITY : oldest };
        if (record.sequence > this.#doneTo) this.#pending.set(record.sequence, pending);
      });
      this.#bars.splice(0, read.length);
      this.#log.shift();
      this.#takenTo = record.sequence;
      if (record.sequence >= this.#warmAt) this.#isWarm();
      this.#news.ring();
    }
  }

  /** Windows that are held keep their rows for a window of minutes. */
  #isTooFarAhead(minute: number): boolean {
    const held = this.forecaster.minutesHeld;
    for (const pending of this.#pending.values()) if (minute - pending.minute >= held - 1) return true;
    return false;
  }

  /** Leaves go of what others have forecast. */
  #forget(): void {
    for (const sequence of this.#pending.keys()) {
      if (sequence > this.#doneTo) break;
      this.#pending.delete(sequence);
    }
  }

  async #answer(): Promise<void> {
    for await (const message of this.#work.batches(this.#signal)) {
      const receivedAtMs = performance.now();
      const working = setInterval(() => message.working(), (this.#options.answerMs ?? ANSWER_MS) / 3);
      try {
        const reached = await this.#reaches(message.seq);
        if (this.#stopped) message.nak();
        else if (!reached) message.nak(LATER_MS);
        else await this.#forecast(message, receivedAtMs);
      } finally {
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
    const isKnown = () => this.#takenTo >= sequence || (this.#logTo >= sequence && this.#isNone(sequence));
    const timer = setTimeout(() => this.#news.ring(), LOOK_MS);
    while (!isKnown() && !this.#blocked && performance.now() < until && !this.#stopped) await this.#change();
    clearTimeout(timer);
    return isKnown();
  }

  /** Whether a message of the log that was read holds no record. */
  #isNone(sequence: number): boolean {
    return !this.#log.some((it) => it.sequence === sequence);
  }

  async #forecast(message: JsMsg, receivedAtMs: number): Promise<void> {
    const { bus, notice = () => {}, tell } = this.#options;
    const pending = this.#pending.get(message.seq);
    if (pending === undefined) {
      // A record that is none is answered so. One from before our windows begin is for another forecaster.
      if (message.seq > this.#doneTo) message.ack();
      else message.nak(LOOK_MS);
      return;
    }
    const result = await this.#inTurn(() => this.forecaster.forecast(pending.taken, pending.arrivedAtMs));
    const failures = (this.#failures.get(message.seq) ?? 0) + 1;
    if (result.failure !== undefined && failures < MOST_TRIES) {
      this.#failures.set(message.seq, failures);
      tell?.(result);
      return message.nak(LOOK_MS);
    }
    this.#failures.delete(message.seq);
    try {
      const known = await this.#publishedBefore(message);
      // Asleep for too long (a suspended machine): another forecaster has it.
      if (performance.now() - receivedAtMs > this.#rememberedMs) return;
      for (const [topic, made] of [
        ['forecasts', result.forecasts],
        ['shadow', result.shadow ?? []],
      ] as const) {
        const fresh = made.filter((forecast) => !known.has(messageIdOf(topic, forecast)));
        await bus.publisher.publish(messagesOf(topic, fresh), this.#rememberedMs);
      }
    } catch (error) {
      notice(`forecasts could not be published, the batch is tried again: ${(error as Error).message}`);
      return message.nak(LOOK_MS);
    }
    message.ack();
    this.#pending.delete(message.seq);
    tell?.(result);
    this.#news.ring();
  }

  /** Ids of the forecasts that an earlier try may have left, when the server may have forgotten them. */
  async #publishedBefore(message: JsMsg): Promise<Set<string>> {
    const ids = new Set<string>();
    const recordedAtMs = message.info.timestampNanos / 1e6;
    if (message.info.deliveryCount === 1 || Date.now() - recordedAtMs < this.#rememberedMs) return ids;
    const { nats } = this.#options.bus;
    for (const topic of ['forecasts', 'shadow'] as const satisfies Topic[]) {
      const { last } = await endsOf(nats, streamOf(topic));
      const reading = new AbortController();
      const signal = AbortSignal.any([reading.signal, this.#signal]);
      const decoder = new Decoder(topic);
      const since = epochMs(recordedAtMs - this.#rememberedMs);
      // Nothing newer: the reading would wait for the next message.
      if (last === 0 || (await this.#lastStoredAt(topic)) < since) continue;
      for await (const it of readStream(nats, streamOf(topic), { since }, signal)) {
        const forecast = decoder.decode(it.subject, it.data);
        if (typeof forecast !== 'string') ids.add(messageIdOf(topic, forecast as Forecast));
        if (it.seq >= last) reading.abort();
      }
    }
    return ids;
  }

  async #lastStoredAt(topic: Topic): Promise<number> {
    const { state } = await this.#options.bus.nats.manager.streams.info(streamOf(topic));
    return Date.parse(state.last_ts);
  }

  /** Looks after the others' work, and tells how much waits. */
  async #look(): Promise<void> {
    while (!this.#stopped) {
      try {
        const { doneTo, waiting } = await this.#work.state();
        this.forecaster.counts.waitingBatches = waiting + this.#ends.length;
        this.#doneTo = Math.max(doneTo, this.#doneTo);
        await this.#inTurn(async () => this.#forget());
        this.#news.ring();
      } catch {
        // The server is away; it is asked again.
      }
      await this.#pause(this.#pending.size > 20 ? LOOK_MS / 10 : LOOK_MS);
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }
}

/** The records of the log from well before a sequence on to its present end. */
async function readLogTail(nats: Nats, doneTo: number): Promise<{ records: LoggedBatch[]; last: number }> {
  const { first, last } = await endsOf(nats, BATCHES);
  const records: LoggedBatch[] = [];
  const from = Math.max(first, doneTo - RECORDS_READ);
  if (last === 0 || last < from) return { records, last };
  const reading = new AbortController();
  for await (const message of readStream(nats, BATCHES, { sequence: from }, reading.signal)) {
    const record = decodeRecord(message.data, records.at(-1)?.to ?? firstFrom(message.data) - 1);
    if (record !== undefined) records.push({ ...record, sequence: message.seq });
    if (message.seq >= last) reading.abort();
  }
  return { records, last };
}

/** When the first bar of the session that is being forecast was stored; undefined when nothing has been recorded. */
export async function presentSessionSince(nats: Nats): Promise<EpochMs | undefined> {
  const { last } = await endsOf(nats, BATCHES);
  const { records } = await readLogTail(nats, last);
  const { index } = restartAt(records);
  if (records.length === 0) return undefined;
  const { first, last: lastBar } = await endsOf(nats, streamOf('bars'));
  const sequence = Math.min(Math.max(records[index].from, first), lastBar);
  const message = await nats.manager.streams.getMessage(streamOf('bars'), { seq: sequence }).catch(() => null);
  return message === null ? undefined : epochMs(message.time.getTime());
}

const firstFrom = (data: Uint8Array): number => {
  try {
    return Number((JSON.parse(new TextDecoder().decode(data)) as { from: unknown }).from) || 1;
  } catch {
    return 1;
  }
};
