/**
 * How a training goes: the recipe's settings and what a user adds for large batches. Everything here is a pure function
 * of the settings and the step, so that a resumed run needs no state of it.
 */
import type { TrainingDefaults } from '../features/index.ts';

export interface TrainingSettings extends TrainingDefaults {
  /** Batches whose gradients are added before an update, 1 when absent: the bits of one batch of that size. */
  readonly accumulate?: number;
  /**
   * The learning rate is that of batches of `referenceBatch` sequences and grows with the batch of an update: in
   * proportion (Goyal et al. 2018), or with its square root (Krizhevsky 2014).
   */
  readonly scaling?: { readonly rule: 'linear' | 'sqrt'; readonly referenceBatch: number };
  /**
   * Epochs, also parts of one, over which the rate climbs in a straight line: from the unscaled rate to the scaled one
   * (Goyal et al. 2018), or from 0 without scaling. 0 when absent.
   */
  readonly warmupEpochs?: number;
}

/** Sequences an update. */
export const updateBatch = ({ batch, accumulate = 1 }: TrainingSettings): number => batch * accumulate;

/** The highest learning rate of the run: the optimiser's, scaled to the batch. */
export function peakLearningRate(settings: TrainingSettings): number {
  const { scaling, optimizer } = settings;
  if (!scaling) return optimizer.learningRate;
  const times = updateBatch(settings) / scaling.referenceBatch;
  return optimizer.learningRate * (scaling.rule === 'linear' ? times : Math.sqrt(times));
}

/** The learning rate of a step (from 0) among `steps`, of which an epoch has `stepsAnEpoch`. */
export function learningRateAt(settings: TrainingSettings, step: number, steps: number, stepsAnEpoch = steps): number {
  const peak = peakLearningRate(settings);
  const warmup = Math.min(steps, Math.round((settings.warmupEpochs ?? 0) * stepsAnEpoch));
  if (step < warmup) {
    const from = settings.scaling ? settings.optimizer.learningRate : 0;
    return from + ((peak - from) * (step + 1)) / warmup;
  }
  if (settings.schedule !== 'cosine') return peak;
  return peak * (0.1 + 0.45 * (1 + Math.cos((Math.PI * (step - warmup)) / (steps - warmup))));
}
