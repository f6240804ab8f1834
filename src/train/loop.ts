/**
 * The training loop: batches, steps, validation, early stopping, checkpoints. It knows nothing of bars or files of
 * models. The same inputs give the same bits, run after run, stopped and resumed or not.
 */
import { BarcastError, type Progress } from '../base/index.ts';
import type { TrainingDefaults, WindowSet } from '../features/index.ts';
import {
  initialWeights,
  type Kernel,
  type KernelNetwork,
  type Loss,
  meanLoss,
  type NetworkShape,
} from '../kernel/index.ts';
import { networkOutputs } from '../model/index.ts';
import type { Checkpoint, CheckpointFile, EpochRecord, RunPlace } from './checkpoint.ts';
import { Batches } from './sampler.ts';
import { epochBatches, sequencesOf, stepsAnEpoch, type TrainingShards } from './shards.ts';

export interface TrainingRun {
  readonly kernel: Kernel;
  readonly shape: NetworkShape;
  /** The training part, in pieces that fit memory. */
  readonly shards: TrainingShards;
  /** The validation part: scaled windows, and `[N]` targets in the network's output units. */
  readonly validation: { readonly windows: WindowSet; readonly targets: Float32Array };
  /** A score of the validation outputs `[N, O]`, lower is better, that picks the best epoch; the loss without it. */
  readonly validationScore?: (outputs: Float32Array) => number;
  readonly settings: TrainingDefaults;
  readonly seed: number;
  /** Names data and settings: a checkpoint of another fingerprint is not taken up. */
  readonly fingerprint: string;
  readonly checkpoint?: CheckpointFile;
  /** Time between checkpoints within an epoch. */
  readonly checkpointEveryMs: number;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

export interface TrainingResult {
  /** Weights of the best epoch: the one with the lowest validation score. */
  readonly weights: Float32Array;
  readonly bestEpoch: number;
  readonly epochs: number;
  readonly steps: number;
  /** Sequences trained on by this process (a resumed run counts from where it took up). */
  readonly sequences: number;
  readonly seconds: number;
  readonly history: readonly EpochRecord[];
}

/** The learning rate of a step (from 0) among `steps`. */
export function learningRateAt(settings: TrainingDefaults, step: number, steps: number): number {
  const peak = settings.optimizer.learningRate;
  if (settings.schedule !== 'cosine') return peak;
  return peak * (0.1 + 0.45 * (1 + Math.cos((Math.PI * step) / steps)));
}

/** @throws BARCAST_E_DIVERGED, BARCAST_E_INTERRUPTED (after a last checkpoint), BARCAST_E_CHECKPOINT */
export async function runTraining(run: TrainingRun): Promise<TrainingResult> {
  const network = await run.kernel.createNetwork(run.shape, initialWeights(run.shape, run.seed));
  try {
    return await new Trainer(run, network).run();
  } finally {
    network.close();
  }
}

class Trainer {
  readonly #run: TrainingRun;
  readonly #network: KernelNetwork;
  #batches: Batches | undefined;
  readonly #sequencesAnEpoch: number;
  readonly #stepsAnEpoch: number;
  #place: RunPlace = { epoch: 0, batch: 0, step: 0, seen: 0, lossSum: 0, history: [] };
  #best: Float32Array = new Float32Array(0);
  #checkpointAt = performance.now();
  #sequences = 0;

  constructor(run: TrainingRun, network: KernelNetwork) {
    this.#run = run;
    this.#network = network;
    this.#sequencesAnEpoch = sequencesOf(run.shards);
    this.#stepsAnEpoch = stepsAnEpoch(run.shards, run.settings.batch);
  }

  async run(): Promise<TrainingResult> {
    const { settings } = this.#run;
    const startedAt = performance.now();
    await this.#resume();
    while (this.#place.epoch < settings.epochs && !this.#patienceEnded()) await this.#epoch();
    return {
      weights: this.#best,
      bestEpoch: this.#bestRecord().epoch,
      epochs: this.#place.epoch,
      steps: this.#place.step,
      sequences: this.#sequences,
      seconds: (performance.now() - startedAt) / 1000,
      history: this.#place.history,
    };
  }

  /** Takes up a checkpoint of this very run, if there is one. */
  async #resume(): Promise<void> {
    const { checkpoint: file, fingerprint, progress } = this.#run;
    if (!file?.exists()) return;
    const checkpoint = file.read();
    if (checkpoint.fingerprint !== fingerprint) return;
    await this.#network.writeWeights(checkpoint.weights);
    await this.#network.writeOptimizer(checkpoint.optimizer);
    this.#place = checkpoint.place;
    this.#best = checkpoint.best;
    progress.say(
      `resumed at epoch ${checkpoint.place.epoch + 1}, step ${checkpoint.place.step.toLocaleString('en-US')}`,
    );
  }

  async #epoch(): Promise<void> {
    const { settings, seed, shards, shape, progress } = this.#run;
    const { epoch } = this.#place;
    const label = `epoch ${epoch + 1}/${settings.epochs}`;
    const steps = this.#stepsAnEpoch * settings.epochs;
    for await (const { shard, indices, fresh } of epochBatches(
      shards,
      seed,
      epoch,
      settings.batch,
      this.#place.batch,
    )) {
      if (fresh) this.#batches = new Batches(shard.windows, shard.targets, shape.features, settings.batch);
      const { batch, step } = this.#place;
      const optimizer = { ...settings.optimizer, learningRate: learningRateAt(settings, step, steps) };
      const loss = await this.#network.trainStep(this.#batches!.gather(indices, settings.loss, seed, step), optimizer);
      this.#sequences += indices.length;
      const seen = this.#place.seen + indices.length;
      const lossSum = this.#place.lossSum + loss * indices.length;
      this.#place = { ...this.#place, batch: batch + 1, step: step + 1, seen, lossSum };
      progress.update(label, seen, this.#sequencesAnEpoch, `sequences, loss ${(lossSum / seen).toFixed(5)}`);
      await this.#pause();
    }
    await this.#endEpoch();
  }

  /** Between two steps: a checkpoint when it is due, and the end when a signal asks for it. */
  async #pause(): Promise<void> {
    const { signal, checkpointEveryMs, checkpoint } = this.#run;
    const stopping = signal?.aborted === true;
    if (stopping || performance.now() - this.#checkpointAt > checkpointEveryMs) {
      await this.#saveCheckpoint();
      await new Promise(setImmediate);
    }
    if (stopping) {
      const kept = checkpoint ? `a checkpoint of step ${this.#place.step} is kept` : 'no checkpoint is kept';
      throw new BarcastError(
        'BARCAST_E_INTERRUPTED',
        `training was stopped; ${kept}`,
        'run the same command again to go on',
      );
    }
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
    await this.#saveCheckpoint();
    // Said when it is kept: what a person has read of is not lost.
    const losses = `train loss ${record.trainLoss.toFixed(5)}, validation loss ${validationLoss.toFixed(5)}`;
    progress.say(`epoch ${record.epoch}: ${losses}`);
  }

  async #validate(): Promise<{ validationLoss: number; validationScore: number }> {
    const { validation, settings, validationScore } = this.#run;
    const outputs = await networkOutputs(this.#network, validation.windows);
    const validationLoss = meanLoss(settings.loss as Loss, outputs, validation.targets);
    return { validationLoss, validationScore: validationScore?.(outputs) ?? validationLoss };
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

  async #saveCheckpoint(): Promise<void> {
    const { checkpoint: file, fingerprint } = this.#run;
    this.#checkpointAt = performance.now();
    if (!file) return;
    const checkpoint: Checkpoint = {
      fingerprint,
      place: this.#place,
      weights: await this.#network.readWeights(),
      optimizer: await this.#network.readOptimizer(),
      best: this.#best,
    };
    file.write(checkpoint);
  }
}
