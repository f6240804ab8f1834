/**
 * The training loop: batches, steps, validation, early stopping, checkpoints, on one rank or the same on each of many.
 * It knows nothing of bars or files of models. The same inputs give the same bits, run after run, on any number of
 * ranks, stopped and resumed or not.
 */
import { BarcastError, type Progress, toBarcastError } from '../base/index.ts';
import {
  broadcastBytes,
  type Collective,
  demandTheSame,
  firstDifference,
  gatherNumbers,
  soloCollective,
  together,
} from '../collective/index.ts';
import type { WindowSet } from '../features/index.ts';
import {
  initialWeights,
  type Kernel,
  type KernelNetwork,
  type Loss,
  meanLoss,
  type NetworkShape,
} from '../kernel/index.ts';
import {
  type Checkpoint,
  type CheckpointFile,
  decodeCheckpoint,
  type EpochRecord,
  encodeCheckpoint,
  type RunIdentity,
  type RunPlace,
} from './checkpoint.ts';
import { outputsOverRanks } from './outputs.ts';
import { ParallelStep, type StepTimes } from './parallel-step.ts';
import { Batches } from './sampler.ts';
import { learningRateAt, type TrainingSettings, updateBatch } from './schedule.ts';
import { type EpochBatch, epochBatches, sequencesOf, stepsAnEpoch, type TrainingShards } from './shards.ts';

export interface TrainingRun {
  readonly kernel: Kernel;
  readonly shape: NetworkShape;
  /** The training part, in pieces that fit memory. */
  readonly shards: TrainingShards;
  /** The validation part: scaled windows, and `[N]` targets in the network's output units. */
  readonly validation: { readonly windows: WindowSet; readonly targets: Float32Array };
  /**
   * A score of the validation outputs `[N, O]`, lower is better, that picks the best epoch; the loss without it. Rank
   * 0's counts.
   */
  readonly validationScore?: (outputs: Float32Array) => number;
  readonly settings: TrainingSettings;
  readonly seed: number;
  /** Names bars and settings: a checkpoint of another identity is not taken up, ranks of another are refused. */
  readonly identity: RunIdentity;
  /** The ranks that train together; this one alone without it. Closed by whoever made it. */
  readonly collective?: Collective;
  /** Where this rank finds and keeps checkpoints. */
  readonly checkpoint?: CheckpointFile;
  /**
   * Time between checkpoints within an epoch, and the most work that a crash loses: where the disk is so slow that the
   * last one is not kept by then, the training waits for it.
   */
  readonly checkpointEveryMs: number;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
  /** Hears from which place on it trains. */
  readonly onBegin?: (place: RunPlace) => void;
  /** Hears of every step that is done. */
  readonly onStep?: (place: RunPlace) => void;
  /** Hears of every checkpoint that is on the disk, and how long ago its state was taken. */
  readonly onKept?: (place: RunPlace, ageMs: number) => void;
}

export interface TrainingResult {
  /** Weights of the best epoch: the one with the lowest validation score. */
  readonly weights: Float32Array;
  readonly bestEpoch: number;
  readonly epochs: number;
  readonly steps: number;
  /** Sequences trained on by all ranks together (a resumed run counts from where it took up). */
  readonly sequences: number;
  readonly seconds: number;
  readonly history: readonly EpochRecord[];
  /** What this rank spent its steps on. */
  readonly times: StepTimes;
}

/**
 * @throws BARCAST_E_DIVERGED, BARCAST_E_INTERRUPTED (after a last checkpoint), BARCAST_E_CHECKPOINT,
 *   BARCAST_E_RANK, BARCAST_E_RANKS_DIFFER
 */
export async function runTraining(run: TrainingRun): Promise<TrainingResult> {
  const collective = run.collective ?? soloCollective();
  await demandTheSame(collective, run.identity);
  const network = await run.kernel.createNetwork(run.shape, initialWeights(run.shape, run.seed), HELD_MS);
  try {
    return await new Trainer(run, collective, network).run();
  } finally {
    network.close();
  }
}

/** Time between two turns of the event loop. */
const TURN_MS = 20;
/** How long a step may keep the thread by itself. */
export const HELD_MS = 50;

class Trainer {
  readonly #run: TrainingRun;
  readonly #collective: Collective;
  readonly #network: KernelNetwork;
  readonly #step: ParallelStep;
  readonly #sequencesAnEpoch: number;
  readonly #stepsAnEpoch: number;
  #batches: Batches | undefined;
  #place: RunPlace = { epoch: 0, batch: 0, step: 0, seen: 0, lossSum: 0, history: [] };
  #best: Float32Array = new Float32Array(0);
  /** When the state of the last checkpoint was taken; of the last one that is kept; and what it took to write. */
  #checkpointAt = performance.now();
  #keptAt = performance.now();
  #writeMs = 0;
  #turnedAt = performance.now();
  #writing: Promise<void> | undefined;
  #writeFailure: BarcastError | undefined;
  #sequences = 0;

  constructor(run: TrainingRun, collective: Collective, network: KernelNetwork) {
    this.#run = run;
    this.#collective = collective;
    this.#network = network;
    this.#step = new ParallelStep(collective, network);
    this.#sequencesAnEpoch = sequencesOf(run.shards);
    this.#stepsAnEpoch = stepsAnEpoch(run.shards, updateBatch(run.settings));
  }

  async run(): Promise<TrainingResult> {
    const { settings } = this.#run;
    const startedAt = performance.now();
    await this.#resume();
    this.#checkpointAt = this.#keptAt = performance.now();
    this.#run.onBegin?.(this.#place);
    try {
      while (this.#place.epoch < settings.epochs && !this.#patienceEnded()) await this.#epoch();
    } finally {
      await this.#writing;
    }
    if (this.#writeFailure) throw this.#writeFailure;
    return {
      weights: this.#best,
      bestEpoch: this.#bestRecord().epoch,
      epochs: this.#place.epoch,
      steps: this.#place.step,
      sequences: this.#sequences,
      seconds: (performance.now() - startedAt) / 1000,
      history: this.#place.history,
      times: this.#step.times,
    };
  }

  /** Takes up the checkpoint of this very run that is furthest, on whichever rank it lies. */
  async #resume(): Promise<void> {
    const { progress } = this.#run;
    const own = await together(this.#collective, async () => this.#ownCheckpoint());
    const steps = await gatherNumbers(this.#collective, own ? own.place.step + 1 : 0);
    const furthest = Math.max(...steps);
    if (furthest === 0) return;
    const root = steps.indexOf(furthest);
    const bytes = this.#collective.rank === root ? encodeCheckpoint(own!) : undefined;
    const all = this.#collective.size === 1 ? bytes! : await broadcastBytes(this.#collective, root, bytes);
    const checkpoint = decodeCheckpoint(all, `the checkpoint of rank ${root}`);
    await this.#network.writeWeights(checkpoint.weights);
    await this.#network.writeOptimizer(checkpoint.optimizer);
    this.#place = checkpoint.place;
    this.#best = checkpoint.best;
    progress.say(
      `resumed at epoch ${checkpoint.place.epoch + 1}, step ${checkpoint.place.step.toLocaleString('en-US')}`,
    );
  }

  #ownCheckpoint(): Checkpoint | undefined {
    const { checkpoint: file, identity } = this.#run;
    if (!file?.exists()) return undefined;
    const checkpoint = file.read();
    return firstDifference(identity, checkpoint.identity) === undefined ? checkpoint : undefined;
  }

  async #epoch(): Promise<void> {
    const { settings, seed, shards } = this.#run;
    for await (const batch of epochBatches(shards, seed, this.#place.epoch, updateBatch(settings), this.#place.batch)) {
      const { stop } = await this.#trainOn(batch);
      await this.#pause(stop);
    }
    await this.#endEpoch();
  }

  async #trainOn({ shard, indices, fresh }: EpochBatch): Promise<{ stop: boolean }> {
    const { settings, seed, signal, progress } = this.#run;
    if (fresh) this.#batches = new Batches(shard.windows, shard.targets, updateBatch(settings));
    const { epoch, batch, step } = this.#place;
    const learningRate = learningRateAt(settings, step, this.#stepsAnEpoch * settings.epochs, this.#stepsAnEpoch);
    const part = (from: number, to: number) => {
      if (this.#writeFailure) throw this.#writeFailure;
      return this.#batches!.gather(indices.subarray(from, to), settings.loss, seed, step, from);
    };
    const { loss, stop } = await this.#step.run(
      part,
      indices.length,
      settings.accumulate ?? 1,
      step,
      { ...settings.optimizer, learningRate },
      signal?.aborted === true,
    );
    this.#sequences += indices.length;
    const seen = this.#place.seen + indices.length;
    const lossSum = this.#place.lossSum + loss * indices.length;
    this.#place = { ...this.#place, batch: batch + 1, step: step + 1, seen, lossSum };
    this.#run.onStep?.(this.#place);
    const label = `epoch ${epoch + 1}/${settings.epochs}`;
    progress.update(label, seen, this.#sequencesAnEpoch, `sequences, loss ${(lossSum / seen).toFixed(5)}`);
    return { stop };
  }

  /** Between two steps: a checkpoint when it is due, and the end when any rank was asked to stop. */
  async #pause(stop: boolean): Promise<void> {
    const { signal, checkpointEveryMs, checkpoint, settings } = this.#run;
    // Alone, the signal counts at once; with others, from the step in which all have heard of it.
    const stopping = stop || (this.#collective.size === 1 && signal?.aborted === true);
    // Early by what the writing takes, so that it is kept in time.
    const early = Math.min(this.#writeMs, checkpointEveryMs / 2);
    const due = performance.now() - this.#checkpointAt > checkpointEveryMs - early && this.#writing === undefined;
    if (stopping || due) await this.#saveCheckpoint();
    if (performance.now() - this.#keptAt > checkpointEveryMs) await this.#writing;
    if (performance.now() - this.#turnedAt > TURN_MS) {
      // Small steps never leave the queue of microtasks; signals, timers and writes wait for a turn of the event loop.
      await new Promise(setImmediate);
      this.#turnedAt = performance.now();
    }
    if (!stopping) return;
    await this.#writing;
    if (this.#writeFailure) throw this.#writeFailure;
    const kept = checkpoint ? `a checkpoint of step ${this.#place.step} is kept` : 'no checkpoint is kept';
    throw new BarcastError(
      'BARCAST_E_INTERRUPTED',
      `training was stopped in epoch ${Math.min(this.#place.epoch + 1, settings.epochs)}; ${kept}`,
      'run the same command again to go on',
    );
  }

  async #endEpoch(): Promise<void> {
    const { progress } = this.#run;
    const { epoch, lossSum, history } = this.#place;
    const trainLoss = lossSum / this.#sequencesAnEpoch;
    const record: EpochRecord = { epoch: epoch + 1, trainLoss, ...(await this.#validate()) };
    const { validationLoss } = record;
    if (![trainLoss, validationLoss, record.validationScore].every(Number.isFinite)) {
      throw new BarcastError(
        'BARCAST_E_DIVERGED',
        `the loss of epoch ${epoch + 1} is not finite`,
        'lower the learning rate',
      );
    }
    this.#place = { ...this.#place, epoch: epoch + 1, batch: 0, seen: 0, lossSum: 0, history: [...history, record] };
    if (this.#bestRecord() === record) this.#best = await this.#network.readWeights();
    const losses = `train loss ${trainLoss.toFixed(5)}, validation loss ${validationLoss.toFixed(5)}`;
    // Said when it is kept: what a person has read of is not lost.
    await this.#saveCheckpoint(() => progress.say(`epoch ${record.epoch}: ${losses}`));
  }

  async #validate(): Promise<{ validationLoss: number; validationScore: number }> {
    const { validation, settings, validationScore } = this.#run;
    const outputs = await outputsOverRanks(this.#collective, this.#network, validation.windows);
    const validationLoss = meanLoss(settings.loss as Loss, outputs, validation.targets);
    const score = Float64Array.of(
      await together(this.#collective, async () => validationScore?.(outputs) ?? validationLoss),
    );
    await this.#collective.broadcast(new Uint8Array(score.buffer), 0);
    return { validationLoss, validationScore: score[0] };
  }

  #bestRecord(): EpochRecord {
    return this.#place.history.reduce((best, record) =>
      record.validationScore < best.validationScore ? record : best,
    );
  }

  #patienceEnded(): boolean {
    const { history } = this.#place;
    const { patience } = this.#run.settings;
    return patience > 0 && history.length > 0 && history.length - this.#bestRecord().epoch >= patience;
  }

  /**
   * Takes the state and has it written while training goes on; the promise ends when it has taken it. The first rank of
   * each host keeps one, so that no file system need be shared.
   */
  async #saveCheckpoint(kept?: () => void): Promise<void> {
    const { checkpoint: file, identity } = this.#run;
    this.#checkpointAt = performance.now();
    if (!file || !this.#collective.leadsItsHost) return void kept?.();
    const checkpoint: Checkpoint = {
      identity,
      place: this.#place,
      weights: await this.#network.readWeights(),
      optimizer: await this.#network.readOptimizer(),
      best: this.#best,
    };
    const takenAt = this.#checkpointAt;
    const writing: Promise<void> = file
      .write(checkpoint)
      .then(() => {
        this.#keptAt = takenAt;
        this.#writeMs = performance.now() - takenAt;
        this.#run.onKept?.(checkpoint.place, this.#writeMs);
        kept?.();
      })
      .catch((error) => {
        this.#writeFailure ??= toBarcastError(error);
      })
      .finally(() => {
        if (this.#writing === writing) this.#writing = undefined;
      });
    this.#writing = writing;
  }
}
